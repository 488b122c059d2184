"""Small videos and sounds made for the tests; every frame carries its number, so that frames can be told apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from wav2lip_kit.frames import Frame, read_frames
from wav2lip_kit.media import probe

BITS, BLOCK_PX = 12, 16


def numbered_picture(number: int, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """A picture (H, W, 3) uint8 BGR with texture that moves, and `number` in black and white blocks along its top."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([(x + 3 * number) % 256, (y * 2) % 256, (x + y) % 256], axis=-1).astype(np.uint8) // 2 + 60
    for bit in range(BITS):
        picture[:BLOCK_PX, bit * BLOCK_PX : (bit + 1) * BLOCK_PX] = 255 if number >> bit & 1 else 0
    return picture


def number_of(frame: Frame) -> int:
    """The number that `numbered_picture` wrote into a frame."""
    blocks = frame.planes[0][4 : BLOCK_PX - 4, : BITS * BLOCK_PX].reshape(-1, BITS, BLOCK_PX)[:, :, 4:-4]
    return sum(1 << bit for bit, level in enumerate(blocks.mean(axis=(0, 2))) if level > 128)


def make_clip(
    path: Path,
    n_frames: int,
    rate: Fraction | int = 25,
    *,
    size: tuple[int, int] = (320, 240),
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    pictures: Sequence[np.ndarray] | None = None,
    sound_s: float | None = None,
) -> Path:
    """Write a video of numbered pictures.

    Args:
        path: Its suffix chooses the container.
        n_frames: How many.
        rate: Frames a second.
        size: Width and height in pixels.
        pts: Time of each frame in `time_base`; even spacing when None.
        time_base: 1 / rate when None.
        codec: FFmpeg's name of the encoder.
        pix_fmt: Its pixel format.
        options: Of the encoder.
        pictures: Shown in turn instead of the numbered ones.
        sound_s: Length of a 440 Hz tone; no sound when None.
    """
    rate = Fraction(rate)
    time_base = time_base or 1 / rate
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        stream.options = options or ({"crf": "10"} if codec == "libx264" else {})
        sound: Any = container.add_stream("aac", rate=44100, layout="mono") if sound_s else None
        for index in range(n_frames):
            picture = pictures[index % len(pictures)] if pictures is not None else numbered_picture(index, size)
            frame = VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pix_fmt)
            frame.pts = pts[index] if pts is not None else index
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            tone = AudioFrame.from_ndarray(make_tone(sound_s or 0, 44100)[None], format="fltp", layout="mono")
            tone.rate, tone.pts, tone.time_base = 44100, 0, Fraction(1, 44100)
            container.mux(sound.encode(tone))
            container.mux(sound.encode(None))
    return path


def make_tone(duration_s: float, rate_hz: int, frequency_hz: float = 440.0) -> np.ndarray:
    """(n,) float32 sine at a fifth of full scale."""
    return (0.2 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * rate_hz)) / rate_hz)).astype(
        np.float32
    )


def make_sound(
    path: Path, duration_s: float, rate_hz: int = 16000, layout: str = "mono", codec: str | None = None
) -> Path:
    """Write a tone, in every channel; the suffix chooses container and codec unless `codec` says so."""
    codec = codec or {".wav": "pcm_s16le", ".flac": "flac", ".mp3": "libmp3lame", ".m4a": "aac"}[path.suffix]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate_hz, layout=layout)
        channels = len(av.AudioLayout(layout).channels)
        samples = np.tile(make_tone(duration_s, rate_hz), (channels, 1))
        frame = AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate_hz)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def write_boxes(path: Path, boxes: Sequence[Sequence[float] | None]) -> Path:
    """A speaker file: a box or None for every frame; spares the tests a detector."""
    path.write_text(json.dumps([None if b is None else list(b) for b in boxes]), encoding="utf-8")
    return path


def frames_of(path: Path) -> list[Frame]:
    """All frames of a video, with planes of their own."""
    return [
        Frame((np.array(f.planes[0]), np.array(f.planes[1]), np.array(f.planes[2])), f.pts, f.duration)
        for f in read_frames(probe(path))
    ]


def times_of(path: Path) -> list[float]:
    """When each frame is shown, in seconds from the start of the container."""
    info = probe(path)
    return [info.time_s(f.pts) for f in read_frames(info)]


def stream_ends_s(path: Path) -> tuple[float, float]:
    """Where picture and sound end, in seconds from the start of the container, as the file says and players play it."""
    with av.open(str(path)) as container:
        start_s = (container.start_time or 0) / av.time_base
        video, sound = container.streams.video[0], container.streams.audio[0]
        ends = [float(((s.start_time or 0) + (s.duration or 0)) * s.time_base) - start_s for s in (video, sound)]
    return ends[0], ends[1]
