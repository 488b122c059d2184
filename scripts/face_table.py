"""Make the table of docs/faces.md: every clip of a folder is run, and YuNet is asked what it sees that we do not.

python scripts/face_table.py FOLDER
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wav2lip_kit import Project, data_path
from wav2lip_kit.colour import frame_to_bgr
from wav2lip_kit.faces.detectors import load_detector
from wav2lip_kit.faces.people import find_people
from wav2lip_kit.faces.tracking import TrackConfig
from wav2lip_kit.faces.tracks import Tracks, iou
from wav2lip_kit.frames import read_frames
from wav2lip_kit.media import VideoInfo, probe

EVERY = 5
"""Frames from one second opinion to the next."""
MIN_PX = 60
COLUMNS = ("clip", "frames", "people", "tracks", "cuts", "segments", "YuNet looks", "missed", "track s", "run s")


def row_of(info: VideoInfo) -> tuple[list[str], int, int]:
    """One line of the table; how often YuNet was asked, and how often it saw a face that we did not."""
    detector = load_detector("retinaface")
    with tempfile.TemporaryDirectory() as folder:
        audio = data_path("examples/new_words.flac")
        job = Project.create(Path(folder, "job"), info.path, audio, weights="demo", detector="retinaface")
        started_s = time.perf_counter()
        tracks = job.track(detector=detector, progress=False)
        track_s = time.perf_counter() - started_s
        job.run(progress=False)
        run_s = time.perf_counter() - started_s
        segments = len(job.segments)
    looks, missed = second_opinion(info, tracks)
    counts = (tracks.n_frames, len(find_people(tracks)), len(tracks.tracks), len(tracks.cuts), segments, looks, missed)
    return [info.name, *map(str, counts), f"{track_s:.1f}", f"{run_s:.1f}"], looks, missed


def second_opinion(info: VideoInfo, tracks: Tracks) -> tuple[int, int]:
    """On how many frames YuNet looked, and on how many of them it saw a face of 60 px or more where we have none."""
    detector = load_detector("yunet")
    side_px = TrackConfig().side_px
    scale = max(1.0, max(info.width_px, info.height_px) / side_px)
    looks = missed = 0
    for index, frame in enumerate(read_frames(info)):
        if index % EVERY:
            continue
        ours = [t.boxes_xyxy[index - t.start] for t in tracks.tracks if t.start <= index < t.stop]
        theirs = [d.box_xyxy * scale for d in detector.detect([frame_to_bgr(frame, info.color, side_px)])[0]]
        large = [box for box in theirs if box[3] - box[1] >= MIN_PX]
        looks += 1
        missed += any(max((iou(box, our) for our in ours), default=0.0) < 0.2 for box in large)
    return looks, missed


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the arguments and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(argv)
    os.environ.setdefault("WAV2LIP_KIT_OFFLINE", "1")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    counts = []
    for path in sorted(options.folder.iterdir()):
        cells, looks, missed = row_of(probe(path))
        counts.append((looks, missed))
        print(f"| {' | '.join(cells)} |", flush=True)
    looks, missed = np.sum(counts, axis=0)
    print(f"\nYuNet saw a face of {MIN_PX} px or more that we did not on {missed} of {looks} frames.")


if __name__ == "__main__":
    main()
