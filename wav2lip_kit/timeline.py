"""From the source's frames to the result's: whose length counts, and the parts that are rendered one by one.

    silence   the video keeps its length; shorter audio is followed by silence, longer audio is cut
    cut_off   the shorter of the two decides
    loop      the audio decides; the video begins again
    bounce    the audio decides; the video runs back and forth

A part is a run of frames that all lie in one FACE segment, or all outside, short enough that little is lost when a
run is interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from .errors import InputError
from .faces.tracks import Tracks
from .frames import Frame, read_frames
from .media import VideoInfo

Fit = Literal["silence", "cut_off", "loop", "bounce"]
FITS = ("silence", "cut_off", "loop", "bounce")
PART_S = 20.0


@dataclass(frozen=True)
class Part:
    """Consecutive frames of the source, and when they are shown in the result.

    Attributes:
        first: Index of its first source frame.
        last: Index behind its last source frame.
        shift_pts: Added to a frame's `pts` (forward), or its mirrored `pts` (backward), gives its `pts` in the result.
        is_backward: The frames are shown in reverse.
        mark: Which FACE segment they lie in, counted from 1; 0 outside.
    """

    first: int
    last: int
    shift_pts: int
    is_backward: bool
    mark: int

    @property
    def is_face(self) -> bool:
        return self.mark > 0


def result_pts(tracks: Tracks, part: Part) -> np.ndarray:
    """(n,) int64 `pts` in the result of the part's source frames, in the order of the source."""
    if not part.is_backward:
        return tracks.pts[part.first : part.last] + part.shift_pts
    ends = np.append(tracks.pts[1:], tracks.end_pts)[part.first : part.last]
    return tracks.end_pts - ends + part.shift_pts


def plan_parts(tracks: Tracks, marks: np.ndarray, audio_s: float, fit: str = "silence") -> tuple[list[Part], int]:
    """Lay out the result.

    Args:
        tracks: Gives the time of every source frame.
        marks: (T,) int, which FACE segment each source frame lies in, counted from 1; 0 outside.
        audio_s: Length of the new audio.
        fit: See the top of this module.

    Returns:
        The parts in the order of the result, and the result's end in ticks.

    Raises:
        InputError: If `fit` is unknown.
    """
    check_fit(fit)
    first_pts = int(tracks.pts[0])
    audio_pts = max(first_pts + 1, round(audio_s / tracks.time_base))
    period = tracks.end_pts - first_pts
    end_pts = {"silence": tracks.end_pts, "cut_off": min(tracks.end_pts, audio_pts)}.get(fit, audio_pts)
    parts: list[Part] = []
    turn = 0
    while turn * period + first_pts < end_pts:
        is_backward = fit == "bounce" and turn % 2 == 1
        parts += _one_pass(tracks, marks, turn * period + (first_pts if is_backward else 0), is_backward, end_pts)
        turn += 1
    return parts, min(end_pts, turn * period + first_pts)


def check_fit(fit: str) -> None:
    """Raises InputError if `fit` is unknown."""
    if fit not in FITS:
        raise InputError(f"unknown fit {fit!r}: choose {', '.join(FITS)}")


def _one_pass(tracks: Tracks, marks: np.ndarray, shift_pts: int, is_backward: bool, end_pts: int) -> Iterator[Part]:
    whole = Part(0, tracks.n_frames, shift_pts, is_backward, 0)
    shown = np.flatnonzero(result_pts(tracks, whole) < end_pts)
    first, last = int(shown[0]), int(shown[-1]) + 1
    changes = (np.flatnonzero(np.diff(marks[first:last].astype(int))) + first + 1).tolist()
    runs = list(zip([first, *changes], [*changes, last], strict=True))
    for start, stop in reversed(runs) if is_backward else runs:
        duration_s = float((tracks.pts[stop - 1] - tracks.pts[start]) * tracks.time_base)
        pieces = max(1, int(np.ceil(duration_s / PART_S)))
        edges = np.linspace(start, stop, pieces + 1).round().astype(int).tolist()
        spans = [(a, b) for a, b in pairwise(edges) if b > a]
        for a, b in reversed(spans) if is_backward else spans:
            yield Part(a, b, shift_pts, is_backward, int(marks[start]))


class PartReader:
    """Reads the frames of parts; parts that follow one another are read in one go, without seeking."""

    def __init__(self, info: VideoInfo, tracks: Tracks) -> None:
        self._info, self._tracks = info, tracks
        self._frames: Iterator[Frame] = iter(())
        self._next_index = -1
        self._ahead: Frame | None = None

    def read(self, part: Part) -> Iterator[tuple[int, Frame]]:
        """Each frame of the part, in the order of the result, with its source index and its `pts` in the result."""
        times = dict(zip(range(part.first, part.last), result_pts(self._tracks, part).tolist(), strict=True))
        frames = self._backward(part) if part.is_backward else self._forward(part.first, part.last)
        for index, frame in frames:
            yield index, Frame(frame.planes, times[index], frame.duration)

    def _forward(self, first: int, last: int) -> Iterator[tuple[int, Frame]]:
        pts = self._tracks.pts
        if self._next_index != first:
            self._frames, self._ahead = read_frames(self._info, int(pts[first])), None
        self._next_index = last
        while True:
            frame = self._ahead or next(self._frames, None)
            self._ahead = None
            if frame is None:
                return
            if last < len(pts) and frame.pts >= pts[last]:
                self._ahead = frame
                return
            index = int(np.searchsorted(pts, frame.pts))
            if index < len(pts) and pts[index] == frame.pts:
                yield index, frame

    def _backward(self, part: Part) -> Iterator[tuple[int, Frame]]:
        """In chunks of at most 100 MB, each decoded forward and turned round."""
        step = max(1, 100_000_000 // (self._info.width_px * self._info.height_px * 3 // 2))
        for stop in range(part.last, part.first, -step):
            yield from reversed(list(self._forward(max(part.first, stop - step), stop)))
