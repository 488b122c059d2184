"""Weights: what there is, where it lies, fetching and checking. Loads no torch.

`weights/manifest.json` names every file with its size and sha256; a named file is used only when both agree. Files are
looked for in the folders of the environment variable WAV2LIP_KIT_WEIGHTS, in the clone's `weights/` and in
`~/.cache/wav2lip_kit`. WAV2LIP_KIT_OFFLINE=1 forbids fetching.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import urllib.error
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from . import data_path
from .errors import WeightsError
from .files import StrPath, write_text_atomic

log = logging.getLogger("wav2lip_kit")

TIMEOUT_S = 15
CHUNK_BYTES = 1 << 20
INSTEAD = {
    "generator": "use --weights demo",
    "detector": "use --detector haar",
    "speaker": "use --speaker largest",
}


@dataclass(frozen=True)
class WeightsEntry:
    """One file of the manifest. `bytes` and `sha256` are None while the file is not made yet."""

    name: str
    kind: str
    """"generator", "detector" or "speaker"."""
    file: str
    bytes: int | None
    sha256: str | None
    licence: str
    description: str
    mirrors: tuple[str, ...]
    """Addresses of the same file, tried in this order; `gdrive:ID` is a file on Google Drive."""


def available_weights() -> tuple[WeightsEntry, ...]:
    """Everything the manifest names."""
    manifest = json.loads(data_path("weights/manifest.json").read_text(encoding="utf-8"))
    return tuple(WeightsEntry(**{**item, "mirrors": tuple(item["mirrors"])}) for item in manifest["weights"])


def entry(name: str) -> WeightsEntry:
    """The manifest's entry of this name.

    Raises:
        WeightsError: If there is none.
    """
    for weights in available_weights():
        if weights.name == name:
            return weights
    raise WeightsError(f"unknown weights {name!r}: choose {weight_names()}, or give the path of a checkpoint file")


def weight_names(kind: str | None = None) -> str:
    return ", ".join(weights.name for weights in available_weights() if kind in (None, weights.kind))


def named_entry(name_or_path: StrPath) -> WeightsEntry | None:
    """The entry, where a name is given; a `Path` is always a path."""
    return next((weights for weights in available_weights() if weights.name == name_or_path), None)


# ── where weights lie ──


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wav2lip_kit"


def _chosen_folders() -> list[Path]:
    folders = os.environ.get("WAV2LIP_KIT_WEIGHTS", "").split(os.pathsep)
    return [Path(folder).expanduser() for folder in folders if folder]


def download_folder() -> Path:
    """Where fetched weights go: the first folder of WAV2LIP_KIT_WEIGHTS, else `~/.cache/wav2lip_kit`."""
    return (_chosen_folders() or [_cache_folder()])[0]


def weights_folders() -> tuple[Path, ...]:
    """Where weights are looked for, in order."""
    clone = data_path("weights/manifest.json").parent
    return tuple(dict.fromkeys([*_chosen_folders(), clone, download_folder()]))


def find_weights(name_or_path: StrPath, *, fetch: bool = True, progress: bool = True) -> Path:
    """The local file of some weights: a named one checked against the manifest, and fetched when it is not there.

    Raises:
        WeightsError: If the name is unknown, the path is no file, a local file differs from the manifest, or the file
            is absent and can't be fetched.
    """
    weights = named_entry(name_or_path)
    if weights is None:
        return _given_file(name_or_path)
    path, problem = _search(weights)
    if path is None and problem is None and fetch:
        return fetch_weights(weights.name, progress=progress)
    return path or _no_local_file(weights, problem)


def find_local(name: str) -> Path | None:
    """The local file of `name` that agrees with the manifest, or None; nothing is fetched.

    Raises:
        WeightsError: If the name is unknown.
    """
    return _search(entry(name))[0]


def verify_weights(name: str) -> Path:
    """Hash the local file of `name` anew and compare it with the manifest.

    Raises:
        WeightsError: If the name is unknown, or the file is absent or differs from the manifest.
    """
    weights = entry(name)
    path, problem = _search(weights, anew=True)
    return path or _no_local_file(weights, problem)


def _given_file(path: StrPath) -> Path:
    given = Path(path)
    if given.is_file():
        return given
    if given.is_dir():
        raise WeightsError(f"{str(path)!r} is a folder: give the checkpoint file in it, or one of {weight_names()}")
    if isinstance(path, str) and not given.suffix and given.name == path:
        entry(path)  # a bare word was meant as a name: raises the error that lists them
    raise WeightsError(f"no checkpoint file {str(path)!r}: give an existing file, or one of {weight_names()}")


def _no_local_file(weights: WeightsEntry, problem: str | None) -> NoReturn:
    fetch = "get the whole repository" if weights.name == "demo" else f"run `wav2lip-kit weights fetch {weights.name}`"
    next_step = f"{fetch}{_or_instead(weights)}"
    if problem is not None:
        raise WeightsError(f"{problem}: delete it, or {next_step}")
    looked = ", ".join(map(str, weights_folders()))
    raise WeightsError(f"weights {weights.name!r} are not here (looked for {weights.file} in {looked}): {next_step}")


def _or_instead(weights: WeightsEntry) -> str:
    return "" if weights.name == "demo" else f", or {INSTEAD[weights.kind]}"


def _search(weights: WeightsEntry, *, anew: bool = False) -> tuple[Path | None, str | None]:
    """The first local file that agrees with the manifest, and what was wrong with the first that didn't."""
    problem = None
    for folder in weights_folders():
        path = folder / weights.file
        if path.is_file():
            wrong = _difference(path, weights, anew=anew)
            if wrong is None:
                return path, None
            problem = problem or f"{str(path)!r} {wrong}"
    return None, problem


