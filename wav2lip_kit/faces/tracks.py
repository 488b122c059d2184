"""What is known of the faces of a video: a track for each, and the time of every frame; kept as an .npz file."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..files import StrPath, replace_when_whole


@dataclass(frozen=True, eq=False)
class Track:
    """One face over consecutive frames.

    Attributes:
        start: Index of its first frame.
        boxes_xyxy: (n, 4) float32, pixels of the upright picture.
        scores: (n,) float32 in 0..1.
        landmarks_xy: (n, 5, 2) float32, NaN where the detector has none.
        signature: (d,) float32, what it looks like on average, see `appearance`; (0,) where that is not known.
    """

    start: int
    boxes_xyxy: np.ndarray
    scores: np.ndarray
    landmarks_xy: np.ndarray
    signature: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def stop(self) -> int:
        return self.start + len(self.boxes_xyxy)

    @property
    def area(self) -> float:
        """Its picture area summed over time, px² · frames: how much it is on screen."""
        width, height = (self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]).T
        return float((width * height).sum())


@dataclass(frozen=True, eq=False)
class Tracks:
    """All faces of a video, and the time of every frame.

    Attributes:
        pts: (T,) int64 presentation time of each frame, counted from the video's time zero.
        time_base: Seconds of one tick of `pts`.
        last_duration: Ticks that the last frame is shown.
        cuts: Indices of the frames that begin a new shot, rising, without 0.
        tracks: Ordered by their first frame.
    """

    pts: np.ndarray
    time_base: Fraction
    last_duration: int
    cuts: np.ndarray
    tracks: tuple[Track, ...]

    @property
    def n_frames(self) -> int:
        return len(self.pts)

    @property
    def times_s(self) -> np.ndarray:
        """(T,) when each frame is shown, seconds."""
        return self.pts * float(self.time_base)

    @property
    def end_pts(self) -> int:
        return int(self.pts[-1]) + self.last_duration

    @property
    def end_s(self) -> float:
        """When the last frame ends, seconds from time zero."""
        return float(self.end_pts * self.time_base)

    def shots(self) -> list[tuple[int, int]]:
        """Half-open frame ranges between cuts."""
        edges = [0, *self.cuts.tolist(), self.n_frames]
        return list(pairwise(edges))

    def save(self, path: StrPath) -> None:
        """Write to an .npz file."""
        empty = np.zeros((0, 4), np.float32)
        with replace_when_whole(path) as part:
            np.savez_compressed(
                part,
                pts=self.pts,
                time_base=[self.time_base.numerator, self.time_base.denominator],
                last_duration=self.last_duration,
                cuts=self.cuts,
                starts=[t.start for t in self.tracks],
                stops=[t.stop for t in self.tracks],
                boxes_xyxy=np.concatenate([empty, *(t.boxes_xyxy for t in self.tracks)]),
                scores=np.concatenate([empty[:, 0], *(t.scores for t in self.tracks)]),
                landmarks_xy=np.concatenate([np.zeros((0, 5, 2), np.float32), *(t.landmarks_xy for t in self.tracks)]),
                signatures=np.array([t.signature for t in self.tracks], np.float16),
            )

    @classmethod
    def load(cls, path: StrPath) -> Tracks:
        """Read what `save` wrote."""
        with np.load(Path(path)) as data:
            edges = np.cumsum([0, *(data["stops"] - data["starts"])]).astype(int)
            rows = [slice(a, b) for a, b in pairwise(edges)]
            boxes, scores, points = data["boxes_xyxy"], data["scores"], data["landmarks_xy"]
            looks = data["signatures"].astype(np.float32)
            tracks = tuple(
                Track(int(start), boxes[r], scores[r], points[r], look)
                for start, r, look in zip(data["starts"], rows, looks, strict=True)
            )
            time_base = Fraction(int(data["time_base"][0]), int(data["time_base"][1]))
            return cls(data["pts"], time_base, int(data["last_duration"]), data["cuts"].astype(int), tracks)


def iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> float:
    """Intersection over union of two boxes, 0..1."""
    low, high = np.maximum(a_xyxy[:2], b_xyxy[:2]), np.minimum(a_xyxy[2:], b_xyxy[2:])
    inside = float(np.prod(np.maximum(0, high - low)))
    total = float(np.prod(a_xyxy[2:] - a_xyxy[:2]) + np.prod(b_xyxy[2:] - b_xyxy[:2])) - inside
    return inside / total if total > 0 else 0.0
