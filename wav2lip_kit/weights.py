"""Weights: what there is, where it lies, fetching, checking, and loading a generator from any of its formats.

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
import pickle
import re
import shutil
import urllib.error
import urllib.request
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import data_path
from .errors import WeightsError
from .files import StrPath, replace_when_whole, write_text_atomic
from .notices import notice

if TYPE_CHECKING:  # torch is loaded only where tensors are, so that listing and fetching stay quick
    from torch import Tensor

    from .model import Wav2Lip

log = logging.getLogger("wav2lip_kit")

TIMEOUT_S = 15
CHUNK_BYTES = 1 << 20
UNTRAINED_ID = "untrained-demo-1"
UNTRAINED_WIDTH = 0.25
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
    raise WeightsError(f"unknown weights {name!r}: choose {_names()}, or give the path of a checkpoint file")


def _names(kind: str | None = None) -> str:
    return ", ".join(weights.name for weights in available_weights() if kind in (None, weights.kind))


def _named(name_or_path: StrPath) -> WeightsEntry | None:
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
    weights = _named(name_or_path)
    if weights is None:
        return _given_file(name_or_path)
    path, problem = _search(weights)
    if path is None and problem is None and fetch:
        return fetch_weights(weights.name, progress=progress)
    return path or _no_local_file(weights, problem)


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
        raise WeightsError(f"{str(path)!r} is a folder: give the checkpoint file in it, or one of {_names()}")
    if isinstance(path, str) and not given.suffix and given.name == path:
        entry(path)  # a bare word was meant as a name: raises the error that lists them
    raise WeightsError(f"no checkpoint file {str(path)!r}: give an existing file, or one of {_names()}")


def _no_local_file(weights: WeightsEntry, problem: str | None) -> NoReturn:
    next_step = f"run `wav2lip-kit weights fetch {weights.name}`{_or_instead(weights)}"
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
        return f"has {size} bytes, expected {weights.bytes} (it looks like {_looks_like(path)})"
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
    known = {**_remembered(), str(path.resolve()): [stat.st_size, stat.st_mtime_ns, digest]}
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
        raise WeightsError(f"weights {name!r} are not here and WAV2LIP_KIT_OFFLINE is set: unset it, or {next_step}")
    part = folder / f"{weights.file}.{weights.sha256[:12]}.part"
    _make_room(folder, weights.bytes)

    said: list[str] = []
    for mirror in weights.mirrors:
        try:
            _fetch_from(mirror, part, weights, progress)
        except (_MirrorError, OSError, http.client.HTTPException) as error:
            said.append(f"{_host(mirror)}: {_brief(error)}")
            log.info("weights %s: %s", name, said[-1])
            continue
        path = folder / weights.file
        part.replace(path)
        _remember(path, weights.sha256)
        return path
    raise WeightsError(f"weights {name!r} could not be fetched ({'; '.join(dict.fromkeys(said))}): {next_step}")


def _make_room(folder: Path, n_bytes: int) -> None:
    elsewhere = "set WAV2LIP_KIT_WEIGHTS to another folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"can't make the folder {str(folder)!r} ({_brief(error)}): {elsewhere}") from error
    if not os.access(folder, os.W_OK):
        raise WeightsError(f"can't write into {str(folder)!r}: {elsewhere}")
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise WeightsError(f"{str(folder)!r} has {free >> 20} MiB free, {n_bytes >> 20} are needed: {elsewhere}")


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

        bar = tqdm(
            total=weights.bytes, initial=start, desc=weights.file, unit_scale=True, unit="B", disable=not progress
        )
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
        raise _MirrorError(_brief(error)) from error


def _host(mirror: str) -> str:
    return "drive.google.com" if mirror.startswith("gdrive:") else mirror.split("/")[2]


def _brief(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, BaseException) else error
    text = (error.strerror or "") if isinstance(error, OSError) else ""
    return " ".join((text or str(error) or type(error).__name__).split())[:160]


# ── reading ──


def _looks_like_html(head: bytes) -> bool:
    return re.match(rb"\s*(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml|!--)", head[:512].lower()) is not None


def _looks_like(path: Path) -> str:
    """What a file is by its first bytes, in words; its name says nothing."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "an empty file"
    if head.startswith(b"PK\x03\x04"):
        return "a zip archive"
    if head.startswith(b"\x80"):
        return "a pickle"
    # safetensors: the length of a JSON header in 8 bytes, then the header
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        return "safetensors"
    if _looks_like_html(head):
        return "a web page (HTML)"
    if head.startswith(b"version https://git-lfs"):
        return "a git LFS pointer, not the file itself"
    return "text" if re.fullmatch(rb"[\t\n\r\x20-\x7e]*", head) else "no known format"


