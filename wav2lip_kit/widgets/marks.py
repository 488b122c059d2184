"""What all ways to mark share: where the marks begin, and where they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import FaceError
from ..faces.presence import absence
from ..faces.tracks import Tracks
from ..notices import notice
from ..project import Project
from ..segments import Segments, parse_segments

if TYPE_CHECKING:
    from .frame_picker import FramePicker
    from .speakers import SpeakerPicker
    from .timestamp_picker import TimestampPicker


def pick_timestamps(
    project: Project, typed: str = "", speakers: SpeakerPicker | None = None, *, progress: bool = True
) -> TimestampPicker | FramePicker:
    """The picker for a notebook cell: a `TimestampPicker`, or a `FramePicker` where anywidget is missing.

    Args:
        project: Whose segments are marked.
        typed: Times such as `0:31-1:00, 1:09-1:24`. They win over all marks: they are written to segments.json before
            any picker is made, and shown in it.
        speakers: A click in it is followed here at once.
        progress: Show bars.

    Raises:
        SegmentError: If `typed` cannot be understood or lies outside the video; nothing is written then.
    """
    segments = parse_segments(typed)
    tracks = project.track(progress=progress)
    if segments:
        save_marks(project, tracks, segments)
    try:
        from .timestamp_picker import TimestampPicker as Picker
    except ImportError as error:
        notice(f"no video picker here ({error}): mark with single frames, type times, or install anywidget")
        from .frame_picker import FramePicker as Picker
    picker = Picker(project, tracks, progress=progress)
    if speakers is not None:
        speakers.observe(lambda _: picker.look_again(), "speaker")
    return picker


def begin_marks(project: Project, tracks: Tracks) -> tuple[Segments, np.ndarray]:
    """Have marks to begin with: those in the folder, else those that the settings ask for, else the suggestions.

    Returns:
        The suggested segments, none where no face is found; and how high the speaker's face is in every frame, (T,)
        uint8, 255 for the whole picture and 0 for no face worth syncing.

    Raises:
        SegmentError: If the marks in the folder or the settings cannot be used.
    """
    suggestions, heights = _faces(project, tracks)
    if project.segments_path.is_file():
        project.segments.check_within(tracks.end_s)
    elif project.settings.segments not in ("", "auto"):
        project.suggest(tracks)
    elif suggestions:
        project.segments = suggestions
    return suggestions, heights


def stored_marks(project: Project) -> Segments:
    """What segments.json holds; none when it is not there yet."""
    return project.segments if project.segments_path.is_file() else Segments()


def save_marks(project: Project, tracks: Tracks, segments: Segments) -> None:
    """Write segments.json.

    Raises:
        SegmentError: If a segment reaches past the end of the video, or the file cannot be written.
    """
    segments.check_within(tracks.end_s)
    project.segments = segments


def _faces(project: Project, tracks: Tracks) -> tuple[Segments, np.ndarray]:
    try:
        face = project.face(tracks)
        suggestions = project.suggestions(tracks)
    except FaceError as error:  # a person can mark all the same
        notice(f"no suggestions: {error}")
        return Segments(), np.zeros(tracks.n_frames, np.uint8)
    is_there = absence(tracks, face, project.settings.presence) == ""
    parts = np.where(is_there, np.clip(face.heights_px / project.video.height_px, 1 / 255, 1), 0)
    return suggestions, np.round(255 * parts).astype(np.uint8)
