"""A fictional face drawn from numbers: attributes, mouth and pose in, a picture and its landmarks out.

Nobody sat for it. The head is a relief (depth over a plane) that is lit once per look; for each picture only the jaw,
the lips and the eyes are drawn anew, and the relief is turned and put before the background. Lengths are in heads: one
unit is the height from crown to chin, the origin lies between the eyes, u points to the picture's right, v down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

HAIR_STYLES = ("bald", "cropped", "bob", "long", "tied", "curly")
CLOTHES = ("blazer", "crew_neck", "v_neck")
HEAD_SHARE = 0.52  # head height over picture height at scale 1
SUPERSAMPLING = 2.0  # canvas pixels per picture pixel at scale 1
JAW_DROP = 0.088  # how far the chin falls at aperture 1, in heads
MOUTH_HALF = 0.127  # half the width of the mouth at rest
LIPS_V = 0.283  # where closed lips meet
SKIN_BGR = np.array(  # light to dark
    [[203, 218, 247], [172, 198, 238], [138, 174, 222], [102, 142, 198], [72, 108, 164], [52, 78, 122], [38, 54, 84]],
    np.float32,
)
HAIR_BGR = ((22, 20, 20), (30, 40, 58), (40, 62, 98), (60, 105, 160), (110, 165, 205), (35, 60, 140), (165, 168, 170))
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
    lip_fullness: float = 0.6
    lipstick: float = 0.4
    makeup: float = 0.5
    hair_style: str = "bob"
    hair_bgr: tuple[int, int, int] = (34, 52, 84)
    parting: float = 0.5  # -1..1, where the hair parts
    age: float = 0.15
    freckles: float = 0.15
    stubble: float = 0.0
    beard: float = 0.0
    clothes: str = "blazer"
    clothes_bgr: tuple[int, int, int] = (92, 62, 38)
    background_bgr: tuple[int, int, int] = (150, 128, 100)
    light_side: float = -0.7  # -1 from the picture's left, 1 from its right
    light_warmth: float = 0.25  # -1 cool, 1 warm

    @staticmethod
    def random(rng: np.random.Generator) -> FaceLook:
        """A plausible person of any skin tone, age and sex."""
        u, is_male, age = rng.random, rng.random() < 0.5, float(rng.random() ** 1.3)
        tone = float(rng.random())
        style = str(rng.choice(HAIR_STYLES, p=(0.2, 0.55, 0, 0.05, 0.05, 0.15) if is_male else (0.01, 0.09, 0.25, 0.3, 0.2, 0.15)))  # fmt: skip
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


# ── curves, masks, noise ─────────────────────────────────────────────────────────────────────────────────────────────


def _triple(values: np.ndarray) -> tuple[int, int, int]:
    return int(values[0]), int(values[1]), int(values[2])


def _muted(rng: np.random.Generator) -> np.ndarray:
    """A colour as people wear and paint it: any brightness, little saturation."""
    return np.clip(rng.uniform(30, 210) + rng.normal(0, 28, 3), 12, 235)


def _step(low: float | np.ndarray, high: float | np.ndarray, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _spline(points: list[tuple[float, float]] | np.ndarray, per: int = 12, closed: bool = False) -> np.ndarray:
    """A Catmull-Rom curve through points: (K, 2) -> (N, 2)."""
    p = np.asarray(points, np.float32)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, per, endpoint=False, dtype=np.float32)[None, :, None]
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate([curve.reshape(-1, 2), p[-2:-1]])


def _mirrored(points: list[tuple[float, float]]) -> np.ndarray:
    """A closed outline from its right half, top to bottom."""
    right = np.asarray(points, np.float32)
    left = right[::-1] * [-1, 1]
    return _spline(np.concatenate([right, left[np.abs(left[:, 0]) > 1e-6]]), closed=True)


@dataclass(frozen=True, eq=False)
class _Grid:
    """A canvas: which part of the head plane it shows, at which density."""

    px: float  # pixels per head
    u0: float
    v0: float
    u1: float
    v1: float

    @cached_property
    def shape(self) -> tuple[int, int]:
        return round((self.v1 - self.v0) * self.px), round((self.u1 - self.u0) * self.px)

    @cached_property
    def u(self) -> np.ndarray:
        return (self.u0 + (np.arange(self.shape[1], dtype=np.float32)[None] + 0.5) / self.px).astype(np.float32)

    @cached_property
    def v(self) -> np.ndarray:
        return (self.v0 + (np.arange(self.shape[0], dtype=np.float32)[:, None] + 0.5) / self.px).astype(np.float32)

    def points(self, curve: np.ndarray) -> np.ndarray:
        """To OpenCV's fixed-point pixel coordinates (4 fractional bits)."""
        return np.round(((curve - [self.u0, self.v0]) * self.px - 0.5) * 16).astype(np.int32)

    def fill(self, *outlines: np.ndarray) -> np.ndarray:
        mask = np.zeros(self.shape, np.uint8)
        for outline in outlines:
            cv2.fillPoly(mask, [self.points(outline)], 255, cv2.LINE_AA, 4)
        return mask.astype(np.float32) / 255

    def lines(self, curves: list[np.ndarray], width: float, blur: float) -> np.ndarray:
        mask = np.zeros(self.shape, np.uint8)
        thickness = max(1, round(width * self.px))
        cv2.polylines(mask, [self.points(c) for c in curves], False, 255, thickness, cv2.LINE_AA, 4)
        return self.blur(mask.astype(np.float32) / 255, blur)

    def blur(self, image: np.ndarray, sigma: float) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), max(sigma * self.px, 0.3), borderType=cv2.BORDER_REPLICATE)

    def bump(self, u: float, v: float, su: float, sv: float, twin: bool = False) -> np.ndarray:
        across = np.exp(-(((self.u - u) / su) ** 2))
        if twin:
            across = across + np.exp(-(((self.u + u) / su) ** 2))
        return across * np.exp(-(((self.v - v) / sv) ** 2))

    def noise(self, rng: np.random.Generator, sigma: float) -> np.ndarray:
        """Smooth noise of unit variance; coarse noise is made small and enlarged."""
        step = max(1, int(sigma * self.px / 2))
        small = rng.standard_normal((self.shape[0] // step + 2, self.shape[1] // step + 2)).astype(np.float32)
        small = cv2.GaussianBlur(small, (0, 0), max(sigma * self.px / step, 0.3))
        image = cv2.resize(small, self.shape[::-1], interpolation=cv2.INTER_CUBIC)
        return (image - image.mean()) / image.std()


# ── light ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _linear(bgr: tuple[int, int, int] | np.ndarray) -> np.ndarray:
    return (np.asarray(bgr, np.float32) / 255) ** 2.2


def _display(linear_bgr: np.ndarray) -> np.ndarray:
    """Linear light to display values 0..255, with a soft shoulder instead of clipping."""
    x = np.maximum(linear_bgr, 0)
    return (255 * np.minimum(x * (1 + 0.16 * x) / (1 + 0.42 * x), 1) ** (1 / 2.2)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Light:
    """A key light from one side above, a cooler fill from the other, light from sky and floor."""

    side: float
    warmth: float
    key: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        key = np.array([0.62 * self.side, -0.48, 0.72], np.float32)
        object.__setattr__(self, "key", key / np.linalg.norm(key))

    def on(self, nx: np.ndarray, ny: np.ndarray, nz: np.ndarray, shadow: np.ndarray | float = 0.0) -> np.ndarray:
        """Light that falls on normals: (..., 3) BGR. Red reaches further round than blue, as it does under skin."""
        facing = nx * self.key[0] + ny * self.key[1] + nz * self.key[2]
        fill = np.maximum(0.55 * nz - 0.8 * np.sign(self.side or 1) * nx, 0) * 0.17
        around = 0.20 - 0.07 * ny
        tint = 0.14 * self.warmth
        light = []
        for wrap, key_tint, fill_tint in ((0.10, 0.94 - tint, 1.12), (0.17, 1.0, 1.0), (0.30, 1.05 + tint, 0.93)):
            key = np.maximum((facing + wrap) / (1 + wrap), 0) ** 1.2 * (1 - shadow)
            light.append(1.22 * key_tint * key + fill_tint * fill + around)
        return np.stack(light, -1).astype(np.float32)

    def relief(self, grid: _Grid, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Light and gloss on a relief: (h, w, 3) and (h, w), with soft cast shadows and darker hollows."""
        dv, du = np.gradient(depth * grid.px)
        length = np.sqrt(du**2 + dv**2 + 1)
        nx, ny, nz = -du / length, -dv / length, 1 / length
        shadow = np.zeros_like(depth)
        for reach in np.linspace(0.012, 0.30, 20):
            shift = np.float32([[1, 0, -self.key[0] * reach * grid.px], [0, 1, -self.key[1] * reach * grid.px]])
            higher = cv2.warpAffine(depth, shift, depth.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            shadow = np.maximum(shadow, (higher - depth - self.key[2] * reach) / (0.012 + 0.16 * reach))
        shadow = grid.blur(np.clip(shadow, 0, 1).astype(np.float32), 0.006) * 0.8
        hollow = 5.0 * np.maximum(grid.blur(depth, 0.018) - depth, 0) + 2.2 * np.maximum(grid.blur(depth, 0.05) - depth, 0)
        light = self.on(nx, ny, nz, shadow) * (1 - np.clip(hollow, 0, 0.55))[..., None]
        half = self.key + np.array([0, 0, 1], np.float32)
        half /= np.linalg.norm(half)
        mirror = np.maximum(nx * half[0] + ny * half[1] + nz * half[2], 0)
        return light, (0.05 * mirror**14 + 0.06 * mirror**60) * (1 - shadow)


# ── the parts that stand still ───────────────────────────────────────────────────────────────────────────────────────


def _face_outline(look: FaceLook) -> np.ndarray:
    j = look.jaw
    right = [(0, -0.5), (0.14, -0.485), (0.252, -0.41), (0.322, -0.28), (0.348, -0.12), (0.345, 0.02), (0.326, 0.13)]
    right += [(0.280 + 0.034 * j, 0.245), (0.208 + 0.058 * j, 0.365), (0.126 + 0.052 * j, 0.452), (0.060 + 0.03 * j, 0.489)]
    return _mirrored([*((u * (0.92 + 0.12 * look.width), v) for u, v in right), (0, 0.497)])


def _ear(side: int, look: FaceLook) -> np.ndarray:
    w = 0.92 + 0.12 * look.width
    points = [(0.325, -0.04), (0.362, -0.075), (0.392, -0.055), (0.395, 0.0), (0.38, 0.06), (0.362, 0.115), (0.325, 0.12)]
    return _spline([(side * u * w, v) for u, v in points], closed=True)


def _face_depth(grid: _Grid, look: FaceLook, face: np.ndarray, ears: np.ndarray) -> np.ndarray:
    """The relief of the head with closed eyes and without lips."""
    half = np.maximum(face.sum(1, keepdims=True) / 2 / grid.px, 1e-3)
    across = np.clip(np.abs(grid.u) / half, 0, 0.985)
    profile = np.where(grid.v > 0, np.abs(grid.v / 0.535) ** 5, np.abs(grid.v / 0.505) ** 2.5)
    z = 0.34 * np.sqrt(np.clip(1 - profile, 0, 1)) * (1 - across**2.5) ** 0.5
    z = grid.blur((z * face).astype(np.float32), 0.007)
    bump, n = grid.bump, 0.75 + 0.5 * look.nose
    z += 0.010 * bump(0.13, -0.10, 0.10, 0.035, True) + 0.006 * bump(0, -0.085, 0.05, 0.04)
    z -= 0.036 * bump(0.14, -0.02, 0.082, 0.05, True) + 0.018 * bump(0.062, -0.02, 0.028, 0.035, True)
    z += 0.024 * bump(0.15, 0.0, 0.066, 0.042, True)
    down = np.clip((grid.v + 0.07) / 0.22, 0, 1)
    height = n * (0.012 + 0.072 * down**1.25) * _step(-0.14, -0.03, grid.v)
    under = 0.196 - 0.016 * np.minimum((grid.u / 0.034) ** 2, 1.2)
    height = height * (1 - _step(under - 0.032, under + 0.008, grid.v))
    wing = (0.037 + 0.014 * down) * (0.8 + 0.4 * look.nose)
    z += height * (0.8 * np.exp(-((grid.u / wing) ** 2)) + 0.22 * np.exp(-((grid.u / (2.2 * wing)) ** 2)))
    z += 0.022 * n * bump(0, 0.147, 0.034, 0.030) + 0.034 * n * bump(0.046 * n + 0.01, 0.161, 0.020, 0.022, True)
    z -= 0.03 * bump(0.029, 0.184, 0.014, 0.008, True)
    z += (0.008 + 0.016 * look.cheeks) * bump(0.2, 0.095, 0.085, 0.065, True) - 0.01 * bump(0.25, 0.22, 0.06, 0.09, True)
    z += 0.028 * bump(0, 0.28, 0.14, 0.085) - 0.005 * bump(0, 0.225, 0.011, 0.022) + 0.003 * bump(0.022, 0.225, 0.009, 0.025, True)  # fmt: skip
    z -= 0.013 * bump(0, 0.362, 0.075, 0.018)
    z += 0.026 * bump(0, 0.435, 0.075, 0.045)
    sides = (-1, 1)
    folds = [_spline([(s * 0.078, 0.168), (s * 0.112, 0.21), (s * 0.142, 0.275)]) for s in sides]
    z -= (0.0022 + 0.0055 * look.age) * grid.lines(folds, 0.008, 0.007)
    if look.age > 0.3:
        lines = [_spline([(-0.16, v + 0.012), (-0.07, v), (0.06, v + 0.004), (0.15, v + 0.014)]) for v in (-0.2, -0.245, -0.285)]
        lines += [_spline([(s * 0.238, 0.0), (s * (0.262 + 0.01 * k), 0.022 * (k - 0.8))]) for s in sides for k in range(3)]
        lines += [_spline([(s * 0.095, 0.058), (s * 0.15, 0.07), (s * 0.2, 0.052)]) for s in sides]
        lines += [_spline([(s * 0.138, 0.3), (s * 0.145, 0.36), (s * 0.13, 0.41)]) for s in sides]
        lines += [_spline([(s * 0.018, -0.085), (s * 0.02, -0.12)]) for s in sides]
        z -= 0.0042 * (look.age - 0.3) / 0.7 * grid.lines(lines, 0.004, 0.0035)
    rim = cv2.distanceTransform((ears > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / grid.px
    ear = 0.07 * np.minimum(rim / 0.008, 1) ** 0.5 + 0.016 * np.exp(-(((rim - 0.010) / 0.006) ** 2)) - 0.014 * bump(0.362, 0.02, 0.018, 0.045, True)  # fmt: skip
    return np.maximum(z * face, grid.blur((ear * ears).astype(np.float32), 0.003)).astype(np.float32)


def _skin_albedo(grid: _Grid, look: FaceLook, rng: np.random.Generator) -> np.ndarray:
    """Skin colour in linear light, (h, w, 3): redder where blood is near, darker round the eyes, mottled, freckled."""
    at = look.skin_tone * (len(SKIN_BGR) - 1)
    tone = np.array([np.interp(at, np.arange(len(SKIN_BGR)), SKIN_BGR[:, c]) for c in range(3)], np.float32)
    albedo = np.broadcast_to(_linear(tone), (*grid.shape, 3)).copy()
    bump = grid.bump
    blood = 0.9 * bump(0.2, 0.125, 0.085, 0.07, True) + 0.6 * bump(0, 0.15, 0.06, 0.05) + 0.35 * bump(0, 0.43, 0.09, 0.05)
    blood += 0.9 * bump(0.37, 0.03, 0.04, 0.1, True) + 0.12 * grid.noise(rng, 0.02)
    blood = blood * (0.25 + 0.55 * look.redness + 0.3 * look.makeup)
    tired = (0.10 + 0.28 * look.age) * bump(0.15, 0.055, 0.065, 0.022, True) + 0.13 * bump(0.075, 0.01, 0.03, 0.03, True)
    tired = tired + 0.30 * look.makeup * bump(0.155, -0.045, 0.065, 0.024, True) + 0.85 * bump(0.029, 0.183, 0.014, 0.0065, True)
    for channel, (red, dark) in enumerate(((0.24, 0.9), (0.20, 1.0), (-0.02, 0.85))):
        albedo[..., channel] *= (1 - red * blood) * (1 - dark * tired)
    grain = 1 + 0.020 * grid.noise(rng, 0.0022) + 0.018 * grid.noise(rng, 0.012)
    if look.freckles:
        dots = (rng.random(grid.shape) < 0.006).astype(np.float32) * rng.random(grid.shape).astype(np.float32)
        where = bump(0.15, 0.10, 0.13, 0.07, True) + bump(0, 0.09, 0.07, 0.06) + 0.25 * bump(0, -0.25, 0.22, 0.08)
        grain -= np.clip(grid.blur(dots, 0.003) * 14 * look.freckles * where, 0, 0.4)
    return albedo * grain[..., None]


def _beard_area(grid: _Grid) -> np.ndarray:
    """Where a beard grows: jaw, chin, upper lip; not on the lips."""
    cheek = 0.19 + 0.32 * _step(0.36, 0.1, np.abs(grid.u)) * 0.35
    area = _step(cheek - 0.03, cheek + 0.05, grid.v) * _step(0.06, 0.17, np.hypot(grid.u, (grid.v - 0.22) * 1.1))
    area = np.maximum(area, grid.bump(0, 0.232, 0.095, 0.020)) + 0.9 * grid.bump(0, 0.37, 0.035, 0.03)
    lips = _step(1.25, 0.95, np.hypot(grid.u / 0.12, (grid.v - LIPS_V) / 0.036))
    return np.clip(area, 0, 1) * (1 - lips)


def _strokes(grid: _Grid, curves: list[np.ndarray], levels: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw hairs of several brightness levels (0..1): premultiplied brightness and cover, both 0..1."""
    bright, cover = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8)
    _add_strokes(grid, bright, cover, curves, levels, width)
    return bright.astype(np.float32) / 255, cover.astype(np.float32) / 255


def _add_strokes(
    grid: _Grid, bright: np.ndarray, cover: np.ndarray, curves: list[np.ndarray], levels: np.ndarray, width: float
) -> None:
    thickness = max(1, round(width * grid.px))
    points = [grid.points(c) for c in curves]
    buckets = np.clip(levels * 16, 0, 15).astype(int)
    third = np.arange(len(points)) % 3  # three passes, so that bright hairs do not all lie on top
    for layer in range(3):
        for bucket in range(16):
            chosen = [points[i] for i in np.flatnonzero((buckets == bucket) & (third == layer))]
            if chosen:
                cv2.polylines(bright, chosen, False, bucket * 16 + 8, thickness, cv2.LINE_AA, 4)
                cv2.polylines(cover, chosen, False, 255, thickness, cv2.LINE_AA, 4)


def _brows(grid: _Grid, look: FaceLook, rng: np.random.Generator) -> np.ndarray:
    """How much of the skin the brows hide, (h, w) 0..1."""
    rise, weight = 0.022 * look.brow_arch, 0.010 + 0.016 * look.brow_weight
    cover = np.zeros(grid.shape, np.float32)
    for side in (-1, 1):
        spine = _spline([(0.062, -0.078), (0.115, -0.096 - 0.5 * rise), (0.175, -0.104 - rise), (0.245, -0.082 - 0.3 * rise)])
        at = rng.random(int(160 + 150 * look.brow_weight)) * 0.999
        index = (at * (len(spine) - 1)).astype(int)
        along = spine[index + 1] - spine[index]
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        thick = weight * np.sqrt(1.02 - at) * np.minimum(1, 0.40 + 2.5 * at)
        root = spine[index] + np.stack([0 * at, thick * (rng.random(len(at)) - 0.35)], 1)
        lift = np.stack([0 * at, -np.interp(at, [0, 0.3, 1], [1.3, 0.55, -0.1])], 1)
        tip = root + (along + lift) * (0.016 + 0.012 * rng.random((len(at), 1)))
        curves = [np.stack([a, 0.5 * (a + b) + [0, -0.0015], b]) * [side, 1] for a, b in zip(root, tip, strict=True)]
        hairs = grid.blur(_strokes(grid, curves, np.ones(len(at)), 0.001)[1], 0.0014)
        cover = np.maximum(cover, np.clip(0.55 * hairs + 0.55 * grid.blur(hairs, 0.007), 0, 0.85))
    return cover


def _hair_guides(look: FaceLook, side: int) -> np.ndarray:
    """Guide strands of one half, root to tip, from the face outwards: (K, N, 2); hair lies between neighbours."""
    p = 0.10 * look.parting * side
    if look.hair_style == "cropped":
        guides = []
        for k in np.linspace(0 if side > 0 else 0.02, 1, 9):
            root = np.array([0.325 * np.sin(1.5 * k), -0.335 - 0.03 * np.sin(3 * k) + 0.30 * k**3.2])
            tip = np.array([0.375 * np.sin(1.45 * k) - 0.02, -0.565 + 0.36 * k**2.6])
            sweep = np.array([0.07 * np.sign(look.parting or 1) * side * (1 - k), -0.05 * (1 - k)])
            guides.append(_spline([root, 0.5 * (root + tip) + sweep, tip + 0.6 * sweep], per=10))
        return np.stack(guides) * [side, 1]
    if look.hair_style == "tied":
        rows = [
            [(p, -0.395), (p + 0.10, -0.38), (0.235, -0.30), (0.318, -0.17), (0.352, -0.03)],
            [(p, -0.44), (p + 0.11, -0.43), (0.27, -0.345), (0.352, -0.19), (0.372, -0.02)],
            [(p, -0.50), (0.15, -0.49), (0.31, -0.385), (0.375, -0.2), (0.38, -0.03)],
            [(p, -0.535), (0.165, -0.525), (0.335, -0.405), (0.388, -0.2), (0.385, -0.04)],
        ]
    else:
        end = {"bob": 0.40, "long": 0.86, "curly": 0.2}[look.hair_style]
        curl = {"bob": -0.05, "long": 0.02, "curly": 0.0}[look.hair_style]
        mid = 0.55 * end
        rows = [
            [(p, -0.395), (p + 0.09, -0.385), (0.228, -0.305), (0.318, -0.14), (0.338, 0.03), (0.345, mid), (0.335 + curl, end)],
            [(p, -0.44), (p + 0.11, -0.435), (0.275, -0.335), (0.365, -0.14), (0.385, 0.03), (0.39, mid), (0.38 + curl, end + 0.02)],
            [(p, -0.50), (0.15, -0.50), (0.33, -0.38), (0.405, -0.17), (0.425, 0.03), (0.43, mid), (0.415 + curl, end + 0.03)],
            [(p, -0.562), (0.16, -0.55), (0.355, -0.43), (0.435, -0.19), (0.455, 0.03), (0.462, mid), (0.44 + curl, end + 0.005)],
        ]
    guides = np.stack([_spline(row, per=10) for row in rows])
    if look.hair_style == "curly":
        guides[2:] *= np.array([1.12, 1.07])
    guides[..., 0] += 0.012 * np.sin(15 * guides[..., 1]) * _step(0.1, 0.5, guides[..., 1]) * (look.hair_style == "long")
    return guides * [side, 1]


def _hair(grid: _Grid, look: FaceLook, light: _Light, rng: np.random.Generator) -> np.ndarray:
    """Hair before the head: premultiplied BGRA, display values."""
    bright, cover = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8)
    if look.hair_style == "bald":
        return np.zeros((*grid.shape, 4), np.float32)
    curly = look.hair_style == "curly"
    for side in (-1, 1):
        guides = _hair_guides(look, side)
        for a, b in zip(guides[:-1], guides[1:], strict=True):
            quad = [grid.points(np.concatenate([a, b[::-1]]))]
            cv2.fillPoly(bright, quad, 60, cv2.LINE_AA, 4)
            cv2.fillPoly(cover, quad, 255, cv2.LINE_AA, 4)
        count = 900 if look.hair_style in ("cropped", "tied") else 1300
        across = rng.random(count) * (len(guides) - 1.001)
        k, t = across.astype(int), (across % 1)[:, None, None]
        strands = guides[k] * (1 - t) + guides[k + 1] * t
        n = strands.shape[1]
        s = np.linspace(0, 1, n)[None]
        wave = (0.013 if curly else 0.003) * np.sin(s * rng.uniform(20, 60, (count, 1)) * (1.6 if curly else 0.3) + rng.uniform(0, 6.28, (count, 1)))  # fmt: skip
        strands = strands + np.stack([wave, (0.8 if curly else 0.3) * wave], -1) + rng.normal(0, 0.004, (count, 1, 2))
        shine = np.exp(-(((s - 0.30 - 0.04 * rng.standard_normal((count, 1))) / 0.13) ** 2)) * (0.12 if curly else 0.42)
        level = 0.16 + 0.26 * rng.random((count, 1)) ** 1.5 + shine + 0.05 * s
        cut = rng.integers(0, max(1, n // 8), (count, 2))
        pieces, levels = [], []
        for i in range(count):
            for start in range(cut[i, 0], n - 2 - cut[i, 1], 5):
                pieces.append(strands[i, start : min(start + 6, n)])
                levels.append(level[i, min(start + 2, n - 1)])
        _add_strokes(grid, bright, cover, pieces, np.array(levels), 0.003)
    alpha = grid.blur(cover.astype(np.float32) / 255, 0.0012)
    value = grid.blur(bright.astype(np.float32) / 255, 0.0012)
    dome = np.sqrt(np.clip(1 - (grid.u / 0.52) ** 2 - (np.minimum(grid.v, 0) / 0.62) ** 2, 0.05, 1))
    nx, ny = grid.u / 0.52 + 0 * grid.v, np.minimum(grid.v, 0) / 0.62 + 0 * grid.u
    lit = light.on(nx, ny, dome)
    body = _linear(look.hair_bgr)[None, None] * (value[..., None] * 3.2)
    gloss = np.maximum(value - 0.42 * alpha, 0)[..., None] * (0.03 + 0.35 * _linear(look.hair_bgr))
    premultiplied = _display((body + gloss) / np.maximum(alpha, 0.02)[..., None] * lit) * alpha[..., None]
    return np.dstack([premultiplied, alpha]).astype(np.float32)


def _back_hair(grid: _Grid, look: FaceLook) -> np.ndarray:
    """The dark mass of hair behind head and neck: premultiplied BGRA."""
    end = {"bob": 0.42, "long": 0.95, "curly": 0.22}.get(look.hair_style)
    outlines = []
    if end is not None:
        w = 1.1 if look.hair_style == "curly" else 1.0
        outlines.append(_mirrored([(0, -0.53), (0.2 * w, -0.5), (0.385 * w, -0.3), (0.435 * w, 0), (0.44 * w, 0.6 * end), (0.38, 0.97 * end), (0.2, 0.93 * end), (0, 0.9 * end)]))  # fmt: skip
    if look.hair_style == "tied":
        outlines.append(_mirrored([(0, -0.66), (0.1, -0.63), (0.13, -0.55), (0.08, -0.48), (0, -0.46)]))
    alpha = grid.blur(grid.fill(*outlines), 0.004)
    colour = _display(_linear(look.hair_bgr) * 0.28)
    return np.dstack([alpha[..., None] * colour, alpha]).astype(np.float32)


def _body(grid: _Grid, look: FaceLook, light: _Light, rng: np.random.Generator) -> np.ndarray:
    """Neck, shoulders and clothes: premultiplied BGRA."""
    w = 0.90 + 0.22 * look.jaw
    neck = grid.fill(_mirrored([(0, 0.1), (0.145 * w, 0.1), (0.15 * w, 0.45), (0.165 * w, 0.56), (0.23, 0.635), (0.3, 0.70), (0.3, 1.1), (0, 1.15)]))  # fmt: skip
    s = 0.88 + 0.24 * look.jaw
    torso = _mirrored([(0, 0.57), (0.19, 0.585), (0.25, 0.635), (0.42 * s, 0.695), (0.66 * s, 0.775), (0.80 * s, 0.88), (0.87 * s, 1.1), (0.93 * s, 1.9), (0, 1.9)])  # fmt: skip
    cut = {
        "crew_neck": _mirrored([(0, 0.2), (0.2, 0.3), (0.215, 0.6), (0.13, 0.70), (0, 0.73)]),
        "v_neck": _mirrored([(0, 0.2), (0.2, 0.3), (0.225, 0.58), (0.12, 0.80), (0, 0.96)]),
        "blazer": _mirrored([(0, 0.2), (0.2, 0.3), (0.24, 0.62), (0.16, 0.9), (0.02, 1.3), (0, 1.32)]),
    }[look.clothes]
    opening = grid.fill(cut)
    cloth = grid.fill(torso) * (1 - opening)
    z = 0.20 * np.sqrt(np.clip(1 - (grid.u / (0.185 * w)) ** 2, 0, 1)) * _step(0.66, 0.5, grid.v) + 0.02 * neck
    z = z + 0.014 * grid.lines([_spline([(k * 0.15, 0.45), (k * 0.09, 0.58), (k * 0.025, 0.675)]) for k in (-1, 1)], 0.03, 0.012)
    z = z + 0.013 * grid.lines([_spline([(k * 0.05, 0.685), (k * 0.16, 0.67), (k * 0.34, 0.69)]) for k in (-1, 1)], 0.022, 0.012)
    z = grid.blur(z.astype(np.float32), 0.01) + 0.16 * np.sqrt(np.clip(1 - (grid.u / 1.02) ** 2, 0, 1))
    skin_light, gloss = light.relief(grid, z.astype(np.float32))
    under_chin = 1 - 0.62 * _step(0.62, 0.44, grid.v + 0.35 * np.abs(grid.u) ** 1.3 + 0.10 * light.side * grid.u)
    skin = _skin_albedo(grid, look, rng) * skin_light * under_chin[..., None] + 0.6 * gloss[..., None]
    inside = cv2.distanceTransform((cloth > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / grid.px
    folds = 0.006 * grid.noise(rng, 0.09) + 0.0011 * grid.noise(rng, 0.025)
    zc = 0.30 * np.sqrt(np.clip(1 - (grid.u / 1.0) ** 2, 0, 1)) + 0.03 * np.minimum(inside / 0.04, 1) ** 0.5 + folds - 0.12 * np.maximum(grid.v - 0.6, 0)  # fmt: skip
    weave = 1 + 0.05 * grid.noise(rng, 0.003)
    fabric = _linear(look.clothes_bgr) * weave[..., None] * np.ones(3, np.float32)
    if look.clothes == "blazer":
        shirt = opening * (1 - grid.fill(_mirrored([(0, 0.2), (0.22, 0.3), (0.2, 0.62), (0.12, 0.72), (0, 0.755)])))
        hem = grid.lines([_spline([(-0.2, 0.62), (-0.12, 0.72), (0, 0.755), (0.12, 0.72), (0.2, 0.62)])], 0.02, 0.005)
        shirt_light, _ = light.relief(grid, grid.blur((zc - 0.02 + 0.006 * hem).astype(np.float32), 0.005))
        beside = grid.blur(cloth, 0.025)
        linen = np.array([0.66, 0.66, 0.67], np.float32) * weave[..., None] * shirt_light * (1 - 0.8 * beside)[..., None]
        skin = skin * (1 - shirt[..., None]) + linen * shirt[..., None]
        lapels = [_spline([(k * 0.235, 0.62), (k * 0.36, 0.80), (k * 0.30, 0.86), (k * 0.34, 0.90), (k * 0.06, 1.36)]) for k in (-1, 1)]
        edge = grid.lines(lapels, 0.008, 0.004)
        zc = zc + 0.012 * grid.blur(grid.fill(*lapels) * cloth, 0.006)
        fabric = fabric * (1 - 0.35 * edge)[..., None]
    cloth_light, _ = light.relief(grid, grid.blur(zc.astype(np.float32), 0.006))
    alpha = np.maximum(neck, np.maximum(cloth, opening * grid.fill(torso)))
    worn = (cloth / np.maximum(alpha, 1e-3))[..., None]
    colour = skin * (1 - worn) + fabric * cloth_light * worn
    return np.dstack([_display(colour) * alpha[..., None], alpha]).astype(np.float32)


def _background(size_px: tuple[int, int], look: FaceLook) -> np.ndarray:
    """A room far out of focus: (H, W, 3) float32 display values."""
    width, height = size_px
    rng = np.random.default_rng(look.seed + 1)
    x = (np.arange(width, dtype=np.float32)[None] / width - 0.5) * width / height
    y = np.arange(height, dtype=np.float32)[:, None] / height
    base = np.asarray(look.background_bgr, np.float32)
    glow = np.exp(-((x - 0.35 * look.light_side) ** 2 / 0.5 + (y - 0.35) ** 2 / 0.4))
    image = base * (0.42 + 0.55 * glow)[..., None]
    for _ in range(7):  # shelves and windows, blurred beyond recognition
        x0, y0, w, h = rng.uniform(-1, 0.8), rng.uniform(-0.1, 0.8), rng.uniform(0.08, 0.4), rng.uniform(0.1, 0.6)
        soft = _step(-0.06, 0.06, x - x0) * _step(0.06, -0.06, x - x0 - w) * _step(-0.06, 0.06, y - y0) * _step(0.06, -0.06, y - y0 - h)  # fmt: skip
        image += soft[..., None] * base * rng.uniform(-0.16, 0.14) * (1 + rng.uniform(-0.15, 0.15, 3))
    return np.clip(image, 0, 255).astype(np.float32)


# ── the parts that move ──────────────────────────────────────────────────────────────────────────────────────────────


class _Lips:
    """The curves of a mouth: where each lip begins and ends at a place across it, in heads."""

    def __init__(self, look: FaceLook, mouth: Mouth) -> None:
        spread, pucker, gap = mouth.width, mouth.rounding, 0.106 * mouth.aperture
        self.aperture, self.gap, self.drop = mouth.aperture, gap, JAW_DROP * mouth.aperture
        self.half = MOUTH_HALF * (1 + 0.15 * spread - 0.36 * pucker) * (1 - 0.07 * mouth.aperture)
        self.corner = LIPS_V + 0.30 * gap - 0.006 * max(spread, 0)
        thick = (1 + 0.32 * pucker - 0.14 * max(spread, 0)) * (1 - 0.12 * mouth.aperture)
        self._upper, self._lower = (0.020 + 0.015 * look.lip_fullness) * thick, (0.024 + 0.019 * look.lip_fullness) * thick

    def curves(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """v of upper lip's top and lower edge and lower lip's upper and bottom edge at s = u / half, -1..1."""
        s = np.clip(np.abs(s), 0, 1)
        e = 1 - s * s
        seam = self.corner + 0.0016 * np.cos(s * 2 * np.pi) - 0.0016 - 0.007 * s**4
        lip = seam - 0.45 * self.gap * e**0.8
        low = seam + (0.53 * e**0.62) * self.gap
        bow = (1 - s**1.7) ** 0.85 * (1 - 0.20 * np.exp(-((s / 0.13) ** 2)) + 0.07 * np.exp(-(((s - 0.26) / 0.16) ** 2)))
        return lip - self._upper * bow, lip, low, low + self._lower * (1 - s**2.4) ** 0.75

    def middle(self) -> dict[str, tuple[float, float]]:
        names = ("lip_upper_outer", "lip_upper_inner", "lip_lower_inner", "lip_lower_outer")
        return {name: (0.0, float(v[0])) for name, v in zip(names, self.curves(np.zeros(1)), strict=True)}


def _over(image: np.ndarray, layer: np.ndarray) -> None:
    """Lay a premultiplied BGRA layer over a picture, in place."""
    image *= 1 - layer[..., 3:]
    image += layer[..., :3]


# ── the picture ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Painter:
    """Draws one look at one picture size; what stands still is painted once."""

    def __init__(self, look: FaceLook, size_px: tuple[int, int] = (640, 480)) -> None:
        self.look, self.size_px = look, size_px
        rng = np.random.default_rng(look.seed)
        px = size_px[1] * HEAD_SHARE * SUPERSAMPLING
        self._grid = grid = _Grid(px, -0.62, -0.74, 0.62, 0.96)
        self._light = _Light(look.light_side, look.light_warmth)
        outline = _face_outline(look)
        face, ears = grid.fill(outline), grid.fill(_ear(-1, look), _ear(1, look))
        depth = _face_depth(grid, look, face, ears)
        light, gloss = self._light.relief(grid, depth)
        albedo = _skin_albedo(grid, look, rng)
        if look.stubble or look.beard:
            speckle = 0.5 + 0.5 * np.clip(grid.noise(rng, 0.0018), -1, 1)
            albedo *= 1 - (_beard_area(grid) * (0.12 + 0.55 * speckle) * max(0.55 * look.stubble, 0.7 * look.beard))[..., None] * np.float32([0.75, 0.9, 1])  # fmt: skip
        brows = _brows(grid, look, rng)[..., None]
        albedo = albedo * (1 - brows) + _linear(look.hair_bgr) * 0.55 * brows
        skin = _display(albedo * light + gloss[..., None] * (0.5 + 0.5 * (1 - brows)))
        alpha = np.maximum(face, ears)[..., None]
        self._face = np.dstack([skin * alpha, alpha]).astype(np.float32)
        if look.beard:
            self._grow_beard(rng)
        self._hair = _hair(grid, look, self._light, rng)
        key = self._light.key / self._light.key[2] * 0.035 * px
        cast = cv2.warpAffine(self._hair[..., 3], np.float32([[1, 0, -key[0]], [0, 1, -key[1]]]), grid.shape[::-1])
        self._face[..., :3] *= 1 - 0.42 * grid.blur(cast, 0.012)[..., None] * np.float32([1.0, 0.95, 0.85])
        self._eye_light = float(np.mean([light[self._pixel(s * 0.15, 0.0)][1] for s in (-1, 1)]))
        solid = 0.32 * np.sqrt(np.clip(1 - (grid.u / 0.43) ** 2 - (np.minimum(grid.v, 0) / 0.56) ** 2, 0, 1))
        self._depth = grid.blur(np.maximum(depth, solid).astype(np.float32), 0.025)
        back_grid = _Grid(px / 2, -0.62, -0.74, 0.62, 1.1)
        body_grid = _Grid(px * 0.6, -1.25, 0.1, 1.25, 1.9)
        self._back = (back_grid, _back_hair(back_grid, look)) if look.hair_style in ("bob", "long", "curly", "tied") else None
        self._body = (body_grid, _body(body_grid, look, self._light, rng))
        self._background = _background(size_px, look)
        self._lip_lines = cv2.GaussianBlur(rng.standard_normal((1, grid.shape[1])).astype(np.float32), (0, 0), 1.2)[0] * 2

    def _pixel(self, u: float, v: float) -> tuple[int, int]:
        return round((v - self._grid.v0) * self._grid.px), round((u - self._grid.u0) * self._grid.px)

    def _grow_beard(self, rng: np.random.Generator) -> None:
        grid, area = self._grid, _beard_area(self._grid) * (self._face[..., 3] > 0.9)
        rows, columns = np.nonzero(rng.random(grid.shape) < area * 0.045 * self.look.beard)
        root = np.stack([grid.u[0, columns], grid.v[rows, 0]], 1)
        lean = np.stack([0.4 * np.sign(root[:, 0]) * rng.random(len(root)), 0.6 + rng.random(len(root))], 1)
        tip = root + lean * (0.012 + 0.014 * self.look.beard)
        curves = [np.stack([a, 0.5 * (a + b), b]) for a, b in zip(root, tip, strict=True)]
        bright, cover = _strokes(grid, curves, 0.25 + 0.5 * rng.random(len(root)), 0.002)
        colour = _display(_linear(self.look.hair_bgr) * bright[..., None] * 1.6)
        cover = (0.75 * cover)[..., None]
        self._face[..., :3] = self._face[..., :3] * (1 - cover) + colour * cover

    def draw(self, mouth: Mouth = Mouth(), pose: Pose = Pose()) -> Portrait:
        """Draw the person: the same values give the same pixels."""
        head = self._face.copy()
        if pose.brow_raise:
            self._raise_brows(head, pose.brow_raise)
        lips = _Lips(self.look, mouth)
        self._drop_jaw(head, lips)
        self._paint_mouth(head, lips)
        for side in (-1, 1):
            self._paint_eye(head, side, pose)
        head = self._hair + head * (1 - self._hair[..., 3:])
        image = self._background.copy()
        centre, scale_px, roll = self._placement(pose)
        if self._back is not None:
            self._lay(image, *self._back, centre, scale_px, roll)
        rest = (np.array([self.size_px[0] / 2, 0.43 * self.size_px[1]]) - centre) * 0.45
        self._lay(image, *self._body, centre + rest, scale_px, 0.25 * roll)
        _over(image, cv2.remap(head, *self._maps(pose), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))
        return Portrait(np.clip(image + 0.5, 0, 255).astype(np.uint8), *self._landmarks(lips, pose))

    def _window(self, u0: float, v0: float, u1: float, v1: float) -> tuple[slice, slice, np.ndarray, np.ndarray]:
        """A part of the canvas: its rows and columns, its u (1, w) and v (h, 1)."""
        (top, left), (bottom, right) = self._pixel(u0, v0), self._pixel(u1, v1)
        rows, columns = slice(top, bottom), slice(left, right)
        return rows, columns, self._grid.u[:, columns], self._grid.v[rows]

    def _pull(self, head: np.ndarray, window: tuple[slice, slice], du: np.ndarray | float, dv: np.ndarray) -> None:
        """Replace a window by what lies (du, dv) heads away."""
        rows, columns = window
        px, pad = self._grid.px, int(0.1 * self._grid.px)
        top, left = max(0, rows.start - pad), max(0, columns.start - pad)
        source = head[top : rows.stop + pad, left : columns.stop + pad].copy()
        y, x = np.ogrid[rows, columns]
        at_x, at_y = x - left + du * px + 0 * y, y - top + dv * px + 0 * x
        head[rows, columns] = cv2.remap(source, at_x.astype(np.float32), at_y.astype(np.float32), cv2.INTER_LINEAR)

    def _raise_brows(self, head: np.ndarray, amount: float) -> None:
        rows, columns, u, v = self._window(-0.32, -0.28, 0.32, -0.045)
        near = _step(-0.28, -0.12, v) * _step(-0.045, -0.075, v) * _step(0.32, 0.2, np.abs(u))
        self._pull(head, (rows, columns), 0.0, 0.024 * amount * near)

    def _drop_jaw(self, head: np.ndarray, lips: _Lips) -> None:
        """Lower the chin, and let the skin follow the corners of the mouth."""
        rows, columns, u, v = self._window(-0.42, 0.12, 0.42, 0.66)
        out = np.abs(u)
        low = LIPS_V + 0.83 * lips.gap + 0.03
        centre = _step(LIPS_V - 0.03, low, v) * np.ones_like(u)
        side = _step(0.12, 0.5, v) * np.ones_like(u)
        blend = _step(0.06, 0.16, out)
        dv = -lips.drop * (centre * (1 - blend) + side * blend)
        du = (MOUTH_HALF - lips.half) * np.sign(u) * np.exp(-(((out - 0.125) / 0.06) ** 2) - ((v - lips.corner) / 0.06) ** 2) * 0.7
        self._pull(head, (rows, columns), du, dv)

    def _paint_mouth(self, head: np.ndarray, lips: _Lips) -> None:
        grid, look = self._grid, self.look
        rows, columns, u, v = self._window(-0.17, 0.2, 0.17, 0.5)
        head_part = head[rows, columns, :3]
        s = u / lips.half
        top, lip, low, bottom = lips.curves(s)
        soft, sharp = 0.0045, 0.0022
        inside_s = _step(1.0, 0.985, np.abs(s))
        opening = _step(lip - sharp, lip + sharp, v) * _step(low + sharp, low - sharp, v) * inside_s * min(1.0, lips.aperture * 12)

        # What is behind the lips: darkness, tongue, lower teeth, upper teeth.
        depth = np.clip((v - lip) / np.maximum(low - lip, 1e-3), 0, 1)
        inside = np.array([0.010, 0.008, 0.030], np.float32) * (0.5 + 1.3 * depth)[..., None]
        tongue_v = low.min() * 0 + LIPS_V + 0.30 * lips.gap + 0.44 * lips.gap + 0.006
        r2 = (u / 0.072) ** 2 + ((v - tongue_v - 0.012) / 0.034) ** 2
        round_z = np.sqrt(np.clip(1 - r2, 0, 1))
        flesh = np.array([0.14, 0.12, 0.42], np.float32) * (0.25 + 0.75 * round_z)[..., None]
        flesh = flesh * (1 - 0.35 * np.exp(-((u / 0.006) ** 2)))[..., None] + 0.05 * (round_z**8)[..., None]
        inside += (flesh - inside) * _step(1.05, 0.8, r2)[..., None]
        ivory = np.array([0.56, 0.66, 0.72], np.float32) * self._eye_light
        arch = np.clip(1 - (u / 0.112) ** 2, 0, 1)
        for upper in (False, True):
            edge = LIPS_V + 0.019 - 0.013 * (1 - arch) if upper else LIPS_V + 0.012 + lips.drop * 0.86 + 0.012 * (1 - arch)
            gaps = np.ones_like(u)
            for place in (0.0, 0.027, 0.049, 0.067, 0.083) if upper else (0.0, 0.017, 0.034, 0.051, 0.067):
                gaps = gaps - 0.28 * np.exp(-(((np.abs(u) - place) / 0.0016) ** 2))
            rim = edge - 0.0035 * (1 - gaps) / 0.28 if upper else edge
            mask = _step(rim + 0.0016, rim - 0.0016, v) if upper else _step(rim - 0.0016, rim + 0.0016, v)
            shade = arch**0.7 * gaps * (0.55 + 0.45 * _step(lip, lip + 0.022, v)) * (1.0 if upper else 0.62)
            inside += (ivory * shade[..., None] - inside) * (mask * _step(0.108, 0.09, np.abs(u)))[..., None]
        inside *= (0.35 + 0.65 * _step(lip - 0.002, lip + 0.016, v) * _step(1.0, 0.72, np.abs(s)))[..., None]

        # The lips: skin colour drawn to red, lit by the slope of each lip.
        base = _linear(np.array([np.interp(look.skin_tone * 6, np.arange(7), SKIN_BGR[:, c]) for c in range(3)]))
        natural = base * np.array([0.60, 0.50, 0.80], np.float32)
        colour = natural * (1 - 0.65 * look.lipstick) + _linear((62, 48, 168)) * 0.65 * look.lipstick
        wet = 0.5 + 0.5 * look.lipstick
        part = head_part / 255
        for t, ny, lower in (
            (np.clip((v - top) / np.maximum(lip - top, 1e-4), 0, 1), (-0.35, 0.75), False),
            (np.clip((v - low) / np.maximum(bottom - low, 1e-4), 0, 1), (-0.80, 0.72), True),
        ):
            first, last = (low, bottom) if lower else (top, lip)
            mask = _step(first - (sharp if lower else soft), first + sharp, v) * _step(last + (soft if lower else sharp), last - sharp, v)
            mask = mask * inside_s * _step(0.0005, 0.004, last - first)
            slope = ny[0] + (ny[1] - ny[0]) * t
            nx = 0.5 * s + 0 * v
            nz = np.sqrt(np.maximum(1 - nx**2 - slope**2, 0.06))
            lines = 1 + 0.10 * self._lip_lines[None, (columns.stop - columns.start) // 2 * 0 :][:, : u.shape[1]] * np.sin(np.pi * t)
            lit = colour * self._light.on(nx, slope, nz) * (lines * (0.92 - 0.30 * (1 - t if lower else t) ** 6))[..., None]
            at = 0.36 if lower else 0.62
            shine = np.exp(-(((t - at) / 0.16) ** 2) - ((s - 0.22 * np.sign(look.light_side or 1)) / 0.42) ** 2)
            lit = lit + (0.09 * wet * (0.4 if not lower else 1.0) * shine * (lines - 0.55))[..., None]
            drawn = _display(lit) / 255
            part = part + (drawn - part) * (mask * 0.94)[..., None]
        part = part + (_display(inside) / 255 - part) * opening[..., None]
        seam = 0.5 * (lip + low)
        closed = np.exp(-(((v - seam) / 0.0030) ** 2)) * _step(1.06, 0.9, np.abs(s)) * np.clip(1 - lips.aperture * 9, 0, 1) * 0.72
        corner = np.exp(-(((np.abs(u) - lips.half) / 0.010) ** 2) - ((v - lips.corner) / 0.007) ** 2) * 0.42
        below = np.exp(-(((v - bottom - 0.008) / 0.010) ** 2)) * _step(1.0, 0.5, np.abs(s)) * 0.22
        part = part * (1 - np.clip(closed + corner, 0, 0.85))[..., None] * (1 - below[..., None] * np.array([1.0, 0.9, 0.7], np.float32))
        del grid
        head[rows, columns, :3] = part * 255

    def _paint_eye(self, head: np.ndarray, side: int, pose: Pose) -> None:
        grid, look = self._grid, self.look
        rows, columns, u, v = self._window(side * 0.15 - 0.105, -0.09, side * 0.15 + 0.105, 0.06)
        size = 1.02 + 0.17 * look.eye_size
        s = (side * u - 0.15) / (0.068 * size)  # -1 inner corner, 1 outer corner
        e = np.clip(1 - s * s, 0, 1)
        line = 0.006 - 0.008 * s
        upper = line - 0.036 * size * e**0.72 * (1 - 0.12 * s)
        lower = line + 0.0185 * size * e**0.85 * (1 + 0.15 * s)
        lid = upper + (lower - upper) * 0.96 * pose.blink
        crease = upper - 0.017 * e**0.35 - 0.003

        # The lid's skin comes down with it: stretched between crease and edge.
        stretch = (upper - crease) / np.maximum(lid - crease, 1e-4)
        source = np.where((v > crease) & (v < lid + 0.004), crease + (v - crease) * stretch, v)
        self._pull(head, (rows, columns), 0.0, source - v)
        part = head[rows, columns, :3]
        inside_s = _step(1.02, 0.97, np.abs(s))
        blur = 0.0018
        ball = _step(lid - blur, lid + blur, v) * _step(lower + blur, lower - blur, v) * inside_s

        cu, cv = side * 0.15 + 0.024 * pose.gaze_x - side * 0.004, 0.010 * pose.gaze_y - 0.010
        radius = 0.034 * (0.97 + 0.05 * look.eye_size)
        du, dv = (u - cu) / radius, (v - cv) / radius
        r, angle = np.hypot(du, dv), np.arctan2(dv, du)
        white = np.array([0.62, 0.66, 0.72], np.float32) * (1 - 0.38 * np.abs(s) ** 2.5)[..., None]
        white = white * np.ones((*r.shape, 1), np.float32)
        duct = np.exp(-(((s + 0.93) / 0.12) ** 2)) + 0 * v
        white += (np.array([0.25, 0.26, 0.55], np.float32) - white) * (0.75 * duct)[..., None]
        fibres = 1 + 0.22 * np.sin(31 * angle + 2 * np.sin(7 * angle)) * _step(0.3, 0.6, r) + 0.12 * np.sin(53 * angle)
        iris = _linear(look.eye_bgr) * (fibres * (0.85 + 0.9 * np.clip(0.3 * dv - 0.5 * du * self._light.key[0] + 0.35, 0, 1)))[..., None]
        iris = iris * (1 - 0.75 * _step(0.72, 1.0, r))[..., None] * (1 - 0.96 * _step(0.46, 0.36, r))[..., None]
        eye = white + (iris - white) * _step(1.06, 0.94, r)[..., None]
        eye = eye * (self._eye_light * (1 - 0.62 * _step(lid + 0.020, lid - 0.002, v)))[..., None]
        glint = np.exp(-(((du - 0.62 * self._light.key[0]) ** 2 + (dv - 0.62 * self._light.key[1]) ** 2) / 0.045) ** 2)
        eye = eye + (0.95 * glint + 0.10 * np.exp(-((du + 0.35) ** 2 + (dv - 0.5) ** 2) / 0.05))[..., None]
        part += (_display(eye) - part) * ball[..., None]

        # Waterline, crease, lashes.
        wet = np.exp(-(((v - lower - 0.001) / 0.0032) ** 2)) * inside_s * (1 - 0.9 * pose.blink) * 0.35
        part += (part * 0.45 + np.array([95, 100, 150], np.float32) * 0.5 * self._eye_light - part) * wet[..., None]
        fold = np.exp(-(((v - crease) / 0.0042) ** 2)) * _step(1.05, 0.6, np.abs(s)) * (1 - 0.75 * pose.blink) * 0.42
        weight = (0.0030 + 0.0028 * look.makeup) * (0.75 + 0.45 * s.clip(-1, 1))
        lash = _step(lid - weight - blur, lid - weight + blur, v) * _step(lid + 0.0035, lid + 0.0005, v) * inside_s
        under = np.exp(-(((v - lower - 0.0035) / 0.0025) ** 2)) * _step(-0.8, 0.6, s) * inside_s * (0.18 + 0.35 * look.makeup)
        dark = np.maximum(np.maximum(lash * 0.9, under), self._lashes(rows, columns, side, s, lid, pose.blink))
        colour = _display(_linear(look.hair_bgr) * 0.12 + 0.004)
        part *= (1 - fold)[..., None]
        part += (colour - part) * np.clip(dark, 0, 0.95)[..., None]
        del grid

    def _lashes(self, rows: slice, columns: slice, side: int, s: np.ndarray, lid: np.ndarray, blink: float) -> np.ndarray:
        """Single hairs along the edge of the upper lid; they point down when it is shut."""
        cover = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        places = np.linspace(-0.75, 1.0, 22)
        order = np.argsort(s[0])
        edge = np.interp(places, s[0][order], lid[0][order])
        x = np.interp(places, s[0][order], np.arange(s.shape[1])[order])
        y = (edge - self._grid.v[rows][0, 0]) * self._grid.px
        length = (0.007 + 0.009 * self.look.makeup) * self._grid.px * (0.6 + 0.5 * (places + 0.75) / 1.75)
        up = 1 - 1.7 * blink
        hairs = []
        for x0, y0, n, place in zip(x, y, length, places, strict=True):
            lean = side * (0.15 + 0.75 * max(place, -0.3)) * n
            hairs.append(np.round(np.array([[x0, y0], [x0 + 0.7 * lean, y0 - 0.5 * up * n], [x0 + 1.1 * lean, y0 - up * n]]) * 16).astype(np.int32))
        cv2.polylines(cover, hairs, False, 255, 1, cv2.LINE_AA, 4)
        return cover.astype(np.float32) * ((0.35 + 0.5 * self.look.makeup) / 255)

    # ── where things lie ──

    def _placement(self, pose: Pose) -> tuple[np.ndarray, float, float]:
        width, height = self.size_px
        centre = np.array([width / 2 + pose.x * height, (0.43 + pose.y) * height])
        return centre, height * HEAD_SHARE * pose.scale, float(np.radians(pose.roll_deg))

    def _maps(self, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Where on the canvas each pixel of the picture comes from: the relief turned by yaw and pitch.

        The turn is undone by fixed-point steps on a grid of every fourth pixel; its maps are smooth.
        """
        width, height = self.size_px
        grid, step = self._grid, 4
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

    def _lay(self, image: np.ndarray, grid: _Grid, layer: np.ndarray, centre: np.ndarray, scale_px: float, roll: float) -> None:
        k, c, s = scale_px / grid.px, np.cos(roll), np.sin(roll)
        turn = np.array([[c, -s], [s, c]])
        offset = centre + turn @ (np.array([grid.u0, grid.v0]) * scale_px + 0.5 * k)
        matrix = np.column_stack([turn * k, offset])
        _over(image, cv2.warpAffine(layer, matrix, self.size_px, flags=cv2.INTER_LINEAR))

    def _landmarks(self, lips: _Lips, pose: Pose) -> tuple[dict[str, np.ndarray], np.ndarray]:
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
        grid, yaw, pitch = self._grid, np.radians(pose.yaw_deg), np.radians(pose.pitch_deg)
        placed = {}
        for name, (u, v) in points.items():
            row, column = self._pixel(u, v)
            z = float(self._depth[min(row, grid.shape[0] - 1), column]) - 0.15
            a, b = u * np.cos(yaw) + np.sin(yaw) * z, v * np.cos(pitch) + np.sin(pitch) * z
            turned = np.array([np.cos(roll) * a - np.sin(roll) * b, np.sin(roll) * a + np.cos(roll) * b])
            placed[name] = (centre + scale_px * turned).astype(np.float32)
        middle = 0.5 * (placed["eye_left"] + placed["eye_right"])
        down = placed["chin"] - middle
        box_centre = middle + 0.26 * down
        half_w, half_h = 0.325 * scale_px, 0.74 * np.linalg.norm(down)
        return placed, np.array([*(box_centre - [half_w, half_h]), *(box_centre + [half_w, half_h])], np.float32)
