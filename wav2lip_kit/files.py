"""Files: whole or not there at all, known by their content, and where they may be written."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import InputError, ProjectError

StrPath = str | os.PathLike[str]


@contextmanager
def replace_when_whole(path: StrPath) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, delete it otherwise.

    The temporary name keeps the suffix, because media libraries choose the container by it.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text_atomic(path: StrPath, text: str) -> None:
    """Write `text` as UTF-8 so that a reader sees the old file or the new one, never a half."""
    with replace_when_whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def names_file(text: StrPath) -> bool:
    """Whether `text` is the path of a file; it may also be anything else that a user types, however long."""
    try:
        return bool(str(text)) and Path(text).is_file()
    except OSError:  # "File name too long" of a list of forty segments
        return False


def content_id(path: StrPath) -> str:
    """A short id of a file's (or a folder of files') content: 16 hex digits.

    Size and the first, middle and last MiB are hashed: whole-file hashing would cost minutes on a long video, and two
    recordings that agree in all of these do not occur.
    """
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for entry in sorted(p for p in path.iterdir() if p.is_file()):
            digest.update(f"{entry.name}\0{content_id(entry)}\0".encode())
        return digest.hexdigest()[:16]
    size_bytes = path.stat().st_size
    chunk = 1 << 20
    digest.update(str(size_bytes).encode())
    with path.open("rb") as file:
        for offset in sorted({0, max(0, (size_bytes - chunk) // 2), max(0, size_bytes - chunk)}):
            file.seek(offset)
            digest.update(file.read(chunk))
    return digest.hexdigest()[:16]


def key_of(*values: Any) -> str:
    """A key of 12 hex digits for the content that something depends on."""
    digest = hashlib.blake2b(digest_size=6)
    for value in values:
        digest.update(value.tobytes() if hasattr(value, "tobytes") else repr(value).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def check_out(out: Path, *inputs: StrPath) -> None:
    """Make sure that a result can be written, and that it is none of the inputs.

    Raises:
        InputError: If its folder is missing or not writable, the name is no mp4, or it would replace an input.
    """
    if out.is_dir():
        raise InputError(f"output {str(out)!r} is a folder: give a file name such as {str(out / 'final_video.mp4')!r}")
    if out.suffix.lower() != ".mp4":
        raise InputError(f"output {str(out)!r} must end in .mp4: give a name such as {out.with_suffix('.mp4').name!r}")
    if out.exists() and any(Path(path).exists() and out.samefile(path) for path in inputs):
        raise InputError(f"output {str(out)!r} is the input itself: choose another name")
    check_writable_folder(out)


def check_own_folder(folder: Path) -> None:
    """Make sure that a folder is new, empty, or a project: the stages replace and delete files in it.

    Raises:
        ProjectError: If it holds anything else, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ProjectError(f"project {str(folder)!r} is a file: give a new folder")
    if folder.is_dir() and not (folder / "project.json").is_file() and any(folder.iterdir()):
        raise ProjectError(f"folder {str(folder)!r} is not empty and holds no project: give a new one with --project")


def check_writable_folder(path: Path) -> None:
    """Make sure that `path` can be made in its folder. Raises InputError if not."""
    parent = path.absolute().parent
    if not parent.is_dir():
        raise InputError(f"folder {str(parent)!r} does not exist: make it first, or choose another for {path.name!r}")
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write into folder {str(parent)!r} ({error.strerror}): choose another for {path.name!r}"
        ) from error


def bring(source: Path, target: Path) -> None:
    """Have a file or a folder of files in the project, as a hard link where the disk allows."""
    if target.exists() and source.exists() and target.samefile(source):
        return
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        with replace_when_whole(target) as part:
            part.mkdir()
            for entry in source.iterdir():
                if entry.is_file():
                    link_or_copy(entry, part / entry.name)
        return
    for old in target.parent.glob(f"{target.stem}.*"):
        if old.is_file() and old.name != source.name:
            old.unlink()
    with replace_when_whole(target) as part:
        link_or_copy(source, part)


def link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
