"""Choosing whom to sync by a click, with plain ipywidgets: a face, a name and the screen time for everybody found."""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import ipywidgets as w
import numpy as np
import traitlets as t

from ..errors import FaceError
from ..faces.people import Person, find_people, thumbnails
from ..faces.speakers import names_in
from ..faces.tracks import Tracks
from ..notices import notice
from ..project import Project
from ..timing import format_time

MOST = 12
"""People shown; those who are seen less are named on the command line."""


def pick_speaker(project: Project, typed: str = "", *, progress: bool = True) -> SpeakerPicker | None:
    """The gallery for a notebook cell; None, with a notice, where the video shows no face.

    Args:
        project: Whose speaker is chosen.
        typed: Who, as `Settings.speaker` has it; empty for who was chosen before.
        progress: Show bars.

    Raises:
        InputError: If there is no such person.
    """
    tracks, typed = project.track(progress=progress), typed.strip()
    if not tracks.tracks and not typed:
        notice(f"no face anywhere in {project.video.name}: it can only get the new audio")
        return None
    picker = SpeakerPicker(project, tracks)
    picker.speaker = typed or picker.speaker
    return picker


class SpeakerPicker(w.VBox):
    """Choose whom to sync: show it as the last line of a cell.

    A click stores the speaker in the project, and suggests segments anew unless somebody has marked them by hand.

    Attributes:
        speaker: Who is chosen, as `Settings.speaker` has it. Setting it does what a click does.
    """

    speaker = t.Unicode()

    def __init__(self, project: Project, tracks: Tracks | None = None, *, progress: bool = True) -> None:
        """Track the faces where that is not done yet.

        Raises:
            FaceError: If the video shows no face.
        """
        self._project, self._tracks = project, tracks or project.track(progress=progress)
        everybody = find_people(self._tracks)
        self._people, self._more = everybody[:MOST], everybody[MOST:]
        self._shown: set[str] = set()
        if not self._people:
            raise FaceError(f"no face anywhere in {project.video.name}: give a video that shows the speaker's face")
        self._buttons = {p.name: w.ToggleButton(description=p.name, tooltip=f"Sync {p.name}") for p in self._people}
        pictures = thumbnails(project.video, self._tracks, self._people)
        cards = [self._card(person, picture) for person, picture in zip(self._people, pictures, strict=True)]
        talking = w.Button(description="who talks", tooltip="Choose who talks in the video's own sound")
        talking.on_click(lambda _: self.set_trait("speaker", self._who_talks()))
        self._told = w.Label()
        box = w.HBox(cards, layout=w.Layout(flex_flow="row wrap"))
        super().__init__([box, talking, self._told], speaker=project.settings.speaker)

    @t.validate("speaker")
    def _choose(self, proposal: dict[str, Any]) -> str:
        """Make a change in the project before anybody is told of it; nothing is changed where it cannot be made."""
        project, speaker = self._project, proposal["value"]
        if speaker != project.settings.speaker:
            project.face(self._tracks, speaker)  # raises where there is no such person
            project.settings = Project.open(project.folder, speaker=speaker).settings
            if not project.segments_path.is_file() or all(s.source == "auto" for s in project.segments):
                project.segments = project.suggestions(self._tracks)
        return speaker

    @t.observe("speaker")
    def _chosen(self, _: Any) -> None:
        self._show()

    def _card(self, person: Person, picture_bgr: np.ndarray) -> w.VBox:
        jpeg = cv2.imencode(".jpg", picture_bgr)[1].tobytes()
        button = self._buttons[person.name]
        button.layout = w.Layout(width="112px", border=f"2px solid {person.colour}")
        button.observe(partial(self._clicked, person.name), names="value")
        seen = w.Label(f"seen {format_time(person.screen_s, decimals=1)}")
        return w.VBox([w.Image(value=jpeg, format="jpeg", width=112, height=112), button, seen])

    def _clicked(self, name: str, change: dict[str, Any]) -> None:
        if change["new"] == (name in self._shown):
            return  # by ourselves
        if name == self.speaker:
            self._show()  # a second click leaves who is chosen
        self.speaker = name

    def _who_talks(self) -> str:
        talks_s = self._project.talking(self._tracks)
        return max(talks_s, key=lambda name: talks_s[name]) if any(talks_s.values()) else "largest"

    def _show(self) -> None:
        project = self._project
        self._shown = names_in(project.face(self._tracks), self._people)
        for name, button in self._buttons.items():
            button.value = name in self._shown
        kept = project.segments_path.is_file()
        who = "" if self.speaker in self._shown else f" ({', '.join(sorted(self._shown)) or 'nobody shown here'})"
        more = f" · {len(self._more)} more are seen less, up to {self._more[-1].name}" if self._more else ""
        self._told.value = f"speaker: {self.speaker}{who}" + (f" · {project.segments}" if kept else "") + more
