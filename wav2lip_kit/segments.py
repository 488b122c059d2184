"""Segments: the stretches of a video where a face is to be synced, and the files they are kept in.

A segment is a half-open interval `[start_s, end_s)`: it holds the frames whose timestamps t have start_s <= t < end_s,
so two segments may touch and no frame belongs to both. Only FACE is stored; NO_FACE is what lies between (`gaps`).
Arithmetic is exact on floats. Times that went through a text format are rounded to the millisecond; `Segments.snap`
brings them back to the frames.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, overload

from .errors import SegmentError
from .timing import check_interval, format_clock, format_time, parse_range, parse_time

if TYPE_CHECKING:
    import numpy as np

END_TOLERANCE_S = 0.0005
"""How far a typed time may lie past the end of the video: half of the millisecond that people can write."""


@dataclass(frozen=True)
class Segment:
    """A stretch of the video to be synced; ordered by its times, equal only when every field is.

    Raises:
        SegmentError: If a time is negative or not finite, the end is not after the start, or a field is out of range.
    """

    start_s: float
    end_s: float
    speaker: str = ""
    """Name of the track to sync; empty for the speaker of the whole job."""
    audio: str = ""
    """Name of the audio of this segment; empty for the audio of the whole job."""
    source: Literal["manual", "auto"] = "manual"
    """Who marked it: a person or the face detector."""
    score: float | None = None
    """How sure the detector was, higher is surer; None where a person marked it."""

    def __post_init__(self) -> None:
        for name in ("start_s", "end_s"):  # parse_time makes a plain float of any number, and refuses the bad ones
            object.__setattr__(self, name, parse_time(getattr(self, name)))
        check_interval(self.start_s, self.end_s)
        if self.source not in ("manual", "auto"):
            raise SegmentError(f"source {self.source!r} of segment {self} is unknown; choose manual or auto")
        if self.score is not None and not math.isfinite(self.score):
            raise SegmentError(f"score {self.score!r} of segment {self} is not a number; leave it out where unknown")

    def __lt__(self, other: Segment) -> bool:
        return (self.start_s, self.end_s) < (other.start_s, other.end_s)

    def __str__(self) -> str:
        return f"{format_time(self.start_s)}-{format_time(self.end_s)}"

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    def contains(self, t_s: float) -> bool:
        """Whether a frame at `t_s` (seconds) lies inside; the end does not."""
        return self.start_s <= t_s < self.end_s

    def overlaps(self, other: Segment) -> bool:
        """Whether some time lies in both; touching is no overlap."""
        return self.start_s < other.end_s and other.start_s < self.end_s


class Segments(Sequence[Segment]):
    """An immutable, sorted set of segments that do not overlap. Touching segments stay apart.

    Raises:
        SegmentError: If two of them overlap; `Segments.merged` joins such ones instead.
    """

    __slots__ = ("_items",)

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        self._items = tuple(sorted(segments))
        for first, second in pairwise(self._items):
            if first.overlaps(second):
                raise SegmentError(f"segments {first} and {second} overlap; let them touch at most, or make them one")

    @classmethod
    def merged(cls, segments: Iterable[Segment]) -> Segments:
        """Join those that overlap.

            |-----|        |---|
               |-----|             |--|
            |--------|     |---|   |--|

        A joined segment is manual if a part of it is, and takes the highest score.

        Raises:
            SegmentError: If overlapping segments name different speakers or different audio.
        """
        joined: list[Segment] = []
        for segment in sorted(segments):
            if joined and joined[-1].overlaps(segment):
                if not _go_together(joined[-1], segment):
                    raise SegmentError(
                        f"segments {joined[-1]} and {segment} overlap but differ in speaker or audio; "
                        "change their times so that they touch"
                    )
                segment = _join(joined.pop(), segment)
            joined.append(segment)
        return cls(joined)

    @classmethod
    def from_mask(
        cls,
        mask: Sequence[bool] | np.ndarray,
        times_s: Sequence[float] | np.ndarray,
        end_s: float,
        *,
        source: Literal["manual", "auto"] = "auto",
    ) -> Segments:
        """Make one segment of every run of marked frames, up to the frame after it.

        Args:
            mask: (T,) whether each frame belongs.
            times_s: (T,) rising timestamps of the frames, seconds.
            end_s: End of the last frame, seconds.
            source: Who marked them.
        """
        if len(mask) != len(times_s):
            raise ValueError(f"mask and times_s must have one entry a frame, got {len(mask)} and {len(times_s)}")
        edges_s = [*times_s, end_s]
        runs = [list(run) for marked, run in groupby(range(len(mask)), key=lambda i: bool(mask[i])) if marked]
        return cls(Segment(edges_s[run[0]], edges_s[run[-1] + 1], source=source) for run in runs)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> Segments: ...
    def __getitem__(self, index: int | slice) -> Segment | Segments:
        return Segments(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, Segments) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._items)

    def __str__(self) -> str:
        return format_segments(self)

    def __repr__(self) -> str:
        return f"<Segments {self}>"

    @property
    def duration_s(self) -> float:
        """Time covered by all of them, seconds."""
        return math.fsum(segment.duration_s for segment in self)

    def at(self, t_s: float) -> Segment | None:
        """The segment that holds a frame at `t_s`, or None."""
        index = bisect_right(self._items, t_s, key=attrgetter("start_s")) - 1
        return self._items[index] if index >= 0 and self._items[index].contains(t_s) else None

    def gaps(self, start_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
        """The NO_FACE stretches of `[start_s, end_s)`, as pairs of times: what is not marked has no speaker or audio.

             |---|    |-----|
        [----)   [----)     [---)
        """
        edges = [start_s, *(edge for s in self._meeting(start_s, end_s) for edge in (s.start_s, s.end_s)), end_s]
        return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)

    def clip(self, start_s: float, end_s: float) -> Segments:
        """Keep what lies in `[start_s, end_s)`.

        |---|  |---|  |---|
          [---------)
          |-|  |---|
        """
        return Segments(
            part
            for s in self._meeting(start_s, end_s)
            for part in _recut(s, max(s.start_s, start_s), min(s.end_s, end_s))
        )

    def __or__(self, other: Segments) -> Segments:
        """Join two sets, as `merged` does.

        |----|       |--|
           |----|           |--|
        |-------|    |--|   |--|
        """
        return Segments.merged([*self, *other])

    def __and__(self, other: Segments) -> Segments:
        """Keep of this set what the other covers too, cut at the other's edges.

        |--------|    |--|
           |-------|
           |-----|
        """
        return Segments(part for s in other for part in self.clip(s.start_s, s.end_s))

    def __sub__(self, other: Segments) -> Segments:
        """Keep of this set what the other does not cover.

        |----------|    |--|
           |---|         |--|
        |--|   |---|    ||
        """
        return Segments(part for gap in other.gaps(0.0, math.inf) for part in self.clip(*gap))

    def shift(self, offset_s: float) -> Segments:
        """Move all by `offset_s` (seconds, may be negative). `clip` first what would come to lie before 0.

            |---|  |--|
              |---|  |--|

        Raises:
            SegmentError: If a segment would start before 0.
        """
        return Segments(replace(s, start_s=s.start_s + offset_s, end_s=s.end_s + offset_s) for s in self)

    def merge_close(self, max_gap_s: float) -> Segments:
        """Join neighbours whose gap is at most `max_gap_s` (seconds, >= 0), unless speaker or audio differ.

        |----| |--|         |--|
        |---------|         |--|
        """
        joined: list[Segment] = []
        for segment in self:
            if joined and segment.start_s - joined[-1].end_s <= max_gap_s and _go_together(joined[-1], segment):
                segment = _join(joined.pop(), segment)
            joined.append(segment)
        return Segments(joined)

    def drop_short(self, min_s: float) -> Segments:
        """Leave out those shorter than `min_s` (seconds).

        |-|   |-----|  ||
              |-----|
        """
        return Segments(s for s in self if s.duration_s >= min_s)

    def pad(self, before_s: float, after_s: float) -> Segments:
        """Widen all by `before_s` and `after_s` (seconds; negative ones narrow), never below 0, and join what meets.

              |---|      |--| |--|
            |------|   |-----------|

        The end of the video is not known here: `clip` afterwards.
        """
        return Segments.merged(
            part for s in self for part in _recut(s, max(0.0, s.start_s - before_s), s.end_s + after_s)
        )

    def snap(self, times_s: Iterable[float], end_s: float | None = None) -> Segments:
        """Move every edge to the nearest frame boundary, the earlier of two equally near; what gets empty is dropped.

            :   :   :   :   :
               |-----|   ||
                |---|

        Args:
            times_s: Rising timestamps of the frames, seconds.
            end_s: End of the last frame, seconds; None if `times_s` holds it as its last entry.
        """
        edges_s = [float(t) for t in times_s] + ([] if end_s is None else [float(end_s)])
        if not edges_s:
            raise ValueError("snap needs at least one frame boundary, times_s is empty")

        def nearest(t_s: float) -> float:
            after = bisect_left(edges_s, t_s)
            return min(edges_s[max(after - 1, 0) : after + 1], key=lambda edge_s: abs(edge_s - t_s))

        return Segments(part for s in self for part in _recut(s, nearest(s.start_s), nearest(s.end_s)))

    def frame_mask(self, times_s: Sequence[float] | np.ndarray) -> np.ndarray:
        """Which frames, by their timestamps (T,) in seconds, lie inside: (T,) bool."""
        import numpy as np

        times = np.asarray(times_s, dtype=np.float64)
        mask = np.zeros(times.shape, dtype=bool)
        for s in self:
            mask |= (times >= s.start_s) & (times < s.end_s)
        return mask

    def frame_marks(self, times_s: Sequence[float] | np.ndarray) -> np.ndarray:
        """Which segment each frame lies in, counted from 1, 0 outside: (T,) times in seconds in, (T,) int out."""
        import numpy as np

        marks = np.zeros(len(times_s), dtype=int)
        for number, segment in enumerate(self, start=1):
            marks[Segments([segment]).frame_mask(times_s)] = number
        return marks

    def check_within(self, duration_s: float) -> None:
        """Raise SegmentError for the first segment that ends past the video's length (by more than half a ms)."""
        for segment in self:
            if segment.end_s > duration_s + END_TOLERANCE_S:
                length = format_time(duration_s)
                raise SegmentError(f"segment {segment} reaches past the end of the video; give times up to {length}")

    def _repr_html_(self) -> str:
        """A strip from 0 to the last end: FACE filled and lettered, NO_FACE hatched."""
        from html import escape

        if not self:
            return "<em>no segments</em>"
        hatch = "repeating-linear-gradient(45deg,#bbb 0 2px,transparent 2px 7px)"
        strip = [(a, b, "no face", f"background:{hatch}", "") for a, b in self.gaps(0.0, self[-1].end_s)]
        strip += [(s.start_s, s.end_s, s.speaker or "face", "background:#1f6fb4", s.speaker or "face") for s in self]
        cells = "".join(
            f'<span title="{format_time(a)}-{format_time(b)} {escape(what)}" style="flex:{b - a:.6f} 0 0;min-width:0;'
            f'overflow:hidden;white-space:nowrap;text-align:center;{look}">{escape(word)}</span>'
            for a, b, what, look, word in sorted(strip)
        )
        return (
            '<div style="display:flex;height:1.6em;line-height:1.6em;font-size:.8em;color:#fff;border:1px solid #888">'
            f"{cells}</div><small>{escape(str(self))} · filled: face, hatched: no face</small>"
        )

    def _meeting(self, start_s: float, end_s: float) -> tuple[Segment, ...]:
        """Those that overlap `[start_s, end_s)`; both edges rise, because segments do not overlap."""
        first = bisect_right(self._items, start_s, key=attrgetter("end_s"))
        return self._items[first : bisect_left(self._items, end_s, key=attrgetter("start_s"))]


