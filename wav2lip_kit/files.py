"""Files that appear under their final name only when whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
