"""Shared fixtures: the real test material (skipped where it is absent) and small synthetic media."""

from __future__ import annotations

import os
import wave
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
MEDIA = Path(os.environ.get("WAV2LIP_KIT_MEDIA", ROOT.parent / "shared" / "media"))


def _shared(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} folder: set WAV2LIP_KIT_MEDIA to the folder of real test media")
    return folder


@pytest.fixture(scope="session")
def shared_media() -> Path:
    return _shared(MEDIA)


@pytest.fixture(scope="session")
def shared_goldens() -> Path:
    return _shared(MEDIA.parent / "goldens")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    return _shared(MEDIA.parent / "weights")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test downloads anything."""
    monkeypatch.setenv("WAV2LIP_KIT_OFFLINE", "1")


def noise_pictures(n: int, size_px: tuple[int, int] = (64, 64)) -> list[np.ndarray]:
    """`n` different pictures (H, W, 3) uint8 without any face, of size (W, H)."""
    random = np.random.default_rng(n)
    return [random.integers(0, 256, (size_px[1], size_px[0], 3), np.uint8) for _ in range(n)]


def write_video(
    path: Path,
    pictures_rgb: Iterable[np.ndarray],
    *,
    rate: Fraction | int = 25,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """Write a silent video of pictures (H, W, 3) uint8; the container is chosen by the suffix."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.pix_fmt = "yuv420p"
        for index, picture in enumerate(pictures_rgb):
            if index == 0:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_wave(path: Path, duration_s: float, *, rate_hz: int = 16_000) -> Path:
    """Write a mono WAV with a hum that swells and fades four times a second."""
    t_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    hum = np.sin(2 * np.pi * 180 * t_s) * np.sin(2 * np.pi * 2 * t_s) ** 2
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((hum * 20_000).astype("<i2").tobytes())
    return path
