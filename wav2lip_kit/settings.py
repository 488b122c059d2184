"""What the user asks for, in the words of the command line; understood and checked before any long work."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .blending import PASTES
from .errors import FaceError, InputError, SegmentError
from .faces.detectors import NAMES as DETECTORS
from .faces.presence import PresenceConfig
from .faces.speakers import check_speaker
from .files import names_file
from .frames import Encoding
from .segment_files import SUFFIXES, read_segments
from .segments import Segments, parse_segments
from .sync import pick_device
from .timeline import check_fit
from .timing import parse_range, snap_rate
from .weights import find_weights, named_entry


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user asks for; every field is a command-line option of the same name.

    Attributes:
        segments: `auto` (where the speaker's face is), `all`, times such as `0:31-1:00, 1:09-1:24`, or a segments
            file. Empty: the project's segments.json when there is one, else `auto`. Times count from the trim's start.
        speaker: Whom to sync; see `faces.speakers`.
        min_face_px: Smaller faces are not suggested; for this and the next two see `faces.presence`.
        min_score: Nor faces of which the detector is less sure, 0..1.
        max_turn_deg: Nor heads turned further to the side, 0 (full face) to 90 (profile).
        trim: The stretch of the video to use, `0:10-2:00`; empty for all of it.
        trim_audio: The same for the audio.
        fit: What to do when lengths differ; see `timeline`.
        weights: Registry name or checkpoint.
        detector: Face detector; see `faces.detectors`.
        device: `auto`, `cpu` or `cuda`.
        shift_ms: Takes the sound from this much later; a positive shift moves the mouth earlier.
        paste: `mouth` (feathered lower face) or `box` (the whole square, as the reference).
        rate: Frames a second of an image or a folder of frames, 25 when empty.
        crf: x264's quality, 0 (lossless) to 51; see `frames.Encoding`.
    """

    segments: str = ""
    speaker: str = "largest"
    min_face_px: float = PresenceConfig.min_face_px
    min_score: float = PresenceConfig.min_score
    max_turn_deg: float = PresenceConfig.max_turn_deg
    trim: str = ""
    trim_audio: str = ""
    fit: str = "silence"
    weights: str = "wav2lip"
    detector: str = "auto"
    device: str = "auto"
    shift_ms: float = 0.0
    paste: str = "mouth"
    rate: str = ""
    crf: int = Encoding.crf

    def check(self) -> None:
        """Make sure that every setting can be understood; looks into no file but a segments or speaker file.

        Raises:
            InputError: Naming the first that cannot.
        """
        check_fit(self.fit)
        check_speaker(self.speaker)
        pick_device(self.device)
        for text in (self.trim, self.trim_audio):
            parse_trim(text)
        if self.rate:
            snap_rate(self.rate)
        if self.paste not in PASTES:
            raise InputError(f"unknown paste {self.paste!r}: choose {', '.join(PASTES)}")
        if not 0 <= self.crf <= 51:
            raise InputError(
                f"crf {self.crf} is out of range: choose 0 (lossless) to 51, 17 already looks like the source"
            )
        for name, most in (("min_face_px", 10_000), ("min_score", 1), ("max_turn_deg", 90)):
            if not 0 <= getattr(self, name) <= most:
                option = name.replace("_", "-")
                raise InputError(f"--{option} {getattr(self, name):g} is out of range: choose 0 to {most}")
        if not abs(self.shift_ms) <= 2000:
            raise InputError(f"shift of {self.shift_ms:g} ms is out of range: choose -2000 to 2000")
        if self.detector not in DETECTORS and not names_file(self.detector):
            raise FaceError(
                f"unknown detector {self.detector!r}: choose {', '.join(DETECTORS)}, or give a checkpoint file"
            )
        if named_entry(self.weights) is None:
            find_weights(self.weights)  # a path must be a file; a name is looked up, or fetched, when it is needed
        self.typed_segments()

    @property
    def presence(self) -> PresenceConfig:
        """When a face counts as being there."""
        return PresenceConfig(self.min_face_px, self.min_score, self.max_turn_deg)

    def typed_segments(self) -> Segments | None:
        """The segments given in words or by a file; None where they come from the faces or the whole video.

        Raises:
            SegmentError: If they cannot be understood, or there are none.
        """
        if self.segments in ("", "auto", "all"):
            return None
        path = Path(self.segments)
        is_file = path.suffix.lower() in SUFFIXES
        try:
            segments = read_segments(path) if is_file else parse_segments(self.segments)
        except SegmentError as error:
            if is_file or any(c.isdigit() for c in self.segments):
                raise
            raise SegmentError(
                f"unknown segments {self.segments!r}: choose auto, all, times such as 0:31-1:00,1:09-1:24, "
                f"or a file ({', '.join(SUFFIXES)})"
            ) from error
        if not segments:
            raise SegmentError(f"no segment in {self.segments!r}: give times such as 0:31-1:00, or auto")
        return segments


def parse_trim(text: str) -> tuple[float, float | None]:
    return parse_range(text) if text else (0.0, None)


def make_settings(base: Settings, given: dict[str, Any]) -> Settings:
    """`base` with some fields replaced.

    Raises:
        InputError: If a field is unknown.
    """
    names = [f.name for f in fields(Settings)]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise InputError(f"unknown setting {unknown[0]!r}: choose from {', '.join(names)}")
    return replace(base, **given)


def stored_settings(settings: Settings) -> dict[str, Any]:
    """The settings as a project keeps them: names of files still hold when the job goes on from another folder."""
    return {name: str(Path(v).resolve()) if _is_file(name, v) else v for name, v in asdict(settings).items()}


def told_settings(settings: Settings) -> dict[str, Any]:
    """The settings as a report tells them: files by their name, not by where they lie on somebody's disk."""
    return {name: Path(v).name if _is_file(name, v) else v for name, v in asdict(settings).items()}


def _is_file(name: str, value: Any) -> bool:
    return name in ("segments", "speaker", "weights", "detector") and names_file(value)
