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
from .media import probe, read_frames
from .project import Project
from .segments import Segments
from .timing import format_time

TILE_PX = 320


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


def write_contact_sheet(before: Path, after: Path, segments: Segments, out: Path, *, columns: int = 8) -> None:
    """Write a picture with frames of two videos above one another, spread over the time, FACE frames marked.

    Args:
        before: The source.
        after: The result.
        segments: Where it was synced.
        out: The PNG.
        columns: How many moments are shown.
    """
    info = probe(after)
    times_s = (np.arange(columns) + 0.5) * info.duration_s / columns
    rows = [_tiles(path, times_s, segments) for path in (before, after)]
    sheet = np.vstack([np.hstack(row) for row in rows])
    with replace_when_whole(out) as part:
        part.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())


def _tiles(path: Path, times_s: np.ndarray, segments: Segments) -> list[np.ndarray]:
    info = probe(path)
    tiles: list[np.ndarray] = []
    for frame in read_frames(info):
        if len(tiles) < len(times_s) and info.time_s(frame.pts) >= times_s[len(tiles)]:
            time_s = info.time_s(frame.pts)
            tile = frame_to_bgr(frame, info.color, TILE_PX)
            label = f"{format_time(time_s, decimals=2)}  {'FACE' if segments.at(time_s) else 'NO_FACE'}"
            cv2.rectangle(tile, (0, 0), (tile.shape[1], 18), (32, 32, 32), cv2.FILLED)
            cv2.putText(tile, label, (6, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
            tiles.append(tile)
    return tiles
