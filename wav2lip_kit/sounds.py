"""The sounds of a project: its new audio, and those that segments name.

A segment's audio is a file in the project's folder or beside it, or a path. It begins with the segment, is heard in
its stead of the new audio, and is followed by silence where it is shorter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .audio import AudioInfo, probe_audio, write_mel
from .errors import InputError, SegmentError
from .files import content_id, key_of, names_file
from .segments import Segments
from .timing import format_time


@dataclass(frozen=True, eq=False)
class Sound:
    """An audio file, trimmed, and what the network hears of it.

    Attributes:
        info: The file.
        key: Stands for its content and trim.
        start_s: Where its trim starts.
        end_s: Where it ends; None at the end of the file.
        mel: (80, n) float32, from the trim's start.
        duration_s: Of the trim.
    """

    info: AudioInfo
    key: str
    start_s: float
    end_s: float | None
    mel: np.ndarray
    duration_s: float


def load_sound(info: AudioInfo, folder: Path, start_s: float = 0.0, end_s: float | None = None) -> Sound:
    """Decode a sound; its spectrogram is kept in `folder`.

    Raises:
        InputError: If the trim holds no sound.
    """
    key = key_of(content_id(info.path), start_s, end_s)
    mel, duration_s = write_mel(info.path, folder / f"mel-{key}.f32", start_s=start_s, end_s=end_s)
    if duration_s == 0:
        raise InputError(
            f"{info.name} has no sound from {format_time(start_s)} on: "
            f"it lasts {format_time(info.duration_s, decimals=1)}; give another trim"
        )
    return Sound(info, key, start_s, end_s, mel, duration_s)


def segment_sounds(segments: Segments, folder: Path) -> dict[str, AudioInfo]:
    """The audio that segments name, by that name.

    Raises:
        SegmentError: If a file is not there.
        MediaError: If it has no sound.
    """
    named = {s.audio: s for s in reversed(segments) if s.audio}
    return {name: replace(probe_audio(_find(name, segment, folder)), name=name) for name, segment in named.items()}


def _find(name: str, segment: object, folder: Path) -> Path:
    for path in (folder / name, folder.absolute().parent / name, Path(name)):
        if names_file(path):
            return path
    raise SegmentError(
        f"segment {segment} names the audio {name!r}, which is neither in {str(folder)!r} nor beside it: "
        "put the file there, or correct the name"
    )
