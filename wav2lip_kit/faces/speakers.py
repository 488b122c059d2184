"""Whom to sync: from all tracks of a video to the boxes of one speaker.

largest       the person who takes up most of the picture, shot by shot
X,Y@T         the person under this point at this time (0:12, 75 s, …)
X0,Y0,X1,Y1   the person inside this box, whenever there is one
FILE          a JSON list with a box [x0, y0, x1, y1] or null for every frame
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from ..errors import FaceError
from ..files import names_file
from ..notices import notice
from ..timing import format_time, parse_time
from .tracking import Track, Tracks, iou

CHOICES = (
    "largest, talking, X,Y@T (a point and a time), X0,Y0,X1,Y1 (a box in pixels), or a JSON file with a box per frame"
)
_NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"
_POINT = re.compile(rf"{_NUMBER},{_NUMBER}@(.+)")
_BOX = re.compile(",".join([_NUMBER] * 4))


def check_speaker(speaker: str) -> None:
    """Make sure that a speaker can be understood, before any long work.

    Raises:
        FaceError: If not; a time code in it may raise SegmentError.
    """
    if speaker in ("largest", "talking"):
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


def speaker_boxes(tracks: Tracks, speaker: str = "largest") -> np.ndarray:
    """The speaker's box in every frame.

    Args:
        tracks: All faces of the video.
        speaker: See the top of this module.

    Returns:
        (T, 4) float32, NaN where the speaker is not seen.

    Raises:
        FaceError: If there is no face at all, none where `speaker` points, or it cannot be understood.
    """
    check_speaker(speaker)
    if point := _POINT.fullmatch(speaker):
        chosen = _at_point(tracks, float(point[1]), float(point[2]), parse_time(point[3]))
    elif box := _BOX.fullmatch(speaker):
        chosen = _in_box(tracks, np.array(box.groups(), np.float32))
    elif speaker not in ("largest", "talking"):
        return _from_file(tracks, Path(speaker))
    else:
        if speaker == "talking":
            notice("telling who talks is not built yet; the largest face is synced")
        chosen = _largest(tracks)
    boxes = np.full((tracks.n_frames, 4), np.nan, np.float32)
    for track in chosen:
        boxes[track.start : track.stop] = track.boxes_xyxy
    return boxes


def _largest(tracks: Tracks) -> list[Track]:
    """Per shot the track with the most picture area, and those that fill its gaps without ever overlapping it."""
    chosen = []
    for start, stop in tracks.shots():
        free = np.ones(tracks.n_frames, bool)
        for track in sorted((t for t in tracks.tracks if start <= t.start < stop), key=lambda t: -t.area):
            if free[track.start : track.stop].all():
                free[track.start : track.stop] = False
                chosen.append(track)
    return chosen


def _at_point(tracks: Tracks, x: float, y: float, time_s: float) -> list[Track]:
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
    return _follow(tracks, max(hits, key=lambda t: t.area))


def _contains(box_xyxy: np.ndarray, x: float, y: float) -> bool:
    return bool(box_xyxy[0] <= x <= box_xyxy[2] and box_xyxy[1] <= y <= box_xyxy[3])


def _follow(tracks: Tracks, first: Track) -> list[Track]:
    """The track, and those before and after it that take up its place, at about its size, when it is not seen."""
    chosen = [first]
    for forward in (True, False):
        last = first
        for track in sorted(tracks.tracks, key=lambda t: t.start, reverse=not forward):
            apart = track.start >= last.stop if forward else track.stop <= last.start
            edge, next_edge = (-1, 0) if forward else (0, -1)
            if apart and iou(last.boxes_xyxy[edge], track.boxes_xyxy[next_edge]) > 0.3:
                chosen.append(track)
                last = track
    return chosen


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
            "give a point on the face as X,Y@T, or run `wav2lip-kit suggest` to see the faces found"
        )
    chosen: list[Track] = []
    for track in sorted(inside, key=lambda t: -t.area):
        if all(track.stop <= c.start or track.start >= c.stop for c in chosen):
            chosen.append(track)
    return chosen


def _from_file(tracks: Tracks, path: Path) -> np.ndarray:
    boxes = _read_boxes(path)
    if len(boxes) != tracks.n_frames:
        raise FaceError(
            f"{path.name} has {len(boxes)} boxes but the video has {tracks.n_frames} frames: "
            "give one box or null for each"
        )
    return np.array([[np.nan] * 4 if b is None else b for b in boxes], np.float32)


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
