"""Where one shot ends and the next begins, told while the frames stream by."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import cv2
import numpy as np

from ..colour import shrunk

BESIDE_CUT = 2
"""Frames on either side of a cut that it is compared with: a flash of as many is none."""


class CutFinder:
    """A cut is a frame that changes the picture much more than those beside it do; in pans, shakes and flashes all do.

    Args:
        least: A cut changes hue, saturation and value by this much at least (mean, 0..255).
        ratio: And this many times as much as the frames before it do, and those after it.
    """

    def __init__(self, least: float, ratio: float) -> None:
        self._least, self._ratio = least, ratio
        self._last_hsv: np.ndarray | None = None
        self._undecided: deque[tuple[np.ndarray, float]] = deque()
        """Pictures that may begin a shot, and how much each differs from the one before; NaN where there is none."""
        self._before: deque[float] = deque(maxlen=BESIDE_CUT)
        """How much the last decided frames of the shot differ."""

    def add(self, picture_bgr: np.ndarray) -> Iterator[tuple[np.ndarray, bool]]:
        """Take the next picture; give those of which it is now known whether they begin a shot, with the answer."""
        self._undecided.append((picture_bgr, self._change(picture_bgr)))
        if len(self._undecided) > BESIDE_CUT:
            yield self._decide()

    def finish(self) -> Iterator[tuple[np.ndarray, bool]]:
        """Give the last pictures."""
        while self._undecided:
            yield self._decide()

    def _decide(self) -> tuple[np.ndarray, bool]:
        picture_bgr, change = self._undecided.popleft()
        after = [c for _, c in self._undecided]
        usual = max((sum(some) / len(some) for some in (self._before, after) if some), default=0.0)
        is_cut = change > self._least and change > self._ratio * usual
        if is_cut:
            self._before.clear()
        elif not np.isnan(change):
            self._before.append(change)
        return picture_bgr, is_cut

    def _change(self, picture_bgr: np.ndarray) -> float:
        """How much a frame differs from the one before: mean of hue, saturation and value, 0..255."""
        hsv = cv2.cvtColor(_thumb(picture_bgr), cv2.COLOR_BGR2HSV)
        last, self._last_hsv = self._last_hsv, hsv
        if last is None:
            return float("nan")
        difference = cv2.absdiff(hsv, last)
        hue = difference[..., 0]
        return float((np.minimum(hue, 180 - hue).mean() + difference[..., 1].mean() + difference[..., 2].mean()) / 3)


def _thumb(picture_bgr: np.ndarray) -> np.ndarray:
    """The picture shrunk to about 80 px, by a whole number."""
    height, width = picture_bgr.shape[:2]
    shrink = max(1, max(height, width) // 80)
    size = (max(1, width // shrink), max(1, height // shrink))
    return shrunk(picture_bgr[: size[1] * shrink, : size[0] * shrink], size)
