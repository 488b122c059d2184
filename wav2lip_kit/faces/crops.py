"""Cutting the crop the network sees, and the way back.

A crop is an affine map from the frame to a 96×96 square that turns the face upright; it is cut from the frame's
planes, each scaled on its own, so that only 96×96 pixels are ever converted to BGR.
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


NATURAL_TILT_RAD = np.radians(6)
"""So much tilt stays: the network knows it from training, and a crop that follows every degree of noise trembles."""
_EYES_NOSE_MOUTH = np.array([-0.5 - 0.5j, 0.5 - 0.5j, 0, -0.4 + 0.55j, 0.4 + 0.55j])
"""The five landmarks of an upright face as complex numbers, in units of the distance between the eyes."""


def face_roll(landmarks_xy: np.ndarray) -> np.ndarray:
    """How far faces are tilted, from landmarks (..., 5, 2): (...) radians, positive clockwise; 0 where they are NaN.

    It is the rotation that brings an upright face's landmarks closest to these. Points far from the middle count most,
    so that in a profile, whose eyes fall together, the line from eyes to mouth decides.
    """
    points = np.asarray(landmarks_xy, np.float64) @ [1, 1j]
    points = points - points.mean(axis=-1, keepdims=True)
    upright = _EYES_NOSE_MOUTH - _EYES_NOSE_MOUTH.mean()
    return np.nan_to_num(np.angle((points * upright.conj()).sum(axis=-1)))


def righted_roll(landmarks_xy: np.ndarray) -> float:
    """How far the crop of a face with these landmarks (5, 2) is turned, radians: its tilt beyond `NATURAL_TILT_RAD`."""
    roll_rad = float(face_roll(landmarks_xy))
    return float(np.copysign(max(0.0, abs(roll_rad) - NATURAL_TILT_RAD), roll_rad))


def crop_matrix(box_xyxy: np.ndarray, roll_rad: float = 0.0) -> np.ndarray:
    """The affine map (2, 3) float64 from frame pixels to crop pixels; it turns a tilted face upright.

    Pixel centres lie on integers, as OpenCV has it: the box's edge is half a pixel outside its first pixel's centre.

    Args:
        box_xyxy: (4,) the face's upright box in the frame.
        roll_rad: How far the face is tilted, see `face_roll`.
    """
    x0, y0, x1, y1 = (float(v) for v in box_xyxy)
    # The box of a tilted ellipse keeps its diagonal; its sides grow alike. (Measured on tilted pictures: within 1 % at
    # 15 degrees, 7 % at 30.)
    diagonal2, difference2 = (x1 - x0) ** 2 + (y1 - y0) ** 2, (x1 - x0) ** 2 - (y1 - y0) ** 2
    difference2 = float(np.clip(difference2 / max(0.5, np.cos(2 * roll_rad)), -0.9 * diagonal2, 0.9 * diagonal2))
    width, height = np.sqrt((diagonal2 + difference2) / 2), np.sqrt((diagonal2 - difference2) / 2)
    scale = np.array([CROP_PX / width, CROP_PX / (height * (1 + CHIN_PAD))])
    cos, sin = np.cos(roll_rad), np.sin(roll_rad)
    linear = scale[:, None] * [[cos, sin], [-sin, cos]]
    centre = np.array([x0 + x1 - 1, y0 + y1 - 1]) / 2
    in_crop = scale * [width / 2, height / 2] - 0.5
    return np.column_stack([linear, in_crop - linear @ centre])


def cut_crop(frame: Frame, matrix: np.ndarray, color: ColorTags) -> np.ndarray:
    """Cut the crop of one frame: (96, 96, 3) uint8 BGR. Outside the picture its edge pixels go on."""
    y, u, v = (
        warp(np.ascontiguousarray(plane), matrix if index == 0 else for_chroma(matrix))
        for index, plane in enumerate(frame.planes)
    )
    return planes_to_bgr(y, u, v, frame_matrices(frame, color)[0])


def for_chroma(matrix: np.ndarray) -> np.ndarray:
    """The same map from chroma pixels, two luma pixels wide with their centre between them: luma = 2·chroma + 0.5."""
    return np.column_stack([matrix[:, :2] * 2, matrix[:, 2] + matrix[:, :2] @ [0.5, 0.5]])


def shifted(matrix: np.ndarray, x0: float, y0: float) -> np.ndarray:
    """The same map for a part of the picture whose first pixel is (x0, y0)."""
    return np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ [x0, y0]])


def warp(plane: np.ndarray, matrix: np.ndarray, side_px: int = CROP_PX) -> np.ndarray:
    """Warp to a crop of this side; a large face is first averaged down, so that fine texture does not alias."""
    shrink = int(1 / max(1e-6, np.sqrt(abs(np.linalg.det(matrix[:, :2])))))
    if shrink >= 2:
        corners = _inverse(matrix) @ np.array([[0, side_px, 0, side_px], [0, 0, side_px, side_px], [1] * 4])
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
    return cv2.warpAffine(plane, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return cv2.invertAffineTransform(np.asarray(matrix, np.float64))
