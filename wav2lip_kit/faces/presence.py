"""From the speaker's face to suggested segments: where it is there, large and turned to us enough.

Every frame that is not synced has a reason:

    ""         the face is there
    nobody     the speaker is not seen, or hidden so far that the detector misses the face
    tiny       the face is smaller than `min_face_px`
    unsure     the detector is less sure than `min_score`: a face half hidden, or none at all
    turned     the head is turned further than `max_turn_deg`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..segments import Segment, Segments
from .crops import face_roll
from .speakers import Face
from .tracks import Tracks

NOSE_REACH = 0.48
"""How far the tip of the nose stands out before the eyes, in units of the distance between them."""


@dataclass(frozen=True)
class PresenceConfig:
    """When a face counts as being there.

    Attributes:
        min_face_px: Smaller faces (box height) are not synced; a segment that has begun goes on down to 0.8 of it.
        min_score: Of the detector, 0..1; a segment that has begun goes on down to 0.9 of it.
        max_turn_deg: Heads turned further are not synced, 0 is full face and 90 profile; a segment that has begun goes
            on up to 10 degrees more.
        min_face_s: Shorter segments are dropped.
        min_gap_s: Shorter stretches without a face are closed, unless a cut lies in them.
        pad_s: Segments are widened by this much, but not over a cut or to where no face is seen.
    """

    min_face_px: float = 32.0
    min_score: float = 0.6
    max_turn_deg: float = 75.0
    min_face_s: float = 0.3
    min_gap_s: float = 0.4
    pad_s: float = 0.1


def head_turn_deg(landmarks_xy: np.ndarray) -> np.ndarray:
    """How far heads are turned to the side, from landmarks (..., 5, 2): (...) degrees in 0..90, NaN where unknown.

    It compares how far the nose stands off the line from eyes to mouth with the distance between the eyes; tilting the
    head does not change it. Good to about 10 degrees.
    """
    points = np.asarray(landmarks_xy, np.float64) @ [1, 1j] * np.exp(-1j * face_roll(landmarks_xy))[..., None]
    eyes, mouth = points[..., :2].mean(axis=-1), points[..., 3:].mean(axis=-1)
    down = np.clip((points[..., 2].imag - eyes.imag) / np.maximum(1e-6, mouth.imag - eyes.imag), 0, 1)
    nose_off = np.abs(points[..., 2].real - eyes.real - down * (mouth - eyes).real)
    apart = np.maximum(0, (points[..., 1] - points[..., 0]).real)
    return np.degrees(np.arctan2(nose_off / NOSE_REACH, apart)) + 0 * points[..., 0].real


def absence(tracks: Tracks, face: Face, config: PresenceConfig = PresenceConfig()) -> np.ndarray:
    """Why each frame has no face worth syncing, with hysteresis inside a shot: (T,) str, "" where it has."""
    turns_deg = np.nan_to_num(head_turn_deg(face.landmarks_xy))
    reasons = np.full(tracks.n_frames, "nobody", dtype="<U6")
    begins_shot = np.isin(np.arange(tracks.n_frames), tracks.cuts)
    is_on = False
    for index, (height_px, score, turn_deg) in enumerate(zip(face.heights_px, face.scores, turns_deg, strict=True)):
        is_on = is_on and not begins_shot[index]
        if np.isnan(height_px):
            reason = "nobody"
        elif height_px < config.min_face_px * (0.8 if is_on else 1.0):
            reason = "tiny"
        elif score < config.min_score * (0.9 if is_on else 1.0):
            reason = "unsure"
        elif turn_deg > config.max_turn_deg + (10 if is_on else 0):
            reason = "turned"
        else:
            reason = ""
        reasons[index] = reason
        is_on = not reason
    return reasons


def suggest_segments(tracks: Tracks, face: Face, config: PresenceConfig = PresenceConfig()) -> Segments:
    """Segments where the speaker's face is there.

    A segment begins with a frame that has the face and ends where such a frame ends, so that edges lie on cuts where
    the face comes and goes with one.
    """
    present, seen = absence(tracks, face, config) == "", ~np.isnan(face.scores)
    ends_s = np.append(tracks.times_s[1:], tracks.end_s)
    found: list[Segment] = []
    for start, stop in tracks.shots():
        times_s, shot_end_s = tracks.times_s[start:stop], float(ends_s[stop - 1])
        here = Segments.from_mask(present[start:stop], times_s, shot_end_s).merge_close(config.min_gap_s)
        may_be = Segments.from_mask(seen[start:stop], times_s, shot_end_s) | here
        found += here.pad(config.pad_s, config.pad_s) & may_be
    return Segments(found).merge_close(1e-6).drop_short(config.min_face_s).snap(tracks.times_s, tracks.end_s)
