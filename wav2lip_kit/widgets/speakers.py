"""Choosing whom to sync by a click, with plain ipywidgets: a face, a name and the screen time for everybody found."""

from __future__ import annotations

from functools import partial

import cv2
import ipywidgets as w

from ..errors import FaceError
from ..faces.people import Person, find_people, thumbnails
from ..faces.tracking import Tracks
from ..project import Project
from ..timing import format_time

MOST = 12
"""People shown; those who are seen less are named on the command line."""


class SpeakerPicker(w.VBox):
    """Choose whom to sync: show it as the last line of a cell.

    A click stores the speaker in the project, and suggests segments anew unless somebody has marked them by hand.

    Attributes:
        speaker: Who is chosen, as `Settings.speaker` has it. Setting it does what a click does.
    """

    def __init__(self, project: Project, tracks: Tracks | None = None, *, progress: bool = True) -> None:
        """Track the faces where that is not done yet.

        Raises:
            FaceError: If the video shows no face.
        """
        self._project, self._tracks = project, tracks or project.track(progress=progress)
        everybody = find_people(self._tracks)
        people, self._more = everybody[:MOST], everybody[MOST:]
        if not people:
            raise FaceError(f"no face anywhere in {project.video.name}: give a video that shows the speaker's face")
        self._buttons = {p.name: w.ToggleButton(description=p.name, tooltip=f"Sync {p.name}") for p in people}
        pictures = thumbnails(project.video, self._tracks, people)
        cards = [self._card(person, picture) for person, picture in zip(people, pictures, strict=True)]
        talking = w.Button(description="who talks", tooltip="Choose who talks in the video's own sound")
        talking.on_click(lambda _: self._pick(self._who_talks()))
        self._told = w.Label()
        super().__init__([w.HBox(cards, layout=w.Layout(flex_flow="row wrap")), talking, self._told])
        self._show()

    @property
    def speaker(self) -> str:
        return self._project.settings.speaker

    @speaker.setter
    def speaker(self, speaker: str) -> None:
        self._pick(speaker)

    def _card(self, person: Person, picture_bgr) -> w.VBox:
        jpeg = cv2.imencode(".jpg", picture_bgr)[1].tobytes()
        button = self._buttons[person.name]
        button.layout = w.Layout(width="112px", border=f"2px solid {person.colour}")
        button.observe(partial(self._clicked, person.name), names="value")
        seen = w.Label(f"seen {format_time(person.screen_s, decimals=1)}")
        return w.VBox([w.Image(value=jpeg, format="jpeg", width=112, height=112), button, seen])

    def _clicked(self, name: str, change: dict) -> None:
        if change["new"] != (name == self.speaker):
            self._pick(name)

    def _who_talks(self) -> str:
        talks_s = self._project.talking(self._tracks)
        return max(talks_s, key=lambda name: talks_s[name]) if any(talks_s.values()) else "largest"

    def _pick(self, speaker: str) -> None:
        project = self._project
        project.face(self._tracks, speaker)  # raises where there is no such person
        project.settings = Project.open(project.folder, speaker=speaker).settings
        if not project.segments_path.is_file() or all(s.source == "auto" for s in project.segments):
            project.segments = project.suggestions(self._tracks)
        self._show()

    def _show(self) -> None:
        for name, button in self._buttons.items():
            button.value = name == self.speaker
        kept = self._project.segments_path.is_file()
        more = f" · {len(self._more)} more are seen less, up to {self._more[-1].name}" if self._more else ""
        self._told.value = f"speaker: {self.speaker}" + (f" · {self._project.segments}" if kept else "") + more
