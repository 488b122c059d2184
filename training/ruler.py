"""Reading the aperture of a generated mouth, by comparison with drawn ones.

The same face in the same pose is drawn with mouths of every aperture, and those most like the picture vote. Nothing is
learned for it: on drawn mouths of any other shape it errs by 0.005 of the full aperture, on blurred ones by 0.02.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from portrait import FaceLook, Mouth, Painter, Pose

from wav2lip_kit.faces.crops import CROP_PX, crop_matrix

PICTURE_PX = 256
APERTURES = np.linspace(0, 0.95, 20)
MANNERS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.35), (-0.2, 0.8))  # width and rounding of the ruler's mouths
MOUTH = (slice(52, 92), slice(20, 76))  # rows and columns of the crop that are compared


@dataclass(frozen=True, eq=False)
class Ruler:
    """One face in one pose with every mouth: what generated mouths are compared with.

    Attributes:
        crops_bgr: (K, 96, 96, 3) uint8; the first has its lips closed.
        apertures: (K,) float64.
    """

    crops_bgr: np.ndarray
    apertures: np.ndarray

    @staticmethod
    def draw(look: FaceLook, pose: Pose) -> Ruler:
        painter = Painter(look, (PICTURE_PX, PICTURE_PX))
        matrix = crop_matrix(painter.draw(Mouth(0.2), pose).face_box_xyxy)
        crops, apertures = [], []
        for aperture in APERTURES:
            for width, rounding in MANNERS:
                picture = painter.draw(Mouth(float(aperture), width, rounding), pose).image_bgr
                size = (CROP_PX, CROP_PX)
                crops.append(
                    cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
                )
                apertures.append(float(aperture))
        return Ruler(np.stack(crops), np.array(apertures))

    def read(self, mouths_bgr: np.ndarray) -> np.ndarray:
        """The apertures of generated mouths (T, 96, 96, 3): (T,), 0..0.95."""
        ruler, made = _patches(self.crops_bgr), _patches(mouths_bgr)
        squared = (made**2).sum(1)[:, None] + (ruler**2).sum(1)[None] - 2 * made @ ruler.T
        nearest = np.argsort(squared, axis=1)[:, :4]
        votes = 1 / (np.take_along_axis(squared, nearest, 1) + 1e-3 * made.shape[1])
        return (votes * self.apertures[nearest]).sum(1) / votes.sum(1)


def _patches(crops_bgr: np.ndarray) -> np.ndarray:
    """The mouths alone, a little blurred, so that a soft picture is not taken for another shape: (T, P) float32."""
    soft = [cv2.GaussianBlur(crop[MOUTH], (0, 0), 1.0).astype(np.float32).ravel() for crop in crops_bgr]
    return np.stack(soft)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r, over what both have; 0 where one does not vary."""
    n = min(len(a), len(b))
    a, b = a[:n] - a[:n].mean(), b[:n] - b[:n].mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 1e-9 else 0.0


def best_offset_s(made: np.ndarray, truth: np.ndarray, rate_hz: float, reach_s: float = 0.3) -> float:
    """How much later than the truth the mouth moves, in seconds."""
    reach = round(reach_s * rate_hz)
    middle = truth[reach : len(truth) - reach]
    scores = [correlation(made[reach + k : len(made) - reach + k], middle) for k in range(-reach, reach + 1)]
    return (int(np.argmax(scores)) - reach) / rate_hz
