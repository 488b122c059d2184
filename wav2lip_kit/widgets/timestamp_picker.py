"""The picker: a small video editor in a notebook cell, and what passes between it and Python.

The browser sends every edit as a message, the whole list of segments at once; it is checked here, written to
segments.json, and what now stands there is sent back in the trait `held`. The video goes to the browser in chunks that
the browser asks for, and becomes a Blob there: no base64, no served paths.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from ..errors import SegmentError
from ..faces.tracks import Tracks
from ..project import Project
from ..segments import Segment, Segments
from .marks import begin_marks, save_marks, stored_marks
from .preview import make_preview, read_still

HERE = Path(__file__).parent
CHUNK_BYTES = 200_000


class TimestampPicker(anywidget.AnyWidget):
    """Mark where a project's face is synced: show it as the last line of a cell.

    It starts with the segments of segments.json; where there are none yet, with the suggestions, which are saved.

    Attributes:
        segments: What segments.json holds. Setting it writes the file and shows the new segments.
        time_s: Where the playhead stands, seconds of the video; told when it rests, and four times a second in play.
        problem: What went wrong in the browser, such as a video that it cannot play; empty otherwise.
    """

    _esm = HERE / "timestamp_picker.mjs"
    _css = HERE / "timestamp_picker.css"

    time_s = t.Float(0.0).tag(sync=True)
    problem = t.Unicode("").tag(sync=True)
    held = t.Dict().tag(sync=True)
    """`segments` as they stand in segments.json, the `edit` that made them so, and the `problem` with it, if any."""
    suggestions = t.List().tag(sync=True)
    scene = t.Dict().tag(sync=True)
    """What does not change: name, sizes, where the video ends, its cuts."""
    times = t.Bytes().tag(sync=True)
    """(T,) float64 when each frame is shown, seconds."""
    presence = t.Bytes().tag(sync=True)
    """(T,) uint8 height of the speaker's face as a part of the picture's, 255 for all of it, 0 for no face."""
    peaks = t.Bytes().tag(sync=True)
    thumbs = t.Bytes().tag(sync=True)

    def __init__(self, project: Project, tracks: Tracks | None = None, *, progress: bool = True) -> None:
        """Track the faces and make the preview where these are not in the project's folder yet.

        Args:
            project: Whose segments are marked.
            tracks: Of `Project.track`, which is run when None.
            progress: Show bars meanwhile.

        Raises:
            InputError: As `Project.track`, and if segments.json cannot be read or the typed segments do not fit.
        """
        tracks = tracks or project.track(progress=progress)
        suggestions, presence = begin_marks(project, tracks)
        preview = make_preview(project, tracks, progress=progress)
        self._project, self._tracks = project, tracks
        self._files = {"video": preview.video, "audio": preview.audio}
        super().__init__(
            held=self._state(),
            suggestions=_rows(suggestions),
            scene={
                "name": project.video.name,
                "width_px": float(project.video.width_px * project.video.sample_aspect),  # as it is shown
                "height_px": project.video.height_px,
                "end_s": tracks.end_s,
                "cuts_s": tracks.times_s[tracks.cuts].tolist(),
                "has_sound": project.video.has_audio,
                "audio_name": project.audio.name,
                "peaks_per_s": preview.peaks_per_s,
                "n_thumbs": preview.n_thumbs,
                "bytes": {name: path.stat().st_size for name, path in self._files.items()},
                "chunk_bytes": CHUNK_BYTES,
            },
            times=tracks.times_s.astype("<f8").tobytes(),
            presence=presence.tobytes(),
            peaks=preview.peaks.tobytes(),
            thumbs=preview.thumbs.read_bytes(),
        )
        self.on_msg(self._answer)

    @property
    def segments(self) -> Segments:
        return stored_marks(self._project)

    @segments.setter
    def segments(self, segments: Segments) -> None:
        save_marks(self._project, self._tracks, segments)
        self.held = self._state()

    def look_again(self) -> None:
        """Show what stands in the folder now, after another speaker was chosen."""
        suggestions, presence = begin_marks(self._project, self._tracks)
        with self.hold_sync():
            self.suggestions, self.presence = _rows(suggestions), presence.tobytes()
            self.held = self._state()

    def _state(self, edit: str = "", problem: str = "") -> dict[str, Any]:
        return {"edit": edit, "problem": problem, "segments": _rows(self.segments)}

    def _answer(self, _: Any, message: dict[str, Any], __: Any) -> None:
        """Answer one message of the browser."""
        if message["kind"] == "edit":
            self._take(message["edit"], message["segments"])
        elif message["kind"] == "chunk":
            with self._files[message["name"]].open("rb") as file:
                file.seek(message["index"] * CHUNK_BYTES)
                self.send(message, buffers=[file.read(CHUNK_BYTES)])
        elif message["kind"] == "still":  # for browsers that cannot play the video
            time_s = float(self._tracks.times_s[message["frame"]] - self._tracks.times_s[0])
            self.send(message, buffers=[read_still(self._files["video"], time_s)])

    def _take(self, edit: str, rows: list[dict[str, Any]]) -> None:
        """Check and save an edit; one that cannot be saved is answered with the reason and the last good state."""
        problem = ""
        try:
            save_marks(self._project, self._tracks, Segments(Segment(**row) for row in rows))
        except SegmentError as error:
            problem = str(error)
        self.held = self._state(edit, problem)


def _rows(segments: Segments) -> list[dict[str, Any]]:
    return [asdict(s) for s in segments]
