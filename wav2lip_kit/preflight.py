"""Before the long run: what will be synced, whom the video shows, and what it will cost here."""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from .faces.people import Person, find_people
from .faces.presence import absence
from .frames import Encoding
from .plan import Plan
from .sync import LipSyncer, render
from .timeline import Part, PartReader
from .timing import format_time

if TYPE_CHECKING:
    from .faces.tracks import Tracks
    from .project import Project

SAMPLE_FRAMES = 24
MOST_STRETCHES = 8
"""Of those without a sync; more are only counted."""


@dataclass(frozen=True)
class Preflight:
    """What a run will do.

    Attributes:
        video_s: Length of the video.
        synced_s: Of it, the time in segments where the speaker is seen.
        without: What is left as it is: start and end in seconds, and why (see `faces.presence`; "" is "not marked").
        people: Everybody found.
        sync_s: About how long the rest of the rendering takes on this machine.
        disk_bytes: About how much it writes, parts and result.
        free_bytes: What is free in the project's folder.
    """

    video_s: float
    synced_s: float
    without: tuple[tuple[float, float, str], ...]
    people: tuple[Person, ...]
    sync_s: float
    disk_bytes: int
    free_bytes: int

    def rows(self) -> dict[str, str]:
        """A table of a few lines: what is told, and the figures in words."""
        synced, share = format_time(self.synced_s, decimals=1), self.synced_s / max(1e-9, self.video_s)
        stretches = [
            f"{format_time(a, decimals=1)}-{format_time(b, decimals=1)} {why or 'not marked'}"
            for a, b, why in self.without
        ]
        more = [f"and {len(stretches) - MOST_STRETCHES} more"] if len(stretches) > MOST_STRETCHES else []
        faces = [f"{p.name} {format_time(p.screen_s, decimals=1)}" for p in self.people]
        others = [f"and {len(faces) - MOST_STRETCHES} more"] if len(faces) > MOST_STRETCHES else []
        return {
            "synced": f"{synced} of {format_time(self.video_s, decimals=1)} ({share:.0%})",
            "left alone": ", ".join(stretches[:MOST_STRETCHES] + more) or "nothing",
            "people": ", ".join(faces[:MOST_STRETCHES] + others) or "nobody",
            "time": f"about {format_time(self.sync_s, decimals=0)} on this machine",
            "disk": f"about {self.disk_bytes / 1e6:.0f} MB, {self.free_bytes / 1e6:.0f} MB are free",
        }

    def __str__(self) -> str:
        return "\n".join(f"{name:<11} {text}" for name, text in self.rows().items())


def preflight(project: Project, tracks: Tracks, syncer: LipSyncer | None = None) -> Preflight:
    """Look ahead at a run. Time and disk come from rendering a second or so of this video, here and now.

    Raises:
        InputError: As `Project.plan`.
    """
    plan = project.plan(tracks)
    segments = project.segments
    in_segments = segments.frame_mask(tracks.times_s)
    synced = in_segments & ~np.isnan(plan.face.scores)
    reasons = absence(tracks, plan.face, project.settings.presence)
    reasons[in_segments & np.isnan(plan.face.scores)] = "nobody"
    ends_s = np.append(tracks.times_s[1:], tracks.end_s)
    todo = [part for part, path in zip(plan.parts, plan.paths, strict=True) if not path.is_file()]
    sync_s, part_bytes = _costs(project, tracks, plan, todo, syncer)
    return Preflight(
        video_s=tracks.end_s,
        synced_s=float((ends_s - tracks.times_s)[synced].sum()),
        without=tuple(_stretches(tracks, synced, reasons, ends_s)),
        people=find_people(tracks),
        sync_s=sync_s,
        disk_bytes=2 * part_bytes,
        free_bytes=shutil.disk_usage(project.folder).free,
    )


def _stretches(
    tracks: Tracks, synced: np.ndarray, reasons: np.ndarray, ends_s: np.ndarray
) -> list[tuple[float, float, str]]:
    """Runs of frames that are left alone, each with its most frequent reason."""
    edges = [0, *(np.flatnonzero(np.diff(synced)) + 1).tolist(), tracks.n_frames]
    found: list[tuple[float, float, str]] = []
    for a, b in pairwise(edges):
        if not synced[a]:
            names, counts = np.unique(reasons[a:b], return_counts=True)
            found.append((float(tracks.times_s[a]), float(ends_s[b - 1]), str(names[counts.argmax()])))
    return found


def _costs(
    project: Project, tracks: Tracks, plan: Plan, todo: list[Part], syncer: LipSyncer | None
) -> tuple[float, int]:
    """Seconds and bytes of the parts that are still to be rendered, from a piece of each kind."""
    total_s, total_bytes = 0.0, 0.0
    for is_face in (True, False):
        parts = [part for part in todo if part.is_face == is_face]
        n_frames = sum(part.last - part.first for part in parts)
        if not n_frames:
            continue
        part = max(parts, key=lambda p: p.last - p.first)
        middle = (part.first + part.last) // 2
        piece = Part(middle, min(part.last, middle + SAMPLE_FRAMES), 0, False, part.mark)
        syncer = syncer or (project.load_syncer() if is_face else None)
        with TemporaryDirectory(dir=project.folder) as folder:
            out = Path(folder) / "piece.mp4"
            started_s = time.perf_counter()
            frames = PartReader(project.video, tracks).read(piece)
            count = render(
                ((frame, plan.crop_matrix(piece, index)) for index, frame in itertools.islice(frames, SAMPLE_FRAMES)),
                project.video,
                out,
                syncer,
                project.sound.mel,
                encoding=Encoding(crf=project.settings.crf),
            )
            total_s += (time.perf_counter() - started_s) / count * n_frames
            total_bytes += out.stat().st_size / count * n_frames
    return total_s, round(total_bytes)
