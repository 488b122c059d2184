"""The errors a user can meet.

Every message is one line that says what was wrong, the value, the choices and the next step. Code that raises one of
these does so before any long work, and the command line turns it into a line on stderr.
"""

from __future__ import annotations


class Wav2LipKitError(Exception):
    """Base of all errors that wav2lip_kit raises on purpose."""


class InputError(Wav2LipKitError, ValueError):
    """The user gave something that cannot be used; the command line ends with exit status 2."""


class MediaError(InputError):
    """A video, image or audio file that cannot be read."""


class SegmentError(InputError):
    """A time code or a segment that cannot be understood, or that lies outside the video."""


class WeightsError(InputError):
    """Weights that are unknown, damaged, of the wrong kind, or not to be had."""


class FaceError(InputError):
    """No face where one is needed, or a detector that cannot be used here."""


class ProjectError(InputError):
    """A project folder that is incomplete, not writable, or of another version."""


class RunError(Wav2LipKitError):
    """The work itself failed half-way (disk full, encoder error); exit status 1."""
