"""What has to be rendered: the parts of the result, the face and the sound of every frame, and the file of each part.

A part's file carries a key of all that its pixels depend on in its name. A file that is there is a file that fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from .blending import crop_mask, mouth_region
from .checkpoints import weights_id
from .combine import Insert
from .errors import FaceError
from .faces.speakers import Face
from .faces.tracks import Tracks
from .files import key_of
from .media import VideoInfo
from .notices import notice
from .segments import Segment, Segments
from .settings import Settings
from .sounds import Sound
from .sync import pick_device
from .timeline import Part, plan_parts, result_pts
from .timing import format_time

RENDER_VERSION = 2
"""Part of every key: raise it when the same settings render other pixels."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything about a result that is known before it is rendered.

    Attributes:
        parts: In the order of the result.
        paths: The file of each part.
        inserts: The audio of segments that have their own, in the order of the result.
        face: The speaker in every source frame; a segment may have another than the rest.
        end_pts: Where the last frame of the result ends.
    """

    parts: list[Part]
    paths: list[Path]
    inserts: list[Insert]
    face: Face
    end_pts: int

    @property
    def n_frames(self) -> int:
        """Of the result."""
        return sum(part.last - part.first for part in self.parts)

    def crop_matrix(self, part: Part, index: int) -> np.ndarray | None:
        """The map (2, 3) from a source frame of a part to its crop, None where nothing is synced."""
        return self.face.crop_matrix(index) if part.is_face else None

    def sound(self, start_s: float, main: Sound) -> tuple[Sound, float]:
        """What is heard in a part that starts at this time of the result: the sound, and when that begins."""
        insert = next((i for i in self.inserts if i.start_s <= start_s < i.end_s), None)
        return (insert.sound, insert.start_s) if insert else (main, 0.0)


def make_plan(
    video: VideoInfo,
    tracks: Tracks,
    segments: Segments,
    faces: Mapping[str, Face],
    sounds: Mapping[str, Sound],
    settings: Settings,
    *,
    folder: Path,
    video_key: str,
) -> Plan:
    """Lay out the result. Gives a notice where FACE frames show no face, and where audio is cut.

    Args:
        video: The source.
        tracks: Gives the time of every frame.
        segments: Where to sync.
        faces: Of the speakers that segments name, by that name; "" is the speaker of the job. Empty without segments.
        sounds: The audio that segments name, by that name; "" is the new audio of the job.
        settings: What the user asked for.
        folder: Where the parts lie.
        video_key: Stands for the source and its trim.

    Raises:
        SegmentError: If a segment lies outside the video.
        FaceError: If no segment shows its speaker.
    """
    segments.check_within(tracks.end_s)
    on_frames = segments.snap(tracks.times_s, tracks.end_s)
    marks = on_frames.frame_marks(tracks.times_s)
    face = faces.get("") or Face.of(tracks.n_frames, ())
    for number, segment in enumerate(on_frames, start=1):
        if segment.speaker:
            face = faces[segment.speaker].where(marks == number, face)
    _tell_of_missing_faces(tracks, marks > 0, face.boxes_xyxy, segments, settings)
    fit = "silence" if video.kind == "image" else settings.fit
    audio_s = sounds[""].duration_s
    parts, end_pts = plan_parts(tracks, marks, audio_s, fit)
    inserts = _inserts(tracks, parts, end_pts, on_frames, sounds)
    video_s = float(end_pts * tracks.time_base)
    if audio_s > video_s + 0.1:
        notice(
            f"the audio ({format_time(audio_s, decimals=1)}) is longer than the video "
            f"({format_time(video_s, decimals=1)}): its end is cut; use --fit loop or bounce to keep it"
        )
    plan = Plan(parts, [], inserts, face, end_pts)
    weights, device = weights_id(settings.weights), pick_device(settings.device)
    for number, part in enumerate(parts):
        frames = slice(part.first, part.last)
        depends_on = [
            RENDER_VERSION,
            video_key,
            replace(part, mark=int(part.is_face)),
            tracks.pts[frames],
            settings.crf,
        ]
        if part.is_face:
            sound, start_s = plan.sound(part_start_s(tracks, part), sounds[""])
            depends_on += [sound.key, start_s, face.boxes_xyxy[frames], face.landmarks_xy[frames]]
            depends_on += [weights, device, settings.shift_ms, settings.paste]
        plan.paths.append(folder / f"{number:04d}-{key_of(*depends_on)}.mp4")
    return plan


def part_start_s(tracks: Tracks, part: Part) -> float:
    """When a part begins in the result, seconds."""
    return float(int(result_pts(tracks, part).min()) * tracks.time_base)


def _inserts(
    tracks: Tracks, parts: list[Part], end_pts: int, segments: Segments, sounds: Mapping[str, Sound]
) -> list[Insert]:
    """Where in the result the audio of segments is heard; a segment that is shown again is heard again."""
    starts_s = [*(part_start_s(tracks, part) for part in parts), float(end_pts * tracks.time_base)]
    found: list[Insert] = []
    runs = groupby(range(len(parts)), key=lambda i: (parts[i].mark, parts[i].shift_pts, parts[i].is_backward))
    for (mark, _, _), indices in ((key, list(run)) for key, run in runs):
        if mark and segments[mark - 1].audio:
            insert = Insert(sounds[segments[mark - 1].audio], starts_s[indices[0]], starts_s[indices[-1] + 1])
            _tell_of_cut_audio(insert, segments[mark - 1])
            found.append(insert)
    return found


def _tell_of_cut_audio(insert: Insert, segment: Segment) -> None:
    length_s, audio_s = insert.end_s - insert.start_s, insert.sound.duration_s
    if audio_s > length_s + 0.1:
        notice(
            f"{insert.sound.info.name} ({format_time(audio_s, decimals=1)}) is longer than its segment {segment} "
            f"({format_time(length_s, decimals=1)}): its end is cut; make the segment longer to keep it"
        )


def _tell_of_missing_faces(
    tracks: Tracks, is_face: np.ndarray, boxes: np.ndarray, segments: Segments, settings: Settings
) -> None:
    missing = np.flatnonzero(is_face & np.isnan(boxes[:, 0]))
    if len(missing) == is_face.sum() > 0:
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
            matrix = plan.crop_matrix(part, index)
            region = None if matrix is None else mouth_region(matrix, mask, (video.height_px, video.width_px))
            if region is not None:
                regions[count] = region
            count += 1
    return regions
