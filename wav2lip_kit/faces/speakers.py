"""Whom to sync: from all tracks of a video to the face of one speaker.

largest       the person whose face is seen the most, by size and time, over the whole video
talking       the person who talks in the video's own sound, see `talking`; the largest where that cannot be told
person-2      this one of the people found, see `people`; several for one: person-1+person-3
X,Y@T         the person under this point at this time (0:12, 75 s, …)
X0,Y0,X1,Y1   whoever is inside this box, whenever there is one
FILE          a JSON list with a box [x0, y0, x1, y1] or null for every frame
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FaceError
from ..files import names_file
from ..timing import format_time, parse_time
from .crops import crop_matrix, righted_roll
from .people import Person, find_people
from .tracks import Track, Tracks

CHOICES = (
    "largest, talking, person-1 (and so on), X,Y@T (a point and a time), X0,Y0,X1,Y1 (a box in pixels), "
    "or a JSON file with a box per frame"
)
_NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"
_POINT = re.compile(rf"{_NUMBER},{_NUMBER}@(.+)")
_BOX = re.compile(",".join([_NUMBER] * 4))
_NAMES = re.compile(r"person-\d+(\+person-\d+)*")


@dataclass(frozen=True, eq=False)
class Face:
    """The face of one speaker in every frame of a video.

    Attributes:
        boxes_xyxy: (T, 4) float32, NaN where the speaker is not seen.
        landmarks_xy: (T, 5, 2) float32, NaN where they are not known.
        scores: (T,) float32 in 0..1, NaN where the speaker is not seen.
    """

    boxes_xyxy: np.ndarray
    landmarks_xy: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, n_frames: int, tracks: Iterable[Track]) -> Face:
        """Put tracks that do not overlap in time together."""
        face = cls(*(np.full((n_frames, *shape), np.nan, np.float32) for shape in [(4,), (5, 2), ()]))
        for track in tracks:
            frames = slice(track.start, track.stop)
            face.boxes_xyxy[frames], face.scores[frames] = track.boxes_xyxy, track.scores
            face.landmarks_xy[frames] = track.landmarks_xy
        return face

    @property
    def heights_px(self) -> np.ndarray:
        """(T,) float32 height of the box, NaN where the speaker is not seen."""
        return self.boxes_xyxy[:, 3] - self.boxes_xyxy[:, 1]

    def crop_matrix(self, index: int) -> np.ndarray | None:
        """The map (2, 3) from a frame to its crop; None where the speaker is not seen."""
        box = self.boxes_xyxy[index]
        return None if np.isnan(box[0]) else crop_matrix(box, righted_roll(self.landmarks_xy[index]))

    def where(self, mask: np.ndarray, other: Face) -> Face:
        """This face in the frames (T,) that `mask` marks, the other's elsewhere."""
        return Face(
            np.where(mask[:, None], self.boxes_xyxy, other.boxes_xyxy),
            np.where(mask[:, None, None], self.landmarks_xy, other.landmarks_xy),
            np.where(mask, self.scores, other.scores),
        )


def is_automatic(speaker: str) -> bool:
    """Whether nobody was picked: the speaker is told from the video."""
    return speaker in ("largest", "talking")


def check_speaker(speaker: str) -> None:
    """Make sure that a speaker can be understood, before any long work.

    Raises:
        FaceError: If not; a time code in it may raise SegmentError.
    """
    if is_automatic(speaker) or _NAMES.fullmatch(speaker):
        return
    if point := _POINT.fullmatch(speaker):
        parse_time(point[3])
    elif box := _BOX.fullmatch(speaker):
        x0, y0, x1, y1 = map(float, box.groups())
        if x0 >= x1 or y0 >= y1:
            raise FaceError(f"speaker box {speaker!r} is empty: give X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1")
    elif names_file(speaker):
        _read_boxes(Path(speaker))
    else:
        raise FaceError(f"unknown speaker {speaker!r}: choose {CHOICES}")


def speaker_face(tracks: Tracks, speaker: str = "largest", talking_s: Mapping[str, float] | None = None) -> Face:
    """The speaker's face in every frame.

    Args:
        tracks: All faces of the video.
        speaker: See the top of this module.
        talking_s: For `talking`: how long each person talks, by name; None or empty where that cannot be told.

    Raises:
        FaceError: If there is no such person, none where `speaker` points, or it cannot be understood.
    """
    check_speaker(speaker)
    if names_file(speaker):
        return _from_file(tracks, Path(speaker))
    people = find_people(tracks)
    if is_automatic(speaker):
        talkers = sorted(people, key=lambda p: -(talking_s or {}).get(p.name, 0.0)) if speaker == "talking" else people
        chosen = [t for person in talkers[:1] for t in person.tracks]
    elif point := _POINT.fullmatch(speaker):
        hit = _at_point(tracks, float(point[1]), float(point[2]), parse_time(point[3]))
        chosen = next(list(person.tracks) for person in people if hit in person.tracks)
    elif box := _BOX.fullmatch(speaker):
        chosen = _in_box(tracks, np.array(box.groups(), np.float32))
    else:
        chosen = _apart(t for name in speaker.split("+") for t in _by_name(people, name).tracks)
    return Face.of(tracks.n_frames, chosen)


