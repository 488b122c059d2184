"""The files that segments are kept in: our own JSON, CSV, WebVTT and Audacity labels."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from .errors import SegmentError
from .files import StrPath, write_text_atomic
from .notices import notice
from .segments import Segment, Segments, visible_in_ms
from .timing import format_clock

FORMAT, VERSION = "wav2lip_kit.segments", 1


def read_segments(path: StrPath) -> Segments:
    """Read segments from a file: .json (ours), .csv, .vtt (WebVTT) or .txt (Audacity labels).

    A .csv has the columns start_s, end_s and optionally label, source, score, speaker, audio, or Start, End, Name; or
    no header and start, end, label. Entries labelled no_face are left out.

    Raises:
        SegmentError: If the file or an entry of it can't be read, or segments overlap; names the file and the entry.
    """
    path = Path(path)
    read_rows = _READERS[_known_suffix(path)]
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except OSError as error:
        raise SegmentError(f"cannot read segments from {path}: {error.strerror}; check the name") from error
    except UnicodeDecodeError as error:
        raise SegmentError(f"cannot read segments from {path}: it is not UTF-8 text; save it as UTF-8") from error
    place = str(path)
    segments = []
    try:
        for number, row in enumerate(read_rows(text), start=1):
            place = f"{path}, entry {number}"
            segments += _segment_of(row)
        place = str(path)
        return Segments(segments)
    except SegmentError as error:
        raise SegmentError(f"{place}: {error}") from error


def write_segments(segments: Segments, path: StrPath, *, media: Mapping[str, Any] | None = None) -> None:
    """Write segments to a file, whole or not at all: .json and .csv exactly, .vtt and .txt the times to 1 ms or better.

    Args:
        segments: What to write.
        path: The file; its suffix chooses the format.
        media: What the segments belong to (name, duration_s, frame_rate), kept in .json only.

    Raises:
        SegmentError: If the suffix is unknown or the file can't be written.
    """
    path = Path(path)
    suffix = _known_suffix(path)
    text = _json_text(segments, media) if suffix == ".json" else _WRITERS[suffix](segments)
    try:
        write_text_atomic(path, text)
    except OSError as error:
        raise SegmentError(
            f"cannot write segments to {path}: {error.strerror}; choose a folder that exists and can be written"
        ) from error
    if suffix in (".vtt", ".txt") and any(s.speaker or s.audio for s in segments):
        notice(f"{path.name} keeps only the times of the segments; write .json or .csv to keep speaker and audio")


def _known_suffix(path: Path) -> str:
    if path.suffix.lower() not in _READERS:
        raise SegmentError(f"{path} is no segments file; choose a name that ends in {', '.join(_READERS)}")
    return path.suffix.lower()


def _segment_of(row: Mapping[str, Any]) -> list[Segment]:
    """The segment of one entry of a file; none for an entry labelled no_face."""
    if re.sub(r"[\s_-]", "", str(row.get("label") or "")).lower() == "noface":
        return []
    missing = [name for name in ("start_s", "end_s") if row.get(name) in (None, "")]
    if missing:
        raise SegmentError(f"{' and '.join(missing)} is missing; give both times")
    score = row.get("score")
    try:
        score = None if score in (None, "") else float(score)
    except (TypeError, ValueError) as error:
        raise SegmentError(f"score {score!r} is not a number; leave it out where unknown") from error
    speaker, audio = (str(row.get(name) or "") for name in ("speaker", "audio"))
    return [Segment(row["start_s"], row["end_s"], speaker, audio, row.get("source") or "manual", score)]


def _json_rows(text: str) -> list[dict[str, Any]]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SegmentError(f"not valid JSON ({error})") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SegmentError(f'no segments here; the file must have "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise SegmentError(f"version {data.get('version')!r} is unknown; this wav2lip_kit reads version {VERSION}")
    rows = data.get("segments")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SegmentError('"segments" must be a list of entries with start_s and end_s')
    return rows


def _json_text(segments: Segments, media: Mapping[str, Any] | None) -> str:
    rows = []
    for s in segments:
        optional = {"score": s.score, "speaker": s.speaker or None, "audio": s.audio or None}
        row = {"start_s": s.start_s, "end_s": s.end_s, "label": "face", "source": s.source, **optional}
        rows.append({name: value for name, value in row.items() if value is not None})
    head = {"format": FORMAT, "version": VERSION, **({"media": dict(media)} if media else {})}
    return json.dumps({**head, "segments": rows}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


_COLUMNS = ("start_s", "end_s", "label", "source", "score", "speaker", "audio")
_OTHER_NAMES = {"start": "start_s", "end": "end_s", "name": "label"}


def _csv_rows(text: str) -> Iterator[dict[str, str]]:
    first_line = text.lstrip().partition("\n")[0]
    separator = next((sign for sign in ";\t" if sign in first_line), ",")  # spreadsheets of comma countries write ;
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(map(str.strip, row))]
    except csv.Error as error:
        raise SegmentError(f"not a table of comma-separated values ({error})") from error
    columns = _COLUMNS[:3]
    if rows and rows[0][0].strip().lower().startswith("start"):
        names = [name.strip().lower() for name in rows.pop(0)]
        columns = [_OTHER_NAMES.get(name, name) for name in names]
    return (dict(zip(columns, map(str.strip, row), strict=False)) for row in rows)


def _csv_text(segments: Segments) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for s in segments:
        times = (f"{Decimal(repr(t_s)):f}" for t_s in (s.start_s, s.end_s))  # every bit of them, and never as 1e-05
        writer.writerow((*times, "face", s.source, "" if s.score is None else s.score, s.speaker, s.audio))
    return file.getvalue()


def _vtt_rows(text: str) -> Iterator[dict[str, str]]:
    if not text.startswith("WEBVTT"):
        raise SegmentError("not WebVTT; its first line must be WEBVTT")
    for cue in re.finditer(r"^(\S+)[ \t]+-->[ \t]+(\S+).*\n?((?:.+\n?)*)", text, flags=re.MULTILINE):
        yield {"start_s": cue[1], "end_s": cue[2], "label": re.sub(r"<[^>]*>", "", cue[3])}


def _vtt_text(segments: Segments) -> str:
    cues = (f"\n{format_clock(s.start_s)} --> {format_clock(s.end_s)}\nface\n" for s in visible_in_ms(segments))
    return "WEBVTT\n" + "".join(cues)


def _label_rows(text: str) -> Iterator[dict[str, str]]:
    for line in text.split("\n"):
        if line.strip() and not line.startswith("\\"):  # a backslash starts Audacity's line of frequencies
            yield dict(zip(_COLUMNS[:3], map(str.strip, line.split("\t")), strict=False))


def _label_text(segments: Segments) -> str:
    return "".join(f"{s.start_s:.6f}\t{s.end_s:.6f}\tface\n" for s in visible_in_ms(segments))


_READERS: dict[str, Callable[[str], Iterable[Mapping[str, Any]]]] = {
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".vtt": _vtt_rows,
    ".txt": _label_rows,
}
_WRITERS: dict[str, Callable[[Segments], str]] = {".csv": _csv_text, ".vtt": _vtt_text, ".txt": _label_text}
SUFFIXES = tuple(_READERS)
