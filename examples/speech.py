"""Speech with a known mouth: espeak-ng says a text and tells when each sound begins, a table tells its mouth shape."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from portrait import Mouth

STEP_S = 0.005  # grid on which mouth shapes are smoothed
SMOOTH_S = 0.028  # standard deviation: how far sounds reach into their neighbours
CLOSING_S = 0.055  # lips take this long from open to shut
RESTING_S = 0.12  # and this long to come to rest before a pause, or to leave it
LEAD_S = 0.02  # so much later than the sound come espeak-ng's events: measured on loudness against vowels
CLOSED = "pbm"

# IPA sign -> (aperture, width, rounding). Read off the usual viseme charts; only their order matters here.
SHAPES = {
    **dict.fromkeys("aɐ", (0.85, 0.1, 0.0)),
    **dict.fromkeys("ɑ", (0.95, 0.0, 0.05)),
    **dict.fromkeys("æ", (0.8, 0.4, 0.0)),
    **dict.fromkeys("ʌ", (0.62, 0.05, 0.0)),
    **dict.fromkeys("ɛ", (0.55, 0.4, 0.0)),
    **dict.fromkeys("e", (0.45, 0.5, 0.0)),
    **dict.fromkeys("əɚ", (0.38, 0.0, 0.0)),
    **dict.fromkeys("ɜ", (0.42, -0.1, 0.2)),
    **dict.fromkeys("ɪɨᵻ", (0.3, 0.45, 0.0)),
    **dict.fromkeys("i", (0.24, 0.8, 0.0)),
    **dict.fromkeys("ɒ", (0.72, -0.1, 0.3)),
    **dict.fromkeys("ɔœ", (0.6, -0.1, 0.5)),
    **dict.fromkeys("oø", (0.45, -0.2, 0.75)),
    **dict.fromkeys("ʊʏ", (0.3, -0.2, 0.7)),
    **dict.fromkeys("uyɯ", (0.22, -0.3, 0.95)),
    **dict.fromkeys("pbm", (0.0, 0.0, 0.0)),
    **dict.fromkeys("fvɱ", (0.08, 0.1, 0.0)),
    **dict.fromkeys("β", (0.06, 0.0, 0.1)),
    **dict.fromkeys("θð", (0.2, 0.1, 0.0)),
    **dict.fromkeys("tdnlɾɫ", (0.18, 0.15, 0.0)),
    **dict.fromkeys("sz", (0.11, 0.35, 0.0)),
    **dict.fromkeys("ʃʒ", (0.17, -0.1, 0.5)),
    **dict.fromkeys("ɹr", (0.24, -0.1, 0.3)),
    **dict.fromkeys("w", (0.1, -0.3, 0.95)),
    **dict.fromkeys("jɲʎ", (0.2, 0.5, 0.0)),
    **dict.fromkeys("kgɡŋxɣhʔçʁ", (0.28, 0.1, 0.0)),
}
OTHER = (0.25, 0.0, 0.0)


@dataclass(frozen=True)
class Phoneme:
    """One sound: seconds from the start of the speech, and its IPA name; an empty name is a pause."""

    start_s: float
    end_s: float
    name: str


@dataclass(frozen=True, eq=False)
class Speech:
    """Spoken text.

    Attributes:
        wave: (n,) float32, -1..1, mono.
        sample_rate_hz: Usually 22050.
        phonemes: In order, without gaps.
    """

    wave: np.ndarray
    sample_rate_hz: int
    phonemes: list[Phoneme]


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h; the name is a union of 8 bytes."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_ubyte * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_SYNCHRONOUS, _PHONEME_EVENTS_IPA, _DONT_EXIT = 2, 0b11, 0x8000
_EVENTS_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _UTF8 = 1, 3, 1


@lru_cache(maxsize=1)
def _library() -> tuple[Any, int]:
    """The shared library, initialised once a process, and its sample rate in Hz."""
    name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        hint = "apt install libespeak-ng1 espeak-ng-data, or brew install espeak-ng"
        raise RuntimeError(f"no espeak-ng library ({error}); install it: {hint}") from error
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS_IPA | _DONT_EXIT)
    if rate_hz <= 0:
        raise RuntimeError("espeak-ng does not start: its voices are not there; install espeak-ng-data")
    return library, rate_hz


def speak(text: str, voice: str = "en", *, words_per_minute: int = 165, pitch: int = 50) -> Speech:
    """Say a text.

    Args:
        text: Plain text.
        voice: An espeak-ng voice, with or without a variant, such as "en+f3".
        words_per_minute: 80..450.
        pitch: 0..99.

    Raises:
        RuntimeError: If espeak-ng is not there, or does not know the voice.
    """
    library, rate_hz = _library()
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise RuntimeError(f"espeak-ng has no voice {voice!r}; see `espeak-ng --voices`")
    library.espeak_SetParameter(_RATE, words_per_minute, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    blocks: list[np.ndarray] = []
    marks: list[tuple[float, str]] = []

    def take(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENTS_END:
            if events[index].type == _EVENT_PHONEME:
                name = bytes(events[index].name).split(b"\0")[0].decode(errors="ignore")
                marks.append((events[index].audio_position_ms / 1000, name))
            index += 1
        return 0

    callback = _CALLBACK(take)
    library.espeak_SetSynthCallback(callback)
    said = text.encode() + b"\0"
    if library.espeak_Synth(said, len(said), 0, 1, 0, _UTF8, None, None) != 0 or not blocks:
        raise RuntimeError(f"espeak-ng could not say {text!r} with the voice {voice!r}")
    wave = np.concatenate(blocks).astype(np.float32) / 32768
    ends_s = [start_s for start_s, _ in marks[1:]] + [len(wave) / rate_hz]
    phonemes = [Phoneme(a, b, name) for (a, name), b in zip(marks, ends_s, strict=True) if b > a]
    return Speech(wave, rate_hz, phonemes)


def mouth_track(phonemes: Sequence[Phoneme], times_s: Sequence[float] | np.ndarray) -> list[Mouth]:
    """The mouth at given times: shapes of the sounds, blended into one another, shut at p b m and in pauses.

    Args:
        phonemes: In order; where there is none, the mouth rests.
        times_s: Seconds on the clock of the phonemes.
    """
    times = np.asarray(times_s, np.float64)
    end_s = max([float(times.max(initial=0)), *(p.end_s for p in phonemes)]) + 1
    grid_s = np.arange(-1, end_s, STEP_S)
    shapes = np.zeros((len(grid_s), 3))
    sounding, shut = np.zeros(len(grid_s), bool), np.zeros(len(grid_s), bool)
    for phoneme in phonemes:
        inside = (grid_s >= phoneme.start_s) & (grid_s < phoneme.end_s)
        signs = [sign for sign in phoneme.name if sign in SHAPES]
        if not phoneme.name.strip("_:; "):
            continue
        first, last = (SHAPES[signs[0]], SHAPES[signs[-1]]) if signs else (OTHER, OTHER)
        along = np.linspace(0, 1, int(inside.sum()))[:, None]  # a diphthong moves from one shape to the other
        shapes[inside] = np.array(first) * (1 - along) + np.array(last) * along
        sounding |= inside
        shut |= inside & (phoneme.name[0] in CLOSED)
    reach = np.arange(-int(4 * SMOOTH_S / STEP_S), int(4 * SMOOTH_S / STEP_S) + 1) * STEP_S
    kernel = np.exp(-0.5 * (reach / SMOOTH_S) ** 2)
    blended = np.stack([np.convolve(shapes[:, k], kernel / kernel.sum(), "same") for k in range(3)], 1)
    open_share = np.minimum(_distance_s(shut) / CLOSING_S, 1) * np.minimum(_distance_s(~sounding) / RESTING_S, 1)
    blended[:, 0] *= open_share * (2 - open_share)
    values = np.stack([np.interp(times + LEAD_S, grid_s, blended[:, k]) for k in range(3)], 1)
    return [Mouth(float(a), float(w), float(r)) for a, w, r in values]


def _distance_s(mask: np.ndarray) -> np.ndarray:
    """Seconds to the nearest true place of the grid, up to one."""
    index = np.arange(len(mask))
    places = np.flatnonzero(mask)
    if not len(places):
        return np.ones(len(mask))
    right = np.searchsorted(places, index).clip(max=len(places) - 1)
    nearest = np.minimum(np.abs(places[right] - index), np.abs(places[np.maximum(right - 1, 0)] - index))
    return np.minimum(nearest * STEP_S, 1.0)
