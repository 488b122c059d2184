"""The people of a video: tracks that show the same person, also before and after a cut.

Two tracks belong together when the second takes up the first's place in the same shot, or when they look alike
(`appearance`); never when both are on screen at once. In doubt two tracks stay two people: a speaker may be several,
`person-1+person-3`, but a mouth on the wrong face cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..colour import frame_to_bgr
from ..frames import read_frames
from ..media import VideoInfo
from .tracks import Track, Tracks, iou

MIN_LIKENESS = 0.955
"""Measured on pairs of tracks: the same person in the same clothes and view 0.96 to 1, two people at most 0.95."""
MAX_AWAY_S = 2.0
"""A face that comes back to its place within this time is the same."""
COLOURS = ("#1f77b4", "#e6862c", "#2a9d5c", "#b03a8c", "#8a6d3b", "#5b5bd6", "#c9a400", "#4a9aa8")
THUMBNAIL_PX = 112


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody seen in the video.

    Attributes:
        name: `person-1` is seen the most (face size summed over time), and so on.
        tracks: In the order of time.
        screen_s: How long the face is seen, seconds.
    """

    name: str
    tracks: tuple[Track, ...]
    screen_s: float

    @property
    def colour(self) -> str:
        """As `#rrggbb`, in the gallery and on the timeline."""
        return COLOURS[(int(self.name.rpartition("-")[2]) - 1) % len(COLOURS)]


def find_people(tracks: Tracks) -> tuple[Person, ...]:
    """Everybody seen in a video, those who are seen the most first."""
    groups: list[list[int]] = [[i] for i in range(len(tracks.tracks))]
    of = list(range(len(groups)))
    for i, j in _alike(tracks):
        first, second = groups[of[i]], groups[of[j]]
        if first is second or any(_at_once(tracks.tracks[a], tracks.tracks[b]) for a in first for b in second):
            continue
        first += second
        for k in second:
            of[k] = of[i]
    kept = [sorted(groups[g]) for g in sorted(set(of))]
    kept.sort(key=lambda group: -sum(_size_px(tracks.tracks[i]).sum() for i in group))
    frame_s = (tracks.end_s - float(tracks.times_s[0])) / tracks.n_frames
    return tuple(
        Person(
            f"person-{number}",
            tuple(tracks.tracks[i] for i in group),
            sum(len(tracks.tracks[i].scores) for i in group) * frame_s,
        )
        for number, group in enumerate(kept, start=1)
    )


def _alike(tracks: Tracks) -> list[tuple[int, int]]:
    """Pairs of tracks that may be one person, the surest first."""
    found: list[tuple[float, int, int]] = []
    shot_of = np.searchsorted(tracks.cuts, [t.start for t in tracks.tracks], side="right")
    for j, later in enumerate(tracks.tracks):
        for i, earlier in enumerate(tracks.tracks[:j]):
            if _at_once(earlier, later):
                continue
            likeness = float(earlier.signature @ later.signature) if earlier.signature.size else 0.0
            away_s = tracks.times_s[later.start] - tracks.times_s[earlier.stop - 1]
            same_place = iou(earlier.boxes_xyxy[-1], later.boxes_xyxy[0]) > 0.3
            if shot_of[i] == shot_of[j] and same_place and away_s < MAX_AWAY_S:
                likeness += 1
            if likeness >= MIN_LIKENESS:
                found.append((likeness, i, j))
    return [(i, j) for _, i, j in sorted(found, reverse=True)]


def _at_once(a: Track, b: Track) -> bool:
    return a.start < b.stop and b.start < a.stop


def _size_px(track: Track) -> np.ndarray:
    """(n,) the side of a square as large as the box."""
    return np.sqrt(np.prod(track.boxes_xyxy[:, 2:] - track.boxes_xyxy[:, :2], axis=1))


def thumbnails(info: VideoInfo, tracks: Tracks, people: Sequence[Person]) -> list[np.ndarray]:
    """A picture of each person's face, where it is large and well seen: (112, 112, 3) uint8 BGR."""
    return [_thumbnail(info, tracks, person) for person in people]


def _thumbnail(info: VideoInfo, tracks: Tracks, person: Person) -> np.ndarray:
    track = max(person.tracks, key=lambda t: t.area)
    best = int(np.argmax(track.scores * _size_px(track)))
    picture = frame_to_bgr(next(read_frames(info, int(tracks.pts[track.start + best]))), info.color)
    x0, y0, x1, y1 = (float(v) for v in track.boxes_xyxy[best])
    scale = THUMBNAIL_PX / (1.5 * max(x1 - x0, y1 - y0))
    middle = np.array([[THUMBNAIL_PX / 2], [THUMBNAIL_PX / 2]]) - scale * np.array([[(x0 + x1) / 2], [(y0 + y1) / 2]])
    return cv2.warpAffine(picture, np.hstack([scale * np.eye(2), middle]), (THUMBNAIL_PX, THUMBNAIL_PX))