def read_state_dict(path: StrPath) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, on the CPU and as they were saved.

    Told apart by content: a pickled state dict, one under the key "state_dict" with names that begin with `module.`,
    a TorchScript archive, and safetensors. Pickles are read with `weights_only=True`, which runs no code.

    Raises:
        WeightsError: If the file is absent, damaged, none of these, or would run code.
    """
    import torch
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no checkpoint file {str(path)!r}: give an existing file, or one of {_names()}")
    looks = _looks_like(path)
    try:
        # torch's warnings here (old pickle protocol, TorchScript deprecated) are nothing the user can act on.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            if looks == "safetensors":
                loaded: Any = load_file(path)
            elif looks == "a zip archive" and _is_torchscript(path):
                loaded = torch.jit.load(file, map_location="cpu").state_dict()
            elif looks in ("a zip archive", "a pickle"):
                loaded = torch.load(file, map_location="cpu", weights_only=True)
            else:
                raise _unusable(path, f"looks like {looks}")
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        # torch's message names what it refused: "... GLOBAL posix.system ..."
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused:
            raise _unusable(path, f"is a pickle that would run code ({refused[1]}), which is refused") from error
        raise _unusable(path, "looks like a pickle, but not of tensors, or damaged") from error
    except Exception as error:  # a damaged file can fail anywhere inside the readers
        raise _unusable(path, f"looks like {looks}, but is damaged or cut off ({_brief(error)})") from error
    return _tensors(loaded, path)


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())


def _tensors(loaded: Any, path: Path) -> dict[str, Tensor]:
    import torch

    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(t, torch.Tensor) for t in loaded.values()):
        raise _unusable(path, "holds no state dict (names with tensors)")
    names = list(map(str, loaded))
    prefix = "module." if all(name.startswith("module.") for name in names) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in zip(names, loaded.values(), strict=True)}


def _unusable(path: Path, what: str) -> WeightsError:
    return WeightsError(
        f"{str(path)!r} ({path.stat().st_size} bytes) {what}: "
        f"fetch it again (`wav2lip-kit weights fetch NAME`), or choose one of {_names('generator')}"
    )


# ── generators ──


def load_generator(name_or_path: StrPath, *, fetch: bool = True, progress: bool = True) -> Wav2Lip:
    """Load a generator in eval mode, float32, on the CPU, of whatever width its tensors tell.

    A published file is two thirds optimizer state: its generator is kept beside it as `STEM.SHA.slim.safetensors`,
    and read from there next time. While the demo weights are not trained, `demo` is seeded noise, with a notice.

    Raises:
        WeightsError: As `find_weights` and `read_state_dict`, and if the file holds no Wav2Lip generator.
    """
    weights = _named(name_or_path)
    if weights is not None and weights.kind != "generator":
        choices = f"choose one of {_names('generator')}, or a checkpoint file"
        raise WeightsError(f"weights {weights.name!r} are a {weights.kind}, no generator: {choices}")
    if weights is not None and _is_untrained(weights):
        notice("the demo weights are not trained yet: mouths are noise; use --weights wav2lip for real ones")
        return _untrained()
    path = find_weights(name_or_path, fetch=fetch, progress=progress)
    slim = None
    if weights is not None and weights.sha256 is not None:
        slim = path.with_name(f"{path.stem}.{weights.sha256[:12]}.slim.safetensors")
        if slim.is_file():
            try:
                return _generator(read_state_dict(slim), slim)
            except WeightsError as error:
                log.info("slim copy is made anew: %s", error)
    model = _generator(read_state_dict(path), path)
    if slim is not None and os.access(slim.parent, os.W_OK):
        _save_slim(model, slim, full_bytes=path.stat().st_size)
    return model


def weights_id(name_or_path: StrPath) -> str:
    """A short id, 16 characters, of the content that `load_generator` would load; for keys of caches.

    Raises:
        WeightsError: If a path is no file, or a named file that the manifest doesn't describe is absent.
    """
    weights = _named(name_or_path)
    if weights is not None and _is_untrained(weights):
        return UNTRAINED_ID
    if weights is not None and weights.sha256 is not None:
        return weights.sha256[:16]
    return file_sha256(find_weights(name_or_path, fetch=False))[:16]


def _is_untrained(weights: WeightsEntry) -> bool:
    here = any((folder / weights.file).is_file() for folder in weights_folders())
    return weights.name == "demo" and weights.sha256 is None and not here


def _untrained() -> Wav2Lip:
    import torch

    from .model import Wav2Lip

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Wav2Lip(UNTRAINED_WIDTH).eval()


def _generator(state: dict[str, Tensor], path: Path) -> Wav2Lip:
    import torch

    from .model import WIDEST_KEY, Wav2Lip, width_of

    widest = state.get(WIDEST_KEY)
    with torch.device("meta"):  # shapes only; the tensors of the file are put in as they are
        model = Wav2Lip(width_of(state) if widest is not None and widest.ndim == 4 else 1.0).eval()
    wanted = model.state_dict()
    # Batch norm's counters are used in training only, and some tools leave them out.
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    for word, keys in {
        "lacks": [key for key in wanted if key not in state and key not in counters],
        "has the unexpected": [key for key in state if key not in wanted],
    }.items():
        if keys:
            raise _unusable(path, f"holds no Wav2Lip generator (it {word} {keys[0]!r}, {len(keys)} such)")
    tensors = {key: torch.zeros((), dtype=torch.int64) for key in counters}
    for key, tensor in state.items():
        got, expected = tuple(tensor.shape), tuple(wanted[key].shape)
        if got != expected:
            raise _unusable(path, f"holds another network ({key!r} is {got}, expected {expected})")
        if not torch.isfinite(tensor).all():
            raise _unusable(path, f"is damaged ({key!r} holds values that are not finite)")
        tensors[key] = tensor if key in counters else tensor.to(torch.float32).contiguous()
    model.load_state_dict(tensors, assign=True)
    return model


def _save_slim(model: Wav2Lip, slim: Path, *, full_bytes: int) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = model.state_dict()
    if full_bytes < 1.5 * sum(tensor.nbytes for tensor in tensors.values()):
        return  # nothing to strip
    try:
        with replace_when_whole(slim) as part:
            save_file(tensors, part)
    except (OSError, SafetensorError) as error:
        notice(f"the slim copy {str(slim)!r} could not be written ({_brief(error)}): loading stays slow")
