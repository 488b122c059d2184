"""What has to be rendered: the parts of the result, the box of every frame, and the file of each part.

A part's file carries a key of all that its pixels depend on in its name. A file that is there is a file that fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .blending import crop_mask, mouth_region
from .checkpoints import weights_id
from .errors import FaceError
from .faces.crops import crop_matrix
from .faces.tracking import Tracks
from .files import key_of
from .media import VideoInfo
from .notices import notice
from .segments import Segments
from .settings import Settings
from .sync import pick_device
from .timeline import Part, plan_parts
from .timing import format_time

RENDER_VERSION = 1
"""Part of every key: raise it when the same settings render other pixels."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything about a result that is known before it is rendered.

    Attributes:
        parts: In the order of the result.
        paths: The file of each part.
        boxes_xyxy: (T, 4) float32, the speaker in every source frame that is to be synced; NaN elsewhere.
        end_pts: Where the last frame of the result ends.
    """

    parts: list[Part]
    paths: list[Path]
    boxes_xyxy: np.ndarray
    end_pts: int

    @property
    def n_frames(self) -> int:
        """Of the result."""
        return sum(part.last - part.first for part in self.parts)

    def box(self, part: Part, index: int) -> np.ndarray | None:
        """The speaker's box (4,) in a source frame of a part, None where nothing is synced."""
        return self.boxes_xyxy[index] if part.is_face and not np.isnan(self.boxes_xyxy[index, 0]) else None


def make_plan(
    video: VideoInfo,
    tracks: Tracks,
    segments: Segments,
    boxes_xyxy: np.ndarray,
    audio_s: float,
    settings: Settings,
    *,
    folder: Path,
    video_key: str,
    audio_key: str,
) -> Plan:
    """Lay out the result. Gives a notice where FACE frames show no face, and where audio is cut.

    Args:
        video: The source.
        tracks: Gives the time of every frame.
        segments: Where to sync.
        boxes_xyxy: (T, 4) float32, the speaker in every frame, NaN where unseen.
        audio_s: Length of the new audio.
        settings: What the user asked for.
        folder: Where the parts lie.
        video_key: Stands for the source and its trim.
        audio_key: Stands for the new audio and its trim.

    Raises:
        SegmentError: If a segment lies outside the video.
        FaceError: If no segment shows the speaker.
    """
    segments.check_within(tracks.end_s)
    is_face = segments.snap(tracks.times_s, tracks.end_s).frame_mask(tracks.times_s)
    boxes = np.where(is_face[:, None], boxes_xyxy, np.float32(np.nan))
    _tell_of_missing_faces(tracks, is_face, boxes, segments, settings)
    fit = "silence" if video.kind == "image" else settings.fit
    parts, end_pts = plan_parts(tracks, is_face, audio_s, fit)
    video_s = float(end_pts * tracks.time_base)
    if audio_s > video_s + 0.1:
        notice(
            f"the audio ({format_time(audio_s, decimals=1)}) is longer than the video "
            f"({format_time(video_s, decimals=1)}): its end is cut; use --fit loop or bounce to keep it"
        )
    weights, device = weights_id(settings.weights), pick_device(settings.device)
    paths = []
    for number, part in enumerate(parts):
        frames = slice(part.first, part.last)
        depends_on = [RENDER_VERSION, video_key, part, tracks.pts[frames], settings.crf]
        if part.is_face:
            depends_on += [audio_key, boxes[frames], weights, device, settings.shift_ms, settings.paste]
        paths.append(folder / f"{number:04d}-{key_of(*depends_on)}.mp4")
    return Plan(parts, paths, boxes, end_pts)


def _tell_of_missing_faces(
    tracks: Tracks, is_face: np.ndarray, boxes: np.ndarray, segments: Segments, settings: Settings
) -> None:
    missing = np.flatnonzero(is_face & np.isnan(boxes[:, 0]))
    if len(missing) == is_face.sum():
        raise FaceError(
            f"no face of speaker {settings.speaker!r} in any of the segments {segments}: "
            "mark others, or choose another --speaker"
        )
    if len(missing):
        notice(
            f"{len(missing)} of {int(is_face.sum())} frames in FACE segments show no face of the speaker "
            f"(first at {format_time(float(tracks.times_s[missing[0]]), decimals=2)}); they are left as they are"
        )


def mouth_regions(plan: Plan, video: VideoInfo, settings: Settings) -> dict[int, tuple[int, int, int, int]]:
    """By index of the result's frames that are synced, the region (x0, y0, x1, y1) that can change."""
    mask = crop_mask(settings.paste)  # type: ignore[arg-type]
    regions: dict[int, tuple[int, int, int, int]] = {}
    count = 0
    for part in plan.parts:
        order = range(part.first, part.last)
        for index in reversed(order) if part.is_backward else order:
            box = plan.box(part, index)
            region = None if box is None else mouth_region(crop_matrix(box), mask, (video.height_px, video.width_px))
            if region is not None:
                regions[count] = region
            count += 1
    return regions
