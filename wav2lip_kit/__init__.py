"""Give a filmed person new words: lip-sync marked stretches of a video to new audio with Wav2Lip.

Importing this package loads nothing heavy; the public names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Project": "project",
    "Segment": "segments",
    "Segments": "segments",
    "LipSyncer": "sync",
    "lipsync": "project",
    "fetch_video": "sources",
    "fetch_audio": "sources",
}

__all__ = ["LipSyncer", "Project", "Segment", "Segments", "__version__", "fetch_audio", "fetch_video", "lipsync"]

if TYPE_CHECKING:
    from .project import Project, lipsync
    from .segments import Segment, Segments
    from .sources import fetch_audio, fetch_video
    from .sync import LipSyncer


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def data_path(relative: str) -> Path:
    """Where a file that comes with the package lies: inside it when installed, at the top of a clone otherwise."""
    here = Path(__file__).parent
    installed = here / "_data" / relative
    return installed if installed.exists() else here.parent / relative