def _difference(path: Path, weights: WeightsEntry, *, anew: bool = False) -> str | None:
    size = path.stat().st_size
    if weights.bytes is not None and size != weights.bytes:
        return f"has {size} bytes, expected {weights.bytes} (it looks like {looks_like(path)})"
    if weights.sha256 is not None and (got := file_sha256(path, anew=anew)) != weights.sha256:
        return f"has the sha256 {got}, expected {weights.sha256}"
    return None


def file_sha256(path: StrPath, *, anew: bool = False) -> str:
    """The sha256 of a file, remembered by path, size and time of change, because hashing 435 MB takes a second."""
    path = Path(path).resolve()
    stat = path.stat()
    remembered = _remembered().get(str(path))
    if not anew and isinstance(remembered, list) and remembered[:2] == [stat.st_size, stat.st_mtime_ns]:
        return str(remembered[2])
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    _remember(path, digest.hexdigest())
    return digest.hexdigest()


def _remembered() -> dict[str, Any]:
    try:
        known = json.loads((_cache_folder() / "sha256.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or damaged: files are hashed anew
        return {}
    return known if isinstance(known, dict) else {}


def _remember(path: Path, digest: str) -> None:
    stat = path.stat()
    known = {known: value for known, value in _remembered().items() if Path(known).exists()}
    known[str(path.resolve())] = [stat.st_size, stat.st_mtime_ns, digest]
    try:
        _cache_folder().mkdir(parents=True, exist_ok=True)
        write_text_atomic(_cache_folder() / "sha256.json", json.dumps(known, indent=1))
    except OSError as error:  # costs a second next time, nothing else
        log.debug("sha256 of %s not remembered: %s", path, error)


# ── fetching ──


class _MirrorError(Exception):
    """What one mirror did wrong, in a few words."""


def fetch_weights(name: str, *, progress: bool = True, force: bool = False) -> Path:
    """Fetch weights into `download_folder()`, unless a good file is there; an interrupted download is continued.

    Raises:
        WeightsError: If the name is unknown, fetching is forbidden, the folder can't be written, or no mirror gave the
            file that the manifest describes.
    """
    weights = entry(name)
    path = None if force else _search(weights)[0]
    if path is not None:
        return path
    folder = download_folder()
    next_step = f"download {weights.file} by hand into {folder}{_or_instead(weights)}"
    if weights.bytes is None or weights.sha256 is None or not weights.mirrors:
        raise WeightsError(
            f"weights {name!r} can't be fetched: {weights.file} is not published, it comes with the clone"
        )
    if os.environ.get("WAV2LIP_KIT_OFFLINE", "0") not in ("", "0"):
        raise WeightsError(
            f"weights {name!r} are not here and WAV2LIP_KIT_OFFLINE is set: "
            f"unset it and run `wav2lip-kit weights fetch {name}`, or {next_step}"
        )
    part = folder / f"{weights.file}.{weights.sha256[:12]}.part"
    _make_room(part, weights.bytes)

    said: list[str] = []
    for mirror in weights.mirrors:
        try:
            _fetch_from(mirror, part, weights, progress)
        except (_MirrorError, OSError, http.client.HTTPException) as error:
            said.append(f"{_host(mirror)}: {brief(error)}")
            log.info("weights %s: %s", name, said[-1])
            continue
        path = folder / weights.file
        part.replace(path)
        _remember(path, weights.sha256)
        return path
    raise WeightsError(
        f"weights {name!r} could not be fetched ({'; '.join(dict.fromkeys(said))}): "
        f"try `wav2lip-kit weights fetch {name}` later, or {next_step}"
    )


def _make_room(part: Path, n_bytes: int) -> None:
    """Make the folder of `part`, and refuse before the download what would fail in it."""
    folder = part.parent
    elsewhere = "set WAV2LIP_KIT_WEIGHTS to another folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"can't make the folder {str(folder)!r} ({brief(error)}): {elsewhere}") from error
    if not os.access(folder, os.W_OK):
        raise WeightsError(f"can't write into {str(folder)!r}: {elsewhere}")
    if part.exists() and part.stat().st_size > n_bytes:
        part.unlink()  # not of this file
    needed = n_bytes - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WeightsError(f"{str(folder)!r} has {free >> 20} MiB free, {needed >> 20} are needed: {elsewhere}")


def _fetch_from(mirror: str, part: Path, weights: WeightsEntry, progress: bool) -> None:
    """Leave the whole, checked file in `part`; a part that only ended early stays, to be continued."""
    had = part.stat().st_size if part.exists() else 0
    if had != weights.bytes:  # otherwise only the check and the renaming were left to do
        _receive(mirror, part, weights, progress)
    try:
        _check_part(part, weights)
    except _MirrorError:
        if not had or part.exists():
            raise
        # The fault may lie in what an earlier download had left: once more from the start.
        _receive(mirror, part, weights, progress)
        _check_part(part, weights)


def _check_part(part: Path, weights: WeightsEntry) -> None:
    if not part.exists():
        raise _MirrorError("sent nothing")
    size = part.stat().st_size
    if weights.bytes is not None and size < weights.bytes:
        raise _MirrorError(f"stopped at {size} of {weights.bytes} bytes")
    wrong = _difference(part, weights, anew=True)
    if wrong is not None:
        part.unlink()
        raise _MirrorError(f"what it sent {wrong}")


def _receive(mirror: str, part: Path, weights: WeightsEntry, progress: bool) -> None:
    if mirror.startswith("gdrive:"):
        _receive_from_drive(mirror.removeprefix("gdrive:"), part, progress)
        return
    had = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "wav2lip_kit", "Accept-Encoding": "identity"}
    if had:
        headers["Range"] = f"bytes={had}-"
    with closing(urllib.request.urlopen(urllib.request.Request(mirror, headers=headers), timeout=TIMEOUT_S)) as answer:
        start, total = _extent(answer)
        block = answer.read(CHUNK_BYTES)
        if answer.headers.get_content_type() == "text/html" or (start == 0 and _looks_like_html(block)):
            raise _MirrorError("sent a web page, not the file")
        if total not in (None, weights.bytes):
            raise _MirrorError(f"offers {total} bytes, expected {weights.bytes}")
        if start not in (0, had):
            raise _MirrorError(f"sent bytes from {start} on, asked for {had}")

        from tqdm.auto import tqdm

        bar = tqdm(total=weights.bytes, initial=start, unit="B", unit_scale=True, disable=not progress)
        bar.set_description(weights.file)
        with bar, part.open("ab" if start else "wb") as file:
            while block and file.tell() <= (weights.bytes or 0):
                file.write(block)
                bar.update(len(block))
                block = answer.read(CHUNK_BYTES)


def _extent(answer: Any) -> tuple[int, int | None]:
    """Where the sent bytes start, and how many the whole file has, as the headers say."""
    if answer.status != 206:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if match is None:
        raise _MirrorError("sent a part of the file without saying which")
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _receive_from_drive(drive_id: str, part: Path, progress: bool) -> None:
    try:
        import gdown
    except ImportError as error:
        raise _MirrorError("needs gdown, run `pip install gdown`") from error
    part.unlink(missing_ok=True)
    try:
        gdown.download(id=drive_id, output=str(part), quiet=not progress)
    except Exception as error:  # its own errors have other names in every version; the user is told the words
        raise _MirrorError(brief(error)) from error


def _host(mirror: str) -> str:
    return "drive.google.com" if mirror.startswith("gdrive:") else mirror.split("/")[2]


def brief(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, BaseException) else error
    text = (error.strerror or "") if isinstance(error, OSError) else ""
    return " ".join((text or str(error) or type(error).__name__).split())[:160]


# ── what a file is ──


def _looks_like_html(head: bytes) -> bool:
    return re.match(rb"\s*(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml|!--)", head[:512].lower()) is not None


def looks_like(path: Path) -> str:
    """What a file is by its first bytes, in words; its name says nothing."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "an empty file"
    if head.startswith(b"PK\x03\x04"):
        return "a zip archive"
    # safetensors: the length of a JSON header in 8 bytes, then the header
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        return "safetensors"
    if head.startswith(b"\x80"):
        return "a pickle"
    if _looks_like_html(head):
        return "a web page (HTML)"
    if head.startswith(b"version https://git-lfs"):
        return "a git LFS pointer, not the file itself"
    return "text" if re.fullmatch(rb"[\t\n\r\x20-\x7e]*", head) else "no known format"
