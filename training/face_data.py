"""Faces with many mouths: groups of crops that are one face in one pose, and differ in nothing but the mouth.

Most are drawn by examples/portrait.py. Others are two portraits in the public domain (Eileen Collins, NASA, from
scikit-image; Grace Hopper, US Navy, from matplotlib) whose mouths are painted over and drawn anew by the same code:
only for the skin, light and grain of photographs, and only to learn from. Nothing of them is in the weights' example.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from painting import Grid, Light
from portrait import FaceLook, Mouth, Painter, Pose
from portrait_features import Head, Lips, drop_jaw, paint_mouth

from wav2lip_kit.faces.crops import CROP_PX, crop_matrix

PICTURE_PX = 256
BOX_JITTER = 0.035  # of its width and height: detectors differ by about as much
POSES, MOUTHS = 6, 8  # groups of a drawn look, crops of a group


@dataclass(frozen=True, eq=False)
class FaceData:
    """Groups of crops.

    Attributes:
        crops_bgr: (G, M, 96, 96, 3) uint8.
        shapes: (G, M, 3) float32: aperture, width, rounding.
    """

    crops_bgr: np.ndarray
    shapes: np.ndarray

    def save(self, path: Path) -> None:
        np.savez(path, crops_bgr=self.crops_bgr, shapes=self.shapes)

    @staticmethod
    def load(path: Path) -> FaceData:
        with np.load(path) as stored:
            return FaceData(stored["crops_bgr"], stored["shapes"])

    @staticmethod
    def join(parts: list[FaceData]) -> FaceData:
        return FaceData(np.concatenate([p.crops_bgr for p in parts]), np.concatenate([p.shapes for p in parts]))


def make_faces(n_looks: int, n_repaints: int, spoken: np.ndarray, seed: int) -> FaceData:
    """`n_looks` drawn persons, and every photograph repainted `n_repaints` times, on all cores.

    Args:
        n_looks: About a second of work each.
        n_repaints: 0.1 s of work each.
        spoken: (n, 3), the mouths of speech, to draw from.
        seed: Of everything; other seeds are other persons.
    """
    with ProcessPoolExecutor(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        rng = np.random.default_rng(seed)
        some = spoken[rng.choice(len(spoken), min(len(spoken), 20_000), replace=False)]
        seeds = [int(s) for s in rng.integers(1 << 31, size=n_looks + n_repaints * len(PHOTOGRAPHS))]
        jobs = [pool.submit(draw_look, s, some) for s in seeds[:n_looks]]
        names = list(PHOTOGRAPHS) * n_repaints
        jobs += [pool.submit(repaint_photograph, n, s, some) for n, s in zip(names, seeds[n_looks:], strict=True)]
        return FaceData.join([job.result() for job in jobs])


def draw_look(seed: int, spoken: np.ndarray) -> FaceData:
    """One random person in `POSES` poses, with mouths taken from `spoken` (n, 3)."""
    rng = np.random.default_rng(seed)
    painter = Painter(FaceLook.random(rng), (PICTURE_PX, PICTURE_PX))
    return FaceData.join([_draw_group(rng, painter, random_pose(rng), _pick(rng, spoken)) for _ in range(POSES)])


def random_pose(rng: np.random.Generator) -> Pose:
    return Pose(
        x=rng.normal(0, 0.01),
        y=0.05 + rng.normal(0, 0.01),
        scale=rng.uniform(1.1, 1.35),
        roll_deg=rng.normal(0, 4),
        yaw_deg=float(np.clip(rng.normal(0, 8), -17, 17)),
        pitch_deg=float(np.clip(rng.normal(0, 4), -10, 10)),
        blink=float(rng.random() ** 6),
        gaze_x=rng.uniform(-0.6, 0.6),
        gaze_y=rng.uniform(-0.3, 0.3),
        brow_raise=rng.uniform(-0.2, 0.6),
    )


def _draw_group(rng: np.random.Generator, painter: Painter, pose: Pose, shapes: np.ndarray) -> FaceData:
    portraits = [painter.draw(Mouth(*map(float, shape)), pose) for shape in shapes]
    # In a video the box is smoothed over time: it does not follow the jaw, so one box serves all mouths.
    box = portraits[rng.integers(len(portraits))].face_box_xyxy
    matrix = crop_matrix(jittered(rng, box))
    return _group(rng, [p.image_bgr for p in portraits], matrix, shapes)


def jittered(rng: np.random.Generator, box_xyxy: np.ndarray) -> np.ndarray:
    """A box as some detector might have it."""
    size = np.tile(box_xyxy[2:] - box_xyxy[:2], 2)
    return box_xyxy + size * (rng.normal(0, BOX_JITTER, 4) + rng.normal(0, 0.02, 2)[[0, 1, 0, 1]])


def _pick(rng: np.random.Generator, spoken: np.ndarray) -> np.ndarray:
    """Mouths (MOUTHS, 3) as speech has them, with a share where every aperture is as likely."""
    flat = 1 / (0.03 + np.histogram(spoken[:, 0], 20, (0, 1), density=True)[0])
    weights = flat[np.minimum((spoken[:, 0] * 20).astype(int), 19)]
    chosen = [
        rng.choice(len(spoken), MOUTHS - MOUTHS // 2),
        rng.choice(len(spoken), MOUTHS // 2, p=weights / weights.sum()),
    ]
    return spoken[np.concatenate(chosen)]


def _group(
    rng: np.random.Generator, pictures_bgr: list[np.ndarray], matrix: np.ndarray, shapes: np.ndarray
) -> FaceData:
    size = (CROP_PX, CROP_PX)
    crops = [
        cv2.warpAffine(p, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE) for p in pictures_bgr
    ]
    if rng.random() < 0.15:  # a small or soft face
        sigma = rng.uniform(0.5, 1.2)
        crops = [cv2.GaussianBlur(crop, (0, 0), sigma) for crop in crops]
    return FaceData(np.stack(crops)[None], shapes[None].astype(np.float32))


# ── photographs ──────────────────────────────────────────────────────────────────────────────────────────────────────

PHOTOGRAPHS = {  # where the eyes are, and where the lips meet, in px; skin tone as FaceLook has it
    "astronaut": (np.array([[203, 101], [247, 103], [224, 145.5]], np.float32), 0.2),
    "grace_hopper": (np.array([[221, 191], [306, 189], [264, 276]], np.float32), 0.25),
}
MARKS_UV = np.array([[-0.15, 0], [0.15, 0], [0, 0.283]], np.float32)  # the same three places in heads
GRID = Grid(PICTURE_PX * 0.9, -0.62, -0.74, 0.62, 0.96)


def repaint_photograph(name: str, seed: int, spoken: np.ndarray) -> FaceData:
    """A photograph in one light, pose and lipstick, with mouths taken from `spoken` (n, 3)."""
    rng = np.random.default_rng(seed)
    marks_px, tone = PHOTOGRAPHS[name]
    canvas = _without_mouth(rng, _photograph_bgr(name), marks_px)
    if rng.random() < 0.5:
        canvas = np.ascontiguousarray(canvas[:, ::-1])  # the grid is symmetric in u
    look = FaceLook(
        skin_tone=float(np.clip(tone + rng.normal(0, 0.08), 0, 1)),
        redness=float(rng.random()),
        lip_fullness=float(rng.random()),
        lipstick=float(rng.random() ** 2 * 0.7),
        light_side=float(rng.uniform(-1, 1)),
    )
    light = Light(look.light_side, float(rng.uniform(-1, 1)))
    head = Head(look, GRID, light, float(rng.uniform(0.8, 1.1)), GRID.noise(rng, 0.0022)[0])
    relit = _relight(rng, canvas)
    shapes = _pick(rng, spoken)
    pictures = []
    for shape in shapes:
        lips = Lips(look, Mouth(*map(float, shape)))
        picture = np.dstack([canvas, np.ones(GRID.shape, np.float32)]).astype(np.float32)
        drop_jaw(picture, head, lips)
        paint_mouth(picture, head, lips)
        pictures.append(np.clip(picture[..., :3] * relit + 0.5, 0, 255).astype(np.uint8))
    chin = 0.497 + Lips(look, Mouth(float(rng.choice(shapes[:, 0])))).drop
    box = np.array([[-0.325, -0.705 * chin], [0.325, 0.945 * chin]])
    box_px = ((box - [GRID.u0, GRID.v0]) * GRID.px).astype(np.float32).ravel()
    matrix = crop_matrix(jittered(rng, box_px)) @ np.vstack([_turn(rng), [0, 0, 1]])
    return _group(rng, pictures, matrix, shapes)


def _photograph_bgr(name: str) -> np.ndarray:
    import matplotlib
    import skimage.data

    if name == "astronaut":
        return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    picture = cv2.imread(str(Path(matplotlib.get_data_path()) / "sample_data" / f"{name}.jpg"))
    if picture is None:
        raise FileNotFoundError(f"matplotlib's sample picture {name}.jpg is not there; install matplotlib again")
    return picture


def _without_mouth(rng: np.random.Generator, photograph_bgr: np.ndarray, marks_px: np.ndarray) -> np.ndarray:
    """The photograph on the canvas of `GRID`, its mouth painted over with skin: (h, w, 3) float32."""
    marks = ((MARKS_UV - [GRID.u0, GRID.v0]) * GRID.px - 0.5).astype(np.float32)
    size = GRID.shape[::-1]
    matrix = cv2.getAffineTransform(marks_px, marks)
    canvas = cv2.warpAffine(photograph_bgr, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    centre = (int(marks[2, 0]), int(marks[2, 1]))
    mouth = np.zeros(GRID.shape, np.uint8)
    cv2.ellipse(mouth, centre, (int(0.17 * GRID.px), int(0.062 * GRID.px)), 0, 0, 360, 255, cv2.FILLED)
    filled = cv2.inpaint(canvas, mouth, 5, cv2.INPAINT_TELEA).astype(np.float32)
    smooth = cv2.GaussianBlur(filled, (0, 0), 0.02 * GRID.px)
    grain = rng.normal(0, 2.5, GRID.shape).astype(np.float32)
    cover = cv2.GaussianBlur(mouth.astype(np.float32) / 255, (0, 0), 0.012 * GRID.px)[..., None]
    return filled * (1 - cover) + (smooth + cv2.GaussianBlur(grain, (0, 0), 0.8)[..., None]) * cover


def _relight(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """A factor for every pixel: light from another side."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5)
    ramp = (np.cos(angle) * GRID.u + np.sin(angle) * GRID.v) / 0.5
    colour = rng.normal(1, 0.06, 3) * rng.uniform(0.6, 1.1)
    return (1 + strength * np.tanh(ramp))[..., None].astype(np.float32) * colour.astype(np.float32) + 0 * canvas[:1, :1]


def _turn(rng: np.random.Generator) -> np.ndarray:
    """A head turned a little, as an affine map of the canvas about the nose."""
    centre = np.array([-GRID.u0, 0.12 - GRID.v0]) * GRID.px
    roll, shear, narrow = np.radians(rng.normal(0, 5)), rng.normal(0, 0.05), rng.uniform(0.9, 1.05)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]) @ [[narrow, shear], [0, 1]]
    return np.column_stack([turn, centre - turn @ centre])
