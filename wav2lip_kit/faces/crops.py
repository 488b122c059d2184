"""Cutting the crop the network sees, and the way back.

A crop is an affine map from the frame to a 96×96 square; it is cut from the frame's planes, each scaled on its own, so
that only 96×96 pixels are ever converted to BGR.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..colour import frame_matrices, planes_to_bgr
from ..frames import Frame
from ..media import ColorTags

CROP_PX = 96
CHIN_PAD = 0.05
"""The box is lengthened below by this part of its height, as the reference does (10 px) to have the whole chin."""


def crop_matrix(box_xyxy: np.ndarray) -> np.ndarray:
    """The affine map (2, 3) float64 from frame pixels to crop pixels for an upright face box.

    Pixel centres lie on integers, as OpenCV has it: the box's edge is half a pixel outside its first pixel's centre.
    """
    x0, y0, x1, y1 = (float(v) for v in box_xyxy)
    y1 += CHIN_PAD * (y1 - y0)
    scale_x, scale_y = CROP_PX / (x1 - x0), CROP_PX / (y1 - y0)
    return np.array([[scale_x, 0, (0.5 - x0) * scale_x - 0.5], [0, scale_y, (0.5 - y0) * scale_y - 0.5]])


def cut_crop(frame: Frame, matrix: np.ndarray, color: ColorTags) -> np.ndarray:
    """Cut the crop of one frame: (96, 96, 3) uint8 BGR. Outside the picture its edge pixels go on."""
    y, u, v = (
        _warp(np.ascontiguousarray(plane), matrix if index == 0 else for_chroma(matrix))
        for index, plane in enumerate(frame.planes)
    )
    return planes_to_bgr(y, u, v, frame_matrices(frame, color)[0])


def for_chroma(matrix: np.ndarray) -> np.ndarray:
    """The same map from chroma pixels, two luma pixels wide with their centre between them: luma = 2·chroma + 0.5."""
    return np.column_stack([matrix[:, :2] * 2, matrix[:, 2] + matrix[:, :2] @ [0.5, 0.5]])


def shifted(matrix: np.ndarray, x0: float, y0: float) -> np.ndarray:
    """The same map for a part of the picture whose first pixel is (x0, y0)."""
    return np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ [x0, y0]])


def _warp(plane: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Warp to the crop; a large face is first averaged down, so that fine texture does not alias."""
    shrink = int(1 / max(1e-6, np.sqrt(abs(np.linalg.det(matrix[:, :2])))))
    if shrink >= 2:
        corners = _inverse(matrix) @ np.array([[0, CROP_PX, 0, CROP_PX], [0, 0, CROP_PX, CROP_PX], [1, 1, 1, 1]])
        height, width = plane.shape
        x0, y0 = (max(0, int(v) // shrink * shrink - 2 * shrink) for v in corners.min(axis=1))
        x1, y1 = (int(v) + 2 * shrink for v in corners.max(axis=1))
        region = plane[y0 : min(height, y1), x0 : min(width, x1)]
        region = region[: region.shape[0] // shrink * shrink, : region.shape[1] // shrink * shrink]
        if region.size:
            size = (region.shape[1] // shrink, region.shape[0] // shrink)
            plane = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
            # original = shrink·small + (shrink − 1)/2 + corner
            offset = np.array([x0, y0]) + (shrink - 1) / 2
            matrix = shifted(matrix, *offset) * [shrink, shrink, 1]
    return cv2.warpAffine(plane, matrix, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return cv2.invertAffineTransform(np.asarray(matrix, np.float64))
