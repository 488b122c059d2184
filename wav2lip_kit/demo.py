"""The offline example: a presenter drawn by our own code is given new words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import data_path
from .colour import frame_to_bgr
from .errors import InputError
from .files import check_writable_folder, replace_when_whole
from .frames import read_frames
from .media import probe
from .project import Project
from .segments import Segments
from .timing import format_time

TILE_PX, LABEL_PX = 360, 20
COLUMNS = 4


@dataclass(frozen=True)
class DemoResult:
    """Where the parts of the example lie."""

    video: Path
    contact_sheet: Path
    report: Path


def run_demo(folder: Path, *, weights: str = "demo", progress: bool = True) -> DemoResult:
    """Dub the example: the whole job, offline.

    Args:
        folder: Project folder; made when it is not there.
        weights: Registry name or checkpoint.
        progress: Show bars.

    Raises:
        InputError: If the example is not there, or `folder` cannot be made.
    """
    video, audio = data_path("examples/presenter.mp4"), data_path("examples/new_words.flac")
    check_writable_folder(folder)
    for path in (video, audio):
        if not path.is_file():
            raise InputError(
                f"the example is not there: {str(path)!r}; get the whole repository, or install the package again"
            )
    project = Project.create(folder, video, audio, weights=weights, segments="auto")
    final = project.run(progress=progress)
    sheet = folder / "contact_sheet.png"
    write_contact_sheet(video, final, project.segments, sheet)
    return DemoResult(final, sheet, project.report_path)


def write_contact_sheet(before: Path, after: Path, segments: Segments, out: Path, *, moments: int = 8) -> None:
    """Write a picture with frames of two videos, before above after, at moments spread over the time.

    Args:
        before: The source.
        after: The result.
        segments: Where it was synced.
        out: The PNG.
        moments: How many are shown, `COLUMNS` side by side.
    """
    times_s = (np.arange(moments) + 0.5) * probe(after).duration_s / moments
    tiles = [_tiles(path, times_s, segments) for path in (before, after)]
    rows = [np.hstack(row[k : k + COLUMNS]) for k in range(0, moments, COLUMNS) for row in tiles]
    with replace_when_whole(out) as part:
        part.write_bytes(cv2.imencode(".png", np.vstack(rows))[1].tobytes())


def _tiles(path: Path, times_s: np.ndarray, segments: Segments) -> list[np.ndarray]:
    info = probe(path)
    tiles: list[np.ndarray] = []
    for frame in read_frames(info):
        time_s = info.time_s(frame.pts)
        if len(tiles) < len(times_s) and time_s >= times_s[len(tiles)]:
            picture = frame_to_bgr(frame, info.color, TILE_PX)
            label = np.full((LABEL_PX, picture.shape[1], 3), 32, np.uint8)
            text = f"{format_time(time_s, decimals=2)}  {'FACE' if segments.at(time_s) else 'NO_FACE'}"
            cv2.putText(label, text, (6, LABEL_PX - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
            tiles.append(np.vstack([label, picture]))
    return tiles