def _recut(segment: Segment, start_s: float, end_s: float) -> list[Segment]:
    """The segment with other times, or nothing where these hold no time."""
    return [replace(segment, start_s=start_s, end_s=end_s)] if start_s < end_s else []


def _go_together(first: Segment, second: Segment) -> bool:
    """Whether both may be synced as one: same speaker and audio, where both name them."""
    return not (first.speaker and second.speaker and first.speaker != second.speaker) and not (
        first.audio and second.audio and first.audio != second.audio
    )


def _join(first: Segment, second: Segment) -> Segment:
    return Segment(
        min(first.start_s, second.start_s),
        max(first.end_s, second.end_s),
        speaker=first.speaker or second.speaker,
        audio=first.audio or second.audio,
        source="manual" if "manual" in (first.source, second.source) else "auto",
        score=max((s.score for s in (first, second) if s.score is not None), default=None),
    )


def parse_segments(text: str) -> Segments:
    """Read "0:31-1:00, 69-84": ranges of times, separated by commas, semicolons or new lines.

    Decimals take a point here, since a comma separates. An empty text has no segments.

    Raises:
        SegmentError: If a range can't be read or has no end, or two overlap.
    """
    segments = []
    for part in filter(None, map(str.strip, re.split(r"[,;\n]", text))):
        start_s, end_s = parse_range(part)
        if end_s is None:
            raise SegmentError(f"segment {part!r} has no end; write both times, such as 0:31-1:00")
        segments.append(Segment(start_s, end_s))
    return Segments(segments)


def format_segments(segments: Iterable[Segment]) -> str:
    """Print segments as `parse_segments` reads them, to the millisecond."""
    return ", ".join(str(s) for s in visible_in_ms(segments))


def visible_in_ms(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Without the slivers of float arithmetic, which would print as empty and could not be read again."""
    return (s for s in segments if format_clock(s.start_s) != format_clock(s.end_s))