def names_in(face: Face, people: Iterable[Person]) -> set[str]:
    """The people whose face it is."""
    return {
        person.name
        for person in people
        if any(np.array_equal(face.boxes_xyxy[t.start : t.stop], t.boxes_xyxy) for t in person.tracks)
    }


def _by_name(people: Iterable[Person], name: str) -> Person:
    for person in people:
        if person.name == name:
            return person
    names = ", ".join(p.name for p in people) or "nobody"
    raise FaceError(f"no {name!r} in this video: found are {names}; `wav2lip-kit track` lists them")


def _apart(tracks: Iterable[Track]) -> list[Track]:
    """Of tracks that overlap in time only the larger."""
    chosen: list[Track] = []
    for track in sorted(tracks, key=lambda t: -t.area):
        if all(track.stop <= c.start or track.start >= c.stop for c in chosen):
            chosen.append(track)
    return chosen


def _at_point(tracks: Tracks, x: float, y: float, time_s: float) -> Track:
    index = int(np.searchsorted(tracks.times_s, time_s + 1e-6, side="right")) - 1
    if time_s >= tracks.end_s or index < 0:
        raise FaceError(
            f"speaker {x:g},{y:g}@{format_time(time_s)}: the video ends at {format_time(tracks.end_s, decimals=2)}"
        )
    here = [t for t in tracks.tracks if t.start <= index < t.stop]
    hits = [t for t in here if _contains(t.boxes_xyxy[index - t.start], x, y)]
    if not hits:
        faces = "; ".join(",".join(f"{v:.0f}" for v in t.boxes_xyxy[index - t.start]) for t in here) or "none"
        raise FaceError(f"no face at {x:g},{y:g} at {format_time(time_s)}: faces there (x0,y0,x1,y1) are {faces}")
    return max(hits, key=lambda t: t.area)


def _contains(box_xyxy: np.ndarray, x: float, y: float) -> bool:
    return bool(box_xyxy[0] <= x <= box_xyxy[2] and box_xyxy[1] <= y <= box_xyxy[3])


def _in_box(tracks: Tracks, box_xyxy: np.ndarray) -> list[Track]:
    """Tracks whose centre lies inside the box most of the time; the largest where several overlap in time."""
    inside = []
    for track in tracks.tracks:
        centres = (track.boxes_xyxy[:, :2] + track.boxes_xyxy[:, 2:]) / 2
        if ((centres >= box_xyxy[:2]) & (centres <= box_xyxy[2:])).all(axis=1).mean() > 0.5:
            inside.append(track)
    if not inside:
        raise FaceError(
            f"no face stays inside the speaker box {','.join(f'{v:g}' for v in box_xyxy)}; "
            "give a point on the face as X,Y@T, or run `wav2lip-kit track` to see the faces found"
        )
    return _apart(inside)


def _from_file(tracks: Tracks, path: Path) -> Face:
    boxes = _read_boxes(path)
    if len(boxes) != tracks.n_frames:
        raise FaceError(
            f"{path.name} has {len(boxes)} boxes but the video has {tracks.n_frames} frames: "
            "give one box or null for each"
        )
    boxes_xyxy = np.array([[np.nan] * 4 if b is None else b for b in boxes], np.float32)
    scores = np.where(np.isnan(boxes_xyxy[:, 0]), np.float32(np.nan), np.float32(1))
    return Face(boxes_xyxy, np.full((tracks.n_frames, 5, 2), np.nan, np.float32), scores)


def _read_boxes(path: Path) -> list[list[float] | None]:
    wanted = "a JSON list with [x0, y0, x1, y1] or null for every frame"
    try:
        boxes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FaceError(f"cannot read speaker file {str(path)!r}: {error}; it must be {wanted}") from error
    if not isinstance(boxes, list):
        raise FaceError(f"speaker file {str(path)!r} holds a {type(boxes).__name__}; it must be {wanted}")
    for index, box in enumerate(boxes):
        if box is None:
            continue
        if not (isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box)):
            raise FaceError(f"speaker file {str(path)!r}, frame {index}: {box!r} is no box; it must be {wanted}")
        if not (box[0] < box[2] and box[1] < box[3]):
            raise FaceError(f"speaker file {str(path)!r}, frame {index}: box {box!r} is empty (x0 < x1, y0 < y1)")
    return boxes
