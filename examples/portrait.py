"""A fictional face drawn from numbers: attributes, mouth and pose in, a picture and its landmarks out.

Nobody sat for it. The head is a relief (depth over a plane) that is lit once per look; for each picture only the jaw,
the lips and the eyes are drawn anew, and the relief is turned and put before the background. Lengths are in heads: one
unit is the height from crown to chin, the origin lies between the eyes, u points to the picture's right, v down.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from painting import Grid, Light, lay_over
from portrait_features import Head, Lips, drop_jaw, paint_eye, paint_mouth, raise_brows
from portrait_parts import back_hair, background, body, front_hair, painted_face

HAIR_STYLES = ("bald", "cropped", "bob", "long", "tied", "curly")
CLOTHES = ("blazer", "crew_neck", "v_neck")
HEAD_SHARE = 0.52  # head height over picture height at scale 1
EYES_DOWN = 0.43  # where the eyes are, in picture heights from the top
SUPERSAMPLING = 2.0  # canvas pixels per picture pixel at scale 1
HAIR_BGR = ((22, 20, 20), (30, 40, 58), (40, 62, 98), (60, 105, 160), (110, 165, 205), (35, 60, 140), (118, 120, 122))
EYES_BGR = ((28, 48, 82), (50, 82, 118), (95, 125, 105), (150, 130, 100), (165, 145, 115))


@dataclass(frozen=True)
class FaceLook:
    """What a person looks like; the defaults are the presenter of the example. Numbers are 0..1 unless said."""

    seed: int = 7  # of the grain: strands, pores, freckles
    skin_tone: float = 0.2  # 0 lightest, 1 darkest
    redness: float = 0.5
    width: float = 0.4
    jaw: float = 0.25  # pointed to square
    cheeks: float = 0.6
    nose: float = 0.35
    eye_size: float = 0.65
    eye_bgr: tuple[int, int, int] = (72, 104, 96)
    brow_weight: float = 0.45
    brow_arch: float = 0.55
    lip_fullness: float = 0.7
    lipstick: float = 0.4
    makeup: float = 0.5
    hair_style: str = "bob"
    hair_bgr: tuple[int, int, int] = (30, 42, 66)
    parting: float = 0.5  # -1..1, where the hair parts
    age: float = 0.15
    freckles: float = 0.15
    stubble: float = 0.0
    beard: float = 0.0
    clothes: str = "blazer"
    clothes_bgr: tuple[int, int, int] = (92, 62, 38)
    background_bgr: tuple[int, int, int] = (150, 128, 100)
    light_side: float = -0.7  # -1 from the picture's left, 1 from its right
    light_warmth: float = 0.1  # -1 cool, 1 warm

    @staticmethod
    def random(rng: np.random.Generator) -> FaceLook:
        """A plausible person of any skin tone, age and sex."""
        u, is_male, age = rng.random, rng.random() < 0.5, float(rng.random() ** 1.3)
        tone = float(rng.random())
        shares = (0.2, 0.55, 0, 0.05, 0.05, 0.15) if is_male else (0.01, 0.09, 0.25, 0.3, 0.2, 0.15)
        style = str(rng.choice(HAIR_STYLES, p=shares))
        grey = age > 0.7 and u() < 0.6
        hairs = HAIR_BGR[:6] if tone < 0.45 else HAIR_BGR[:2]
        return FaceLook(
            seed=int(rng.integers(1 << 31)),
            skin_tone=tone,
            redness=float(u()),
            width=float(u()),
            jaw=float(np.clip((0.45 if is_male else 0.05) + 0.55 * u(), 0, 1)),
            cheeks=float(u()),
            nose=float(np.clip(0.2 * is_male + 0.8 * u(), 0, 1)),
            eye_size=float(np.clip((0.1 if is_male else 0.35) + 0.65 * u(), 0, 1)),
            eye_bgr=EYES_BGR[int(rng.integers(len(EYES_BGR) if tone < 0.45 else 2))],
            brow_weight=float(np.clip((0.35 if is_male else 0.05) + 0.6 * u(), 0, 1)),
            brow_arch=float(0.5 * u() if is_male else 0.3 + 0.7 * u()),
            lip_fullness=float(np.clip(0.7 * u() + 0.3 * tone, 0, 1)),
            lipstick=0.0 if is_male else float(u() ** 1.5),
            makeup=0.0 if is_male else float(u()),
            hair_style=style,
            hair_bgr=HAIR_BGR[6] if grey else hairs[int(rng.integers(len(hairs)))],
            parting=float(rng.uniform(-1, 1)),
            age=age,
            freckles=float(max(0.0, u() * 1.6 - 0.6)) if tone < 0.5 else 0.0,
            stubble=float(u()) if is_male else 0.0,
            beard=float(0.4 + 0.6 * u()) if is_male and u() < 0.3 else 0.0,
            clothes=str(rng.choice(CLOTHES)),
            clothes_bgr=_triple(_muted(rng)),
            background_bgr=_triple(_muted(rng)),
            light_side=float(rng.uniform(-1, 1)),
            light_warmth=float(rng.uniform(-1, 1)),
        )


@dataclass(frozen=True)
class Mouth:
    """The shape of the mouth: the ground truth of everything that is trained or measured on these pictures."""

    aperture: float = 0.0  # 0 lips touch, 1 as far open as it goes
    width: float = 0.0  # -1 narrow, 0 rest, 1 spread
    rounding: float = 0.0  # 0 rest, 1 puckered


@dataclass(frozen=True)
class Pose:
    """How the head stands, and the moving parts besides the mouth."""

    x: float = 0.0  # shift in picture heights, to the right
    y: float = 0.0  # and down
    scale: float = 1.0
    roll_deg: float = 0.0  # clockwise
    yaw_deg: float = 0.0  # towards the picture's right; plausible within +-18
    pitch_deg: float = 0.0  # down; plausible within +-12
    blink: float = 0.0  # 0 eyes open, 1 shut
    gaze_x: float = 0.0  # -1..1
    gaze_y: float = 0.0  # -1..1, down
    brow_raise: float = 0.0  # -1..1


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture and what is known of it.

    Attributes:
        image_bgr: (H, W, 3) uint8.
        landmarks: name -> (x, y) float32 in px; eye_left, eye_right (as the picture has them), nose_tip, mouth_left,
            mouth_right, lip_upper_outer, lip_upper_inner, lip_lower_inner, lip_lower_outer, chin.
        face_box_xyxy: (4,) float32 in px, forehead to chin as detectors draw it.
    """

    image_bgr: np.ndarray
    landmarks: dict[str, np.ndarray]
    face_box_xyxy: np.ndarray


