"""Marking with plain ipywidgets only: single frames, a slider and buttons. For where custom widgets cannot load."""

from __future__ import annotations

from typing import Any

import ipywidgets as w
import numpy as np

from ..errors import SegmentError
from ..faces.tracks import Tracks
from ..project import Project
from ..segments import Segment, Segments, format_segments, parse_segments
from ..timing import format_time
from .marks import begin_marks, save_marks, stored_marks
from .preview import make_preview, read_still


class FramePicker(w.VBox):
    """Mark where a project's face is synced: show it as the last line of a cell.

    Every edit is written to segments.json at once. It starts as `TimestampPicker` does.

    Attributes:
        segments: What segments.json holds. Setting it writes the file and shows the new segments.
    """

    def __init__(self, project: Project, tracks: Tracks | None = None, *, progress: bool = True) -> None:
        """Track the faces and make the preview where these are not in the project's folder yet.

        Raises:
            InputError: As `Project.track`, and if segments.json cannot be read or the typed segments do not fit.
        """
        self._project, self._tracks = project, tracks or project.track(progress=progress)
        begin_marks(project, self._tracks)
        self._video = make_preview(project, self._tracks, progress=progress).video
        self._edges_s = np.append(self._tracks.times_s, self._tracks.end_s)
        self._in_s: float | None = None

        wide = w.Layout(width="100%", max_width="640px")
        self._image = w.Image(format="jpeg", layout=w.Layout(width="100%", max_width="640px", height="auto"))
        self._slider = w.IntSlider(0, 0, self._tracks.n_frames - 1, description="frame", layout=wide)
        self._list = w.Select(options=[], rows=5, description="segments", layout=wide)
        self._text = w.Text(description="times", placeholder="0:31-1:00, 1:09-1:24", continuous_update=False)
        self._text.layout = wide
        self._told = w.Label()
        buttons = [
            self._button("−1", "Show the frame before", lambda: self._step(-1)),
            self._button("+1", "Show the next frame", lambda: self._step(1)),
            self._button("Set in", "A segment begins with this frame", self._set_in),
            self._button("Set out", "It ends with this frame", self._set_out),
            self._button("Delete", "Remove the chosen segment", self._delete),
        ]
        self._slider.observe(lambda _: self._show(), names="value")
        self._text.observe(self._type, names="value")
        super().__init__([self._image, self._slider, w.HBox(buttons), self._list, self._text, self._told])
        self.look_again()
        self._show()

    @property
    def segments(self) -> Segments:
        return stored_marks(self._project)

    @segments.setter
    def segments(self, segments: Segments) -> None:
        save_marks(self._project, self._tracks, segments)
        self.look_again()

    def _button(self, name: str, tooltip: str, act: Any) -> w.Button:
        button = w.Button(description=name, tooltip=tooltip, layout=w.Layout(width="auto"))
        button.on_click(lambda _: act())
        return button

    def look_again(self) -> None:
        """Show the segments that stand in the folder now."""
        self._list.options = [(str(s), s) for s in self.segments]
        self._text.value = format_segments(self.segments)
        total_s, end_s = self.segments.duration_s, self._tracks.end_s
        face, rest = format_time(total_s, decimals=1), format_time(end_s - total_s, decimals=1)
        self._tell(f"face {face} · no face {rest} · saved")

    def _tell(self, text: str) -> None:
        self._told.value = text

    def _step(self, n_frames: int) -> None:
        self._slider.value += n_frames  # ipywidgets keeps it in its range

    def _show(self) -> None:
        time_s = float(self._edges_s[self._slider.value])
        self._image.value = read_still(self._video, time_s - float(self._edges_s[0]))
        self._slider.description = format_time(time_s, decimals=2)

    def _set_in(self) -> None:
        self._in_s = float(self._edges_s[self._slider.value])
        self._tell(f"in at {format_time(self._in_s)}: go to the last frame of the segment and press Set out")

    def _set_out(self) -> None:
        out_s = float(self._edges_s[self._slider.value + 1])
        if self._in_s is None or self._in_s >= out_s:
            self._tell("go to the first frame of the segment and press Set in, then to its last and press Set out")
            return
        self.segments = self.segments | Segments([Segment(self._in_s, out_s)])
        self._in_s = None

    def _delete(self) -> None:
        chosen = self._list.value
        self.segments = Segments(s for s in self.segments if s != chosen)

    def _type(self, change: dict[str, Any]) -> None:
        if change["new"] == format_segments(self.segments):
            return
        try:
            self.segments = parse_segments(change["new"]).snap(self._edges_s)  # the text has no more than ms
        except SegmentError as error:
            self._tell(f"not saved: {error}")
