"""Putting the mouth back: a feathered mask over the lower face, colour match, and a paste that leaves the rest alone.

The mask lives in the crop and travels with it; in the frame only pixels under it are written, in the frame's own
planes. A chroma sample is written only where all four of its luma pixels lie under the mask.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from .colour import frame_matrices
from .faces.crops import CROP_PX, for_chroma, shifted
from .frames import Frame
from .media import ColorTags

Paste = Literal["mouth", "box"]
PASTES = ("mouth", "box")


@lru_cache(maxsize=2)
def crop_mask(paste: Paste = "mouth") -> np.ndarray:
    """The mask in the crop, (96, 96) float32 in 0..1.

    `mouth` covers the lower face, which the network never sees, with a soft edge; `box` is the whole square with a hard
    edge, as the reference pastes it, for comparison with other tools.
    """
    if paste == "box":
        return np.ones((CROP_PX, CROP_PX), np.float32)
    y, x = np.mgrid[0:CROP_PX, 0:CROP_PX].astype(np.float32)
    # A superellipse from just under the nose bridge to the chin; distance 1 on its edge, the feather lies inside.
    distance = (np.abs((x - 47.5) / 38) ** 2.2 + np.abs((y - 70) / 25.5) ** 2.2) ** (1 / 2.2)
    inside = np.clip((1 - distance) / 0.30, 0, 1)
    return inside * inside * (3 - 2 * inside)


def match_colour(mouth_bgr: np.ndarray, crop_bgr: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Shift the generated patch so that its colour meets the source's where they join, under the mask's soft edge.

    Args:
        mouth_bgr: (96, 96, 3) uint8, as generated.
        crop_bgr: (96, 96, 3) uint8, as cut from the frame.
        mask: (96, 96) float32.

    Returns:
        (96, 96, 3) float32; the shift, per channel, is at most 12 levels, so that a beard or a hand cannot stain.
    """
    ring = ((mask > 0.02) & (mask < 0.6)).astype(np.uint8)
    if not ring.any():
        return mouth_bgr.astype(np.float32)
    shift = np.subtract(cv2.mean(crop_bgr, ring)[:3], cv2.mean(mouth_bgr, ring)[:3])
    return mouth_bgr.astype(np.float32) + np.clip(shift, -12, 12).astype(np.float32)


def paste_mouth(
    frame: Frame, mouth_bgr: np.ndarray, matrix: np.ndarray, color: ColorTags, mask: np.ndarray
) -> tuple[Frame, tuple[int, int, int, int] | None]:
    """Paste a generated mouth into a frame.

    Args:
        frame: The source frame; it is not changed.
        mouth_bgr: (96, 96, 3), uint8 or float32 in 0..255.
        matrix: (2, 3), the map from the frame to the crop.
        color: The video's colour description.
        mask: (96, 96) float32 in 0..1; only pixels where it is above 0 after warping can change.

    Returns:
        The new frame, and the region (x0, y0, x1, y1) outside which it is the source's; None if that is empty.
    """
    region = mouth_region(matrix, mask, frame.planes[0].shape)
    if region is None:
        return frame, None
    x0, y0, x1, y1 = region
    mouth_yuv = cv2.transform(np.asarray(mouth_bgr, np.float32), frame_matrices(frame, color)[1])
    mouth_yuv = np.clip(np.rint(mouth_yuv), 0, 255).astype(np.uint8)
    to_crop = shifted(matrix, x0, y0)
    size = (x1 - x0, y1 - y0)
    weight = _unwarp(mask, to_crop, size, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)
    luma = _unwarp(mouth_yuv[..., 0], to_crop, size, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    # Chroma is warped at its own, half, size: it has no detail to lose.
    half = (size[0] // 2, size[1] // 2)
    chroma = _unwarp(mouth_yuv[..., 1:], for_chroma(to_crop), half, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
    rows = np.minimum(weight[::2], weight[1::2])
    chroma_weight = np.minimum(rows[:, ::2], rows[:, 1::2])
    planes = [p.copy() for p in frame.planes]
    _blend(planes[0][y0:y1, x0:x1], luma, weight)
    for index in (1, 2):
        _blend(planes[index][y0 // 2 : y1 // 2, x0 // 2 : x1 // 2], chroma[..., index - 1], chroma_weight)
    return Frame((planes[0], planes[1], planes[2]), frame.pts, frame.duration), region


def _unwarp(picture: np.ndarray, to_crop: np.ndarray, size: tuple[int, int], how: int, border: int) -> np.ndarray:
    """Bring something from the crop to the frame's region of `size` (width, height)."""
    return cv2.warpAffine(picture, to_crop, size, flags=cv2.WARP_INVERSE_MAP | how, borderMode=border)


def _blend(target: np.ndarray, patch: np.ndarray, weight: np.ndarray) -> None:
    """target ← target + weight · (patch − target), rounded; exactly itself where the weight is 0."""
    mixed = cv2.blendLinear(np.ascontiguousarray(patch), np.ascontiguousarray(target), weight, 1 - weight)
    np.copyto(target, mixed, where=weight > 0)


def mouth_region(matrix: np.ndarray, mask: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """The part of the picture that the mask can reach, aligned to the chroma grid."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, right, top, bottom = columns[0] - 1, columns[-1] + 1, rows[0] - 1, rows[-1] + 1
    corners = cv2.invertAffineTransform(matrix) @ np.array(
        [[left, right, left, right], [top, top, bottom, bottom], [1] * 4]
    )
    x0, y0 = (max(0, int(np.floor(v)) // 2 * 2) for v in corners.min(axis=1))
    x1 = min(shape[1], int(np.ceil(corners[0].max())) // 2 * 2 + 2)
    y1 = min(shape[0], int(np.ceil(corners[1].max())) // 2 * 2 + 2)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
