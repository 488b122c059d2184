"""What a face looks like, in a few numbers: to know a person again after a cut, not to know who it is.

The numbers are colour histograms of hair, face and clothes, and the gradients of the upright face. They tell the same
person in the same clothes, light and view; `docs/faces.md` gives figures and says where they fail.
"""

from __future__ import annotations

import cv2
import numpy as np

from .crops import CROP_PX, crop_matrix, face_roll
from .detectors import Detection

_BANDS = ((1.6, -0.35, 0.25), (1.0, 0.1, 0.9), (2.2, 1.05, 1.8))
"""Hair, face, clothes: width in box widths, top and bottom in box heights from the box's top."""
_LAB_BINS = (4, 8, 8)
_LAB_RANGES = (0, 256, 96, 160, 96, 160)
_HOG = cv2.HOGDescriptor((32, 32), (16, 16), (8, 8), (8, 8), 9)


def signature(picture_bgr: np.ndarray, face: Detection) -> np.ndarray:
    """The numbers of one detection: (1092,) float32 of length 1; `a @ b` is the likeness of two, 0..1.

    Args:
        picture_bgr: (H, W, 3) uint8, the picture that was searched.
        face: What was found in it.
    """
    colours = [_unit(_colours(_band(picture_bgr, face.box_xyxy, *band))) for band in _BANDS]
    roll_rad = 0.0 if face.landmarks_xy is None else float(face_roll(face.landmarks_xy))
    crop = cv2.warpAffine(picture_bgr, crop_matrix(face.box_xyxy, roll_rad), (CROP_PX, CROP_PX))
    gray = cv2.cvtColor(cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    gradients = np.sqrt(np.asarray(_HOG.compute(cv2.equalizeHist(gray))).ravel())
    return _unit(np.concatenate([_unit(np.concatenate(colours)), _unit(gradients)]))


def _band(picture_bgr: np.ndarray, box_xyxy: np.ndarray, width: float, top: float, bottom: float) -> np.ndarray:
    x0, y0, x1, y1 = (float(v) for v in box_xyxy)
    centre, half = (x0 + x1) / 2, width * (x1 - x0) / 2
    rows = slice(max(0, int(y0 + top * (y1 - y0))), max(0, int(y0 + bottom * (y1 - y0))))
    return picture_bgr[rows, max(0, int(centre - half)) : max(0, int(centre + half))]


def _colours(picture_bgr: np.ndarray) -> np.ndarray:
    """A soft histogram of its Lab colours, the root of each count; zeros where the band lies outside the picture."""
    if not picture_bgr.size:
        return np.zeros(int(np.prod(_LAB_BINS)), np.float32)
    lab = cv2.cvtColor(cv2.resize(picture_bgr, (48, 48), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2LAB)
    return np.sqrt(cv2.calcHist([lab], [0, 1, 2], None, _LAB_BINS, _LAB_RANGES)).ravel()


def _unit(values: np.ndarray) -> np.ndarray:
    return (values / max(1e-9, float(np.linalg.norm(values)))).astype(np.float32)
