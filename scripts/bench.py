"""Milliseconds a frame of every stage, frames per second and peak memory: `make bench`, or `make bench CLIP=talk.mp4`.

Every stage is timed on its own over the same frames, then the whole job, all in one run, so that figures compare. The
generator has the width of the published weights; its values do not matter for the time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from wav2lip_kit import data_path
from wav2lip_kit.audio import SILENCE, mel_windows, write_mel
from wav2lip_kit.blending import crop_mask, match_colour, paste_mouth
from wav2lip_kit.colour import frame_to_bgr
from wav2lip_kit.faces.crops import crop_matrix, cut_crop
from wav2lip_kit.faces.detectors import load_detector
from wav2lip_kit.faces.tracking import LOOKS_AT_ONCE, TrackConfig, track_faces
from wav2lip_kit.frames import Encoding, Frame, FrameWriter, read_frames
from wav2lip_kit.media import ColorTags, VideoInfo, probe
from wav2lip_kit.model import Wav2Lip
from wav2lip_kit.sync import LipSyncer, pick_precision, render


def make_clip(path: Path, size: tuple[int, int], n_frames: int) -> Path:
    """Enlarge the bundled presenter to `size`, with grain, so that the encoder has real work."""
    source = probe(data_path("examples/presenter.mp4"))
    template = VideoInfo(
        path, path.name, "file", *size, rate=source.rate, time_base=1 / source.rate, origin_pts=0,
        duration_s=float(n_frames / source.rate), color=ColorTags(1, 1, 1, 1),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 2, (8, size[1], size[0])).astype(np.float32)
    with FrameWriter(path, template, Encoding(crf=20)) as writer:
        frames = itertools.islice(read_frames(source, round(2 / source.time_base)), n_frames)
        for index, frame in enumerate(frames):
            y, u, v = (
                cv2.resize(np.ascontiguousarray(p), (size[0] // d, size[1] // d), interpolation=cv2.INTER_CUBIC)
                for p, d in zip(frame.planes, (1, 2, 2), strict=True)
            )
            y = np.clip(y + grain[index % 8], 0, 255).astype(np.uint8)
            writer.write(Frame((y, u, v), index, 1))
    return path


def per_item_ms(work: Callable[[], Any], n_items: int) -> float:
    """Milliseconds an item of a piece of work done once to warm up and twice to measure; the better counts."""
    work()
    best = min(_timed(work) for _ in range(2))
    return 1000 * best / n_items


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bench(clip: Path, n_frames: int) -> None:
    """Print the table for one clip."""
    info = probe(clip)
    frames = [
        Frame((np.array(f.planes[0]), np.array(f.planes[1]), np.array(f.planes[2])), f.pts, f.duration)
        for f in itertools.islice(read_frames(info), n_frames)
    ]
    n = len(frames)
    detector = load_detector("auto")
    config = TrackConfig()
    every = max(1, round(config.every_s * info.rate))
    small = [frame_to_bgr(f, info.color, config.side_px) for f in frames]
    found = [d for d in (detector.detect([picture])[0] for picture in small[::every]) if d]
    if not found:
        sys.exit(f"no face in the first {n} frames of {clip}: give a clip that begins with one")
    box = found[0][0].box_xyxy * max(1.0, max(info.width_px, info.height_px) / config.side_px)
    matrix, mask = crop_matrix(box), crop_mask()
    crops = np.stack([cut_crop(f, matrix, info.color) for f in frames])
    mels = np.full((n, 1, 80, 16), SILENCE, np.float32)
    model = Wav2Lip().eval()
    fast = LipSyncer(model)
    plain = LipSyncer(Wav2Lip().eval(), precision=torch.float32)
    mouths = fast(mels, crops)

    def look(pictures: list[np.ndarray]) -> None:
        for start in range(0, len(pictures), LOOKS_AT_ONCE):
            detector.detect(pictures[start : start + LOOKS_AT_ONCE])

    def write_all(path: Path) -> None:
        with FrameWriter(path, info) as writer:
            for frame in frames:
                writer.write(frame)

    with tempfile.TemporaryDirectory() as folder:
        audio = data_path("examples/new_words.flac")
        mel_file = Path(folder, "mel.f32")
        mel, audio_s = write_mel(audio, mel_file)
        boxed = [(frame, matrix) for frame in frames]
        stages = {
            "decode": per_item_ms(lambda: list(itertools.islice((f.pts for f in read_frames(info)), n)), n),
            "small copy": per_item_ms(lambda: [frame_to_bgr(f, info.color, config.side_px) for f in frames], n),
            f"detect (1 in {every})": per_item_ms(lambda: look(small[::every]), n),
            "mel (a frame's share)": per_item_ms(lambda: write_mel(audio, mel_file), round(audio_s * info.rate)),
            "mel windows": per_item_ms(lambda: mel_windows(mel, np.array([info.time_s(f.pts) for f in frames])), n),
            "crop": per_item_ms(lambda: [cut_crop(f, matrix, info.color) for f in frames], n),
            "paste": per_item_ms(
                lambda: [
                    paste_mouth(f, match_colour(m, c, mask), matrix, info.color, mask)
                    for f, m, c in zip(frames, mouths, crops, strict=True)
                ],
                n,
            ),
            "encode": per_item_ms(lambda: write_all(Path(folder, "encode.mp4")), n),
        }
        slow_ms, fast_ms = per_item_ms(lambda: plain(mels, crops), n), per_item_ms(lambda: fast(mels, crops), n)
        track_ms = per_item_ms(lambda: track_faces(info, detector, progress=False), round(info.duration_s * info.rate))
        sync_ms = per_item_ms(lambda: render(boxed, info, Path(folder, "sync.mp4"), fast, mel), n)

    precision = str(pick_precision(fast.device)).removeprefix("torch.")
    threads, face_px = torch.get_num_threads(), box[3] - box[1]
    print(f"\n{info}\n{n} frames, detector {detector.name}, {fast.device}, {threads} threads, face {face_px:.0f} px\n")
    print("stage                        ms a frame")
    for name, ms in stages.items():
        print(f"  {name:<26} {ms:8.2f}")
    around = sum(stages.values())
    print(f"  {'all of these':<26} {around:8.2f}   {around / fast_ms:.2f} of the generator")
    print(f"  {'generator, ' + precision:<26} {fast_ms:8.2f}")
    print(f"  {'generator, float32':<26} {slow_ms:8.2f}   {slow_ms / fast_ms:.2f} times the time\n")
    share = track_ms / sync_ms
    print(f"  {'track, as a run does it':<26} {track_ms:8.2f}   {1000 / track_ms:.1f} frames/s, {share:.2f} of sync")
    print(f"  {'sync, as a run does it':<26} {sync_ms:8.2f}   {1000 / sync_ms:.1f} frames/s")
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "clip", nargs="?", type=Path, help="a video that begins with a face (default: made by the script)"
    )
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", default="1280x720", help="of the clip that the script makes")
    options = parser.parse_args(argv)
    os.environ.setdefault("WAV2LIP_KIT_OFFLINE", "1")
    if options.clip:
        bench(options.clip, options.frames)
        return
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        bench(make_clip(Path(folder, "presenter.mp4"), (width, height), options.frames), options.frames)


if __name__ == "__main__":
    main()