def draw(look: FaceLook, mouth: Mouth, pose: Pose, size_px: tuple[int, int] = (640, 480)) -> Portrait:
    """Draw one picture; for many of one look keep a `Painter`."""
    return Painter(look, size_px).draw(mouth, pose)


def _triple(values: np.ndarray) -> tuple[int, int, int]:
    return int(values[0]), int(values[1]), int(values[2])


def _muted(rng: np.random.Generator) -> np.ndarray:
    """A colour as people wear and paint it: any brightness, little saturation."""
    return np.clip(rng.uniform(30, 210) + rng.normal(0, 18, 3), 12, 235)


class Painter:
    """Draws one look at one picture size; what stands still is painted once."""

    def __init__(self, look: FaceLook, size_px: tuple[int, int] = (640, 480)) -> None:
        self.look, self.size_px = look, size_px
        rng = np.random.default_rng(look.seed)
        px = size_px[1] * HEAD_SHARE * SUPERSAMPLING
        grid, light = Grid(px, -0.62, -0.74, 0.62, 0.96), Light(look.light_side, look.light_warmth)
        self._hair = front_hair(grid, look, light, rng)
        self._bare = 1 - self._hair[..., 3:]
        self._face, relief, eye_light = painted_face(grid, look, light, self._hair[..., 3], rng)
        self._head = Head(look, grid, light, eye_light, grid.noise(rng, 0.0022)[0])
        # For turning the head, hair and what is beside the face need a depth too.
        solid = 0.32 * np.sqrt(np.clip(1 - (grid.u / 0.43) ** 2 - (np.minimum(grid.v, 0) / 0.56) ** 2, 0, 1))
        self._depth = grid.blur(np.maximum(relief, solid).astype(np.float32), 0.025)
        back_grid = Grid(px / 2, -0.62, -0.74, 0.62, 1.1)
        body_grid = Grid(px * 0.6, -1.25, 0.1, 1.25, 1.9)
        self._back = (back_grid, back_hair(back_grid, look))
        self._body = (body_grid, body(body_grid, look, light, rng))
        self._background = background(size_px, look)

    def draw(self, mouth: Mouth = Mouth(), pose: Pose = Pose()) -> Portrait:
        """Draw the person: the same values give the same pixels."""
        canvas, lips = self._face.copy(), Lips(self.look, mouth)
        raise_brows(canvas, self._head, pose.brow_raise)
        drop_jaw(canvas, self._head, lips)
        paint_mouth(canvas, self._head, lips)
        for side in (-1, 1):
            paint_eye(canvas, self._head, side, pose)
        canvas *= self._bare
        canvas += self._hair
        image = self._background.copy()
        centre, scale_px, roll = self._placement(pose)
        self._lay(image, *self._back, centre, scale_px, roll)
        # Shoulders follow the head by half.
        rest = (np.array([self.size_px[0] / 2, EYES_DOWN * self.size_px[1]]) - centre) * 0.45
        self._lay(image, *self._body, centre + rest, scale_px, 0.25 * roll)
        lay_over(image, cv2.remap(canvas, *self._maps(pose), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))
        return Portrait(np.clip(image + 0.5, 0, 255).astype(np.uint8), *self._landmarks(lips, pose))

    # ── where things lie ──

    def _placement(self, pose: Pose) -> tuple[np.ndarray, float, float]:
        width, height = self.size_px
        centre = np.array([width / 2 + pose.x * height, (EYES_DOWN + pose.y) * height])
        return centre, height * HEAD_SHARE * pose.scale, float(np.radians(pose.roll_deg))

    def _maps(self, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Where on the canvas each pixel of the picture comes from: the relief turned by yaw and pitch.

        The turn is undone by fixed-point steps on a grid of every fourth pixel; its maps are smooth.
        """
        width, height = self.size_px
        grid, step = self._head.grid, 4
        centre, scale_px, roll = self._placement(pose)
        x, y = np.meshgrid(*(np.arange(-step, n + 2 * step, step) + (step - 1) / 2 for n in self.size_px))
        dx, dy = (x - centre[0]) / scale_px, (y - centre[1]) / scale_px
        a, b = np.cos(roll) * dx + np.sin(roll) * dy, np.cos(roll) * dy - np.sin(roll) * dx
        yaw, pitch = np.radians(pose.yaw_deg), np.radians(pose.pitch_deg)
        u, v = a, b
        for _ in range(3 if yaw or pitch else 0):
            at = [((w - w0) * grid.px - 0.5).astype(np.float32) for w, w0 in ((u, grid.u0), (v, grid.v0))]
            z = cv2.remap(self._depth, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) - 0.15
            u, v = (a - np.sin(yaw) * z) / np.cos(yaw), (b - np.sin(pitch) * z) / np.cos(pitch)
        maps = []
        for w, w0 in ((u, grid.u0), (v, grid.v0)):
            coarse = ((w - w0) * grid.px - 0.5).astype(np.float32)
            fine = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
            maps.append(np.ascontiguousarray(fine[step : step + height, step : step + width]))
        return maps[0], maps[1]

    def _lay(
        self, image: np.ndarray, grid: Grid, layer: np.ndarray, centre: np.ndarray, scale_px: float, roll: float
    ) -> None:
        k, c, s = scale_px / grid.px, np.cos(roll), np.sin(roll)
        turn = np.array([[c, -s], [s, c]])
        offset = centre + turn @ (np.array([grid.u0, grid.v0]) * scale_px + 0.5 * k)
        matrix = np.column_stack([turn * k, offset])
        lay_over(image, cv2.warpAffine(layer, matrix, self.size_px, flags=cv2.INTER_LINEAR))

    def _landmarks(self, lips: Lips, pose: Pose) -> tuple[dict[str, np.ndarray], np.ndarray]:
        points = {
            "eye_left": (-0.15, 0.0),
            "eye_right": (0.15, 0.0),
            "nose_tip": (0.0, 0.15),
            "mouth_left": (-lips.half, lips.corner),
            "mouth_right": (lips.half, lips.corner),
            **lips.middle(),
            "chin": (0.0, 0.497 + lips.drop),
        }
        centre, scale_px, roll = self._placement(pose)
        grid, yaw, pitch = self._head.grid, np.radians(pose.yaw_deg), np.radians(pose.pitch_deg)
        placed = {}
        for name, (u, v) in points.items():
            row, column = grid.pixel(u, v)
            z = float(self._depth[min(row, grid.shape[0] - 1), column]) - 0.15
            a, b = u * np.cos(yaw) + np.sin(yaw) * z, v * np.cos(pitch) + np.sin(pitch) * z
            turned = np.array([np.cos(roll) * a - np.sin(roll) * b, np.sin(roll) * a + np.cos(roll) * b])
            placed[name] = (centre + scale_px * turned).astype(np.float32)
        middle = 0.5 * (placed["eye_left"] + placed["eye_right"])
        down = placed["chin"] - middle
        box_centre = middle + 0.12 * down
        half = np.array([0.325 * scale_px, 0.825 * np.linalg.norm(down)])
        return placed, np.array([*(box_centre - half), *(box_centre + half)], np.float32)
