"""Widgets for notebooks: where to sync, marked by hand, and whom.

TimestampPicker   a small editor: video with sound, zoomable timeline, segments to drag, keys for everything
FramePicker       the same marks with plain ipywidgets, where custom widgets cannot load
pick_timestamps   whichever works here, after the times that were typed
SpeakerPicker     everybody found in the video; a click chooses whom to sync
pick_speaker      the same for a notebook cell, after who was typed
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .frame_picker import FramePicker
    from .marks import pick_timestamps
    from .speakers import SpeakerPicker, pick_speaker
    from .timestamp_picker import TimestampPicker

_HOMES = {
    "TimestampPicker": "timestamp_picker",
    "FramePicker": "frame_picker",
    "SpeakerPicker": "speakers",
    "pick_speaker": "speakers",
    "pick_timestamps": "marks",
}

__all__ = ["FramePicker", "SpeakerPicker", "TimestampPicker", "pick_speaker", "pick_timestamps"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # imported when used: each needs other libraries, and one may work where another does not
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
