"""From the speaker's boxes to suggested segments: where the face is there, large and sure enough, for long enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..segments import Segment, Segments
from .tracking import Tracks


@dataclass(frozen=True)
class PresenceConfig:
    """When a face counts as being there.

    Attributes:
        min_face_px: Smaller faces (box height) are not synced; a segment that has begun goes on down to 0.8 of it.
        min_face_s: Shorter segments are dropped.
        min_gap_s: Shorter stretches without a face are closed, unless a cut lies in them.
    """

    min_face_px: float = 32.0
    min_face_s: float = 0.3
    min_gap_s: float = 0.4


def face_presence(boxes_xyxy: np.ndarray, config: PresenceConfig = PresenceConfig()) -> np.ndarray:
    """Which frames have a face worth syncing, with hysteresis: (T, 4) float32 in, (T,) bool out."""
    heights = boxes_xyxy[:, 3] - boxes_xyxy[:, 1]
    present = np.zeros(len(heights), bool)
    is_on = False
    for index, height in enumerate(heights):
        limit = config.min_face_px * (0.8 if is_on else 1.0)
        is_on = bool(height >= limit)  # NaN, no face, is never greater
        present[index] = is_on
    return present


def suggest_segments(tracks: Tracks, boxes_xyxy: np.ndarray, config: PresenceConfig = PresenceConfig()) -> Segments:
    """Segments where the speaker's face is there.

    A segment begins with the first frame that has the face and ends where the last such frame ends, so that edges lie
    on cuts where the face comes and goes with one.
    """
    ends_s = np.append(tracks.times_s[1:], tracks.end_s)
    found: list[Segment] = []
    for start, stop in tracks.shots():
        present = face_presence(boxes_xyxy[start:stop], config)
        in_shot: list[Segment] = []
        for a, b in _runs(present):
            segment = Segment(float(tracks.times_s[start + a]), float(ends_s[start + b - 1]), source="auto")
            if in_shot and segment.start_s - in_shot[-1].end_s < config.min_gap_s:
                segment = Segment(in_shot.pop().start_s, segment.end_s, source="auto")
            in_shot.append(segment)
        found += in_shot
    return Segments(found).merge_close(1e-6).drop_short(config.min_face_s)


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Half-open index ranges where `mask` is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
