"""What is here, what is missing, and the next step for each."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from .errors import InputError

PACKAGES = ("torch", "numpy", "opencv-python", "av", "librosa", "batch-face", "safetensors", "scikit-image")
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
"""All of these bring `cv2`."""
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
    looks: dict[str, Callable[[], list[Check]]] = {
        "python": _python,
        "packages": _packages,
        "device": _device,
        "encoder": _encoder,
        "weights": _weights,
        "detector": _detector,
        "disk": _disk,
    }
    return [check for name, look in looks.items() for check in _look(name, look)]


def _look(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    except Exception as error:  # a package that is missing or broken fails in a way of its own
        reason = " ".join(str(error).split())
        return [
            Check(name, f"{type(error).__name__}: {reason}", False, "install again: pip install -r requirements.txt")
        ]


def _python() -> list[Check]:
    is_ok = sys.version_info >= (3, 10)
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return [Check("python", found, is_ok, "" if is_ok else "install Python 3.10 or later")]


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
    for name in OPENCV if package == "opencv-python" else (package,):
        with suppress(PackageNotFoundError):
            return version(name)
    return None


def _device() -> list[Check]:
    import torch

    from .sync import pick_precision

    if torch.cuda.is_available():
        return [Check("device", f"{torch.cuda.get_device_name()}, {torch.cuda.mem_get_info()[0] / 1e9:.1f} GB free")]
    found = f"no GPU; the processor computes in {str(pick_precision('cpu')).removeprefix('torch.')}"
    step = "a GPU is many times faster; in Colab: Runtime ▸ Change runtime type"
    return [Check("device", found, next_step=step)]


def _encoder() -> list[Check]:
    import av

    if "libx264" in av.codecs_available:
        return [Check("encoder", f"libx264 through PyAV {av.__version__}")]
    step = "pip install --force-reinstall av (its wheels bring FFmpeg along)"
    return [Check("encoder", f"PyAV {av.__version__} without libx264", False, step)]


def _weights() -> list[Check]:
    from .weights import available_weights, find_local

    checks = []
    for entry in available_weights():
        if entry.kind != "generator":
            continue
        path = find_local(entry.name)
        if path is not None:
            checks.append(Check(entry.name, str(path)))
        elif entry.mirrors:
            step = f"wav2lip-kit weights fetch {entry.name} ({(entry.bytes or 0) / 1e6:.0f} MB)"
            checks.append(Check(entry.name, "not here", False, step))
        else:  # demo
            checks.append(Check(entry.name, "not here", False, "get the whole repository; these weights are in it"))
    return checks


def _detector() -> list[Check]:
    from .faces.detectors import HaarDetector
    from .weights import find_local

    for name in ("retinaface", "yunet"):
        if path := find_local(name):
            return [Check("detector", f"{name}, {path}")]
    step = "wav2lip-kit weights fetch retinaface (1.8 MB, fetched by itself at the first run)"
    try:
        HaarDetector()
    except InputError as error:
        return [Check("detector", str(error), False, step)]
    return [Check("detector", "OpenCV's Haar cascade only (frontal faces)", True, step)]


def _disk() -> list[Check]:
    free_gb = shutil.disk_usage(".").free / 1e9
    is_ok = free_gb > 2
    return [
        Check("disk", f"{free_gb:.1f} GB free here", is_ok, "" if is_ok else "free at least 2 GB, or work elsewhere")
    ]
