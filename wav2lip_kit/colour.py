"""Between the planes of a frame and BGR pictures, with the matrix and range that the video is tagged with.

R'G'B' = M⁻¹ · (Y'CbCr − offset)      M from Kr, Kb of ITU-R BT.601-7, BT.709-6, BT.2020-2
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .frames import Frame
from .media import FULL_RANGE, ColorTags

_KR_KB = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
"""By FFmpeg's matrix number: BT.709, FCC, BT.601 twice, SMPTE 240M, BT.2020 twice."""


@lru_cache(maxsize=8)
def matrices(tags: ColorTags, is_hd: bool) -> tuple[np.ndarray, np.ndarray]:
    """Affine matrices (3, 4) float32 between (Y, U, V) and (B, G, R), all in 0..255.

    Args:
        tags: The video's colour description.
        is_hd: Decides between BT.709 and BT.601 when the video does not say, as players do (720 lines and more).

    Returns:
        `to_bgr`, `to_yuv`, for `cv2.transform`.
    """
    kr, kb = _KR_KB.get(tags.matrix, _KR_KB[1 if is_hd else 6])
    kg = 1 - kr - kb
    luma = np.array([kb, kg, kr])
    forward = np.stack(
        [luma, (np.array([1, 0, 0]) - luma) / (2 * (1 - kb)), (np.array([0, 0, 1]) - luma) / (2 * (1 - kr))]
    )
    offset = np.array([0.0, 128.0, 128.0])
    if tags.range != FULL_RANGE:
        forward = forward * np.array([[219 / 255], [224 / 255], [224 / 255]])
        offset[0] = 16.0
    inverse = np.linalg.inv(forward)
    to_yuv = np.column_stack([forward, offset]).astype(np.float32)
    to_bgr = np.column_stack([inverse, -inverse @ offset]).astype(np.float32)
    return to_bgr, to_yuv


def frame_matrices(frame: Frame, tags: ColorTags) -> tuple[np.ndarray, np.ndarray]:
    """`matrices` for a frame of this size."""
    return matrices(tags, min(frame.planes[0].shape) >= 720)


def planes_to_bgr(y: np.ndarray, u: np.ndarray, v: np.ndarray, to_bgr: np.ndarray) -> np.ndarray:
    """Planes of one size (H, W) uint8 to BGR (H, W, 3) uint8."""
    return cv2.transform(cv2.merge([np.ascontiguousarray(p) for p in (y, u, v)]), to_bgr)


def frame_to_bgr(frame: Frame, tags: ColorTags, max_side_px: int | None = None) -> np.ndarray:
    """A frame as BGR (H, W, 3) uint8, scaled down (never up) so that no side is longer than `max_side_px`."""
    height, width = frame.planes[0].shape
    scale = 1.0 if max_side_px is None else min(1.0, max_side_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    y, u, v = (shrunk(plane, size) for plane in frame.planes)
    return planes_to_bgr(y, u, v, frame_matrices(frame, tags)[0])


def shrunk(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A plane or picture (H, W, …) uint8 of another `size` (W, H), smaller as a rule.

    It is halved, a plain mean of four pixels, as often as may be, and then read between the pixels: several times
    as fast as OpenCV's mean over areas that are no whole number of pixels.
    """
    while picture.shape[0] >= 2 * size[1] and picture.shape[1] >= 2 * size[0]:
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
    if picture.shape[:2] == size[::-1]:
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
