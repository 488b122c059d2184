"""Frame rates as exact fractions, and times as people write them.

A time is a `float` in seconds from the start of the video; a bare number is always seconds, never a frame number.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from numbers import Real

from .errors import InputError, SegmentError

_TIME = re.compile(r"(?:(?:([0-9]{1,6}):)?([0-9]{1,6}):)?([0-9]{1,9}(?:[.,][0-9]+)?)")
_RANGE_SIGN = re.compile(r"-->|→|[-–—−]|\s+to\s+")


def snap_rate(rate: float | Fraction | str) -> Fraction:
    """Return the exact frame rate that a rounded one stands for: 29.97 is 30000/1001, 25.0 is 25.

    Only what rounding explains is snapped: a whole rate or `1000/1001` of one, written with two or more decimals. Any
    other rate, such as the mean rate of a phone video, is kept; moving 30.005 to 30 would cost 0.6 s in an hour.

    Args:
        rate: Frames per second, above 0 and up to 1000, or a text such as "23.976" or "30000/1001".

    Raises:
        InputError: If `rate` is no number in that range.
    """
    try:
        exact = Fraction(rate)
    except (ValueError, OverflowError, ZeroDivisionError, TypeError):
        exact = Fraction(0)
    if not 0 < exact <= 1000:
        raise InputError(
            f"{_quoted(rate)} is not a frame rate; give frames per second above 0 and up to 1000, "
            "such as 25, 29.97 or 30000/1001"
        )
    for known in (Fraction(round(exact)), Fraction(round(exact * 1001 / 1000) * 1000, 1001)):
        # A millionth is what 23.976, 29.97 and 59.94 leave out; three of them are 11 ms in an hour.
        if abs(exact - known) <= exact * 3 / 1_000_000 or float(exact) == round(float(known), 2):
            return known
    return exact.limit_denominator(1_000_000)


def parse_time(value: str | float | Fraction) -> float:
    """Return a time in seconds from a number or a text.

    Accepted texts are seconds ("69", "69.5"), minutes and seconds ("1:09", "0:31.250"), and hours ("01:02:03.500"),
    each with a point or a comma before the decimals. The largest unit given has no upper limit: "90:00" is 1.5 hours.

    Raises:
        SegmentError: If `value` is no such text, negative, not finite, or has a smaller unit of 60 or more.
    """
    if isinstance(value, str):
        parts = _TIME.fullmatch(value.strip())
        if parts:
            hours, minutes, seconds = (Fraction((part or "0").replace(",", ".")) for part in parts.groups())
            seconds_fit = parts[2] is None or seconds < 60
            minutes_fit = parts[1] is None or minutes < 60
            if seconds_fit and minutes_fit:
                return float(hours * 3600 + minutes * 60 + seconds)  # one rounding, at the end
    elif isinstance(value, Real) and not isinstance(value, bool) and 0 <= value < 1e12:  # False for NaN too
        return float(value)
    raise SegmentError(
        f"{_quoted(value)} is not a time; write seconds (69 or 69.5), minutes and seconds (1:09) or HH:MM:SS.mmm "
        "(00:01:09.500), minutes and seconds below 60"
    )


def format_time(time_s: float, *, decimals: int | None = None) -> str:
    """Return `time_s` as M:SS or H:MM:SS, as in "0:31", "1:09.5", "1:02:03.25".

    Args:
        time_s: Seconds, >= 0.
        decimals: How many decimals of a second to print; None prints as many as a millisecond needs, at most three.
    """
    hours, minutes, seconds, fraction = _clock_parts(time_s, 3 if decimals is None else decimals)
    if decimals is None:
        fraction = fraction.rstrip("0")
    clock = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    return f"{clock}.{fraction}" if fraction else clock


def format_clock(time_s: float) -> str:
    """Return `time_s` (seconds, >= 0) as HH:MM:SS.mmm, the form of WebVTT and of most editors."""
    hours, minutes, seconds, fraction = _clock_parts(time_s, 3)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{fraction}"


def parse_range(text: str) -> tuple[float, float | None]:
    """Return `(start_s, end_s)` of a text such as "0:10-2:00", "69 to 84" or "0:31 → 1:00".

    A missing start is 0, as in "-2:00"; a missing end is None, as in "0:10-".

    Raises:
        SegmentError: If `text` holds no range, a time in it can't be read, or the end is not after the start.
    """
    parts = _RANGE_SIGN.split(text)
    if len(parts) != 2 or not "".join(parts).strip():
        raise SegmentError(f"{_quoted(text)} is not a range of times; write two times with a dash, such as 0:31-1:00")
    start_s = parse_time(parts[0]) if parts[0].strip() else 0.0
    end_s = parse_time(parts[1]) if parts[1].strip() else None
    if end_s is not None:
        check_interval(start_s, end_s)
    return start_s, end_s


def check_interval(start_s: float, end_s: float) -> None:
    """Raise SegmentError unless `[start_s, end_s)` holds some time."""
    if start_s < end_s:
        return
    start, end = format_time(start_s), format_time(end_s)
    if start_s == end_s:
        raise SegmentError(f"{start}-{end} is empty; the end must lie after the start")
    raise SegmentError(f"{start}-{end} ends before it starts; did you mean {end}-{start}?")


def _clock_parts(time_s: float, decimals: int) -> tuple[int, int, int, str]:
    """Hours, minutes, seconds and the digits after the point, rounded half up, as JavaScript's Math.round does."""
    ticks = math.floor(parse_time(time_s) * 10**decimals + 0.5)
    total_s, fraction = divmod(ticks, 10**decimals)
    total_min, seconds = divmod(total_s, 60)
    hours, minutes = divmod(total_min, 60)
    return hours, minutes, seconds, f"{fraction:0{decimals}d}" if decimals else ""


def _quoted(value: object) -> str:
    """What the user gave, short enough for one line of an error."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
