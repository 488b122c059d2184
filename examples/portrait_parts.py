"""The parts of a drawn face that stand still: the relief of the head, skin, hair, body, room.

`portrait` puts them together; its words on lengths and directions hold here too.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
from painting import Grid, Light, add_strokes, display, linear, mirrored, smooth_step, spline, strokes

if TYPE_CHECKING:
    from portrait import FaceLook

LIPS_V = 0.283  # where closed lips meet
NECKLINES = {  # right half, from the neck down
    "crew_neck": [(0.215, 0.6), (0.13, 0.70), (0, 0.73)],
    "v_neck": [(0.225, 0.58), (0.12, 0.80), (0, 0.96)],
    "blazer": [(0.24, 0.62), (0.16, 0.9), (0.02, 1.3), (0, 1.32)],
}
SKIN_BGR = np.array(  # light to dark
    [[190, 208, 238], [172, 198, 238], [138, 174, 222], [102, 142, 198], [72, 108, 164], [52, 78, 122], [38, 54, 84]],
    np.float32,
)


def face_outline(look: FaceLook) -> np.ndarray:
    j = look.jaw
    right = [(0, -0.5), (0.14, -0.485), (0.252, -0.41), (0.322, -0.28), (0.348, -0.12), (0.345, 0.02), (0.326, 0.13)]
    right += [
        (0.280 + 0.034 * j, 0.245),
        (0.208 + 0.058 * j, 0.365),
        (0.126 + 0.052 * j, 0.452),
        (0.060 + 0.03 * j, 0.489),
    ]
    return mirrored([*((u * (0.92 + 0.12 * look.width), v) for u, v in right), (0, 0.497)])


def ear_outline(side: int, look: FaceLook) -> np.ndarray:
    w = 0.92 + 0.12 * look.width
    points = [
        (0.325, -0.04),
        (0.362, -0.075),
        (0.392, -0.055),
        (0.395, 0.0),
        (0.38, 0.06),
        (0.362, 0.115),
        (0.325, 0.12),
    ]
    return spline([(side * u * w, v) for u, v in points], closed=True)


def face_depth(grid: Grid, look: FaceLook, face: np.ndarray, ears: np.ndarray) -> np.ndarray:
    """The relief of the head with closed eyes and without lips."""
    half = np.maximum(face.sum(1, keepdims=True) / 2 / grid.px, 1e-3)
    across = np.clip(np.abs(grid.u) / half, 0, 0.985)
    profile = np.where(grid.v > 0, np.abs(grid.v / 0.535) ** 5, np.abs(grid.v / 0.505) ** 2.5)
    z = 0.34 * np.sqrt(np.clip(1 - profile, 0, 1)) * (1 - across**2.5) ** 0.5
    z = grid.blur((z * face).astype(np.float32), 0.007)
    bump = grid.bump
    z += 0.010 * bump(0.13, -0.10, 0.10, 0.035, True) + 0.006 * bump(0, -0.085, 0.05, 0.04)  # brow ridge
    z -= 0.036 * bump(0.14, -0.02, 0.082, 0.05, True) + 0.018 * bump(0.062, -0.02, 0.028, 0.035, True)  # sockets
    z += 0.024 * bump(0.15, 0.0, 0.066, 0.042, True)  # eyeballs
    z += (0.008 + 0.016 * look.cheeks) * bump(0.2, 0.095, 0.085, 0.065, True)
    z -= 0.01 * bump(0.25, 0.22, 0.06, 0.09, True)
    z += 0.028 * bump(0, 0.28, 0.14, 0.085)  # teeth under the lips
    z += 0.003 * bump(0.022, 0.225, 0.009, 0.025, True) - 0.005 * bump(0, 0.225, 0.011, 0.022)  # philtrum
    z += 0.026 * bump(0, 0.435, 0.075, 0.045) - 0.013 * bump(0, 0.362, 0.075, 0.018)  # chin
    z += _nose(grid, look) - _wrinkles(grid, look)
    rim = cv2.distanceTransform((ears > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / grid.px
    ear = 0.07 * np.minimum(rim / 0.008, 1) ** 0.5 + 0.016 * np.exp(-(((rim - 0.010) / 0.006) ** 2))
    ear -= 0.014 * bump(0.362, 0.02, 0.018, 0.045, True)
    return np.maximum(z * face, grid.blur((ear * ears).astype(np.float32), 0.003)).astype(np.float32)


def _nose(grid: Grid, look: FaceLook) -> np.ndarray:
    """How far the nose stands out: a ridge that grows downwards, tip, wings, nostrils."""
    bump, n = grid.bump, 0.75 + 0.5 * look.nose
    down = np.clip((grid.v + 0.07) / 0.22, 0, 1)
    height = n * (0.012 + 0.072 * down**1.25) * smooth_step(-0.14, -0.03, grid.v)
    width = (0.037 + 0.014 * down) * (0.8 + 0.4 * look.nose)
    under = 0.196 - 0.016 * np.minimum((grid.u / 0.034) ** 2, 1.2)
    ridge = 0.8 * np.exp(-((grid.u / width) ** 2)) * (1 - smooth_step(under - 0.032, under + 0.008, grid.v))
    flank = 0.22 * np.exp(-((grid.u / (2.2 * width)) ** 2)) * (1 - smooth_step(0.11, 0.25, grid.v))
    tip = 0.022 * n * bump(0, 0.147, 0.034, 0.030)
    wings = 0.034 * n * bump(0.047 * n + 0.012, 0.162, 0.021, 0.023, True)
    return height * (ridge + flank) + tip + wings - 0.03 * bump(0.029, 0.184, 0.014, 0.008, True)


def _wrinkles(grid: Grid, look: FaceLook) -> np.ndarray:
    """How deep folds and lines are: beside the nose at any age, elsewhere with the years."""
    sides = (-1, 1)
    folds = [spline([(k * 0.078, 0.168), (k * 0.112, 0.21), (k * 0.142, 0.275)]) for k in sides]
    depth = (0.0022 + 0.0055 * look.age) * grid.lines(folds, 0.008, 0.007)
    if look.age > 0.3:
        brow = [(-0.16, 0.012), (-0.07, 0), (0.06, 0.004), (0.15, 0.014)]
        lines = [spline([(u, v + at) for u, v in brow]) for at in (-0.2, -0.245, -0.285)]
        for k in sides:
            lines += [spline([(k * 0.238, 0.0), (k * (0.262 + 0.01 * n), 0.022 * (n - 0.8))]) for n in range(3)]
            lines.append(spline([(k * 0.095, 0.058), (k * 0.15, 0.07), (k * 0.2, 0.052)]))
            lines.append(spline([(k * 0.138, 0.3), (k * 0.145, 0.36), (k * 0.13, 0.41)]))
            lines.append(spline([(k * 0.018, -0.085), (k * 0.02, -0.12)]))
        depth += 0.006 * (look.age - 0.3) * grid.lines(lines, 0.004, 0.0035)
    return depth


def skin_tone(look: FaceLook) -> np.ndarray:
    """The plain colour of the skin in linear light."""
    at = look.skin_tone * (len(SKIN_BGR) - 1)
    return linear(np.array([np.interp(at, np.arange(len(SKIN_BGR)), SKIN_BGR[:, c]) for c in range(3)], np.float32))


def skin_albedo(grid: Grid, look: FaceLook, rng: np.random.Generator) -> np.ndarray:
    """Skin colour in linear light, (h, w, 3): redder where blood is near, darker round the eyes, mottled, freckled."""
    albedo = np.broadcast_to(skin_tone(look), (*grid.shape, 3)).copy()
    bump = grid.bump
    blood = (
        0.9 * bump(0.2, 0.125, 0.085, 0.07, True) + 0.6 * bump(0, 0.15, 0.06, 0.05) + 0.35 * bump(0, 0.43, 0.09, 0.05)
    )
    blood += 0.9 * bump(0.37, 0.03, 0.04, 0.1, True) + 0.12 * grid.noise(rng, 0.02)
    blood = blood * (0.25 + 0.55 * look.redness + 0.3 * look.makeup)
    tired = (0.10 + 0.28 * look.age) * bump(0.15, 0.055, 0.065, 0.022, True) + 0.13 * bump(
        0.075, 0.01, 0.03, 0.03, True
    )
    tired = (
        tired
        + 0.30 * look.makeup * bump(0.155, -0.045, 0.065, 0.024, True)
        + 0.85 * bump(0.029, 0.183, 0.014, 0.0065, True)
    )
    for channel, (red, dark) in enumerate(((0.24, 0.9), (0.20, 1.0), (-0.02, 0.85))):
        albedo[..., channel] *= (1 - red * blood) * (1 - dark * tired)
    grain = 1 + 0.020 * grid.noise(rng, 0.0022) + 0.018 * grid.noise(rng, 0.012)
    if look.freckles:
        dots = (rng.random(grid.shape) < 0.006).astype(np.float32) * rng.random(grid.shape).astype(np.float32)
        where = bump(0.15, 0.10, 0.13, 0.07, True) + bump(0, 0.09, 0.07, 0.06) + 0.25 * bump(0, -0.25, 0.22, 0.08)
        grain -= np.clip(grid.blur(dots, 0.003) * 14 * look.freckles * where, 0, 0.4)
    return albedo * grain[..., None]


def painted_face(
    grid: Grid, look: FaceLook, light: Light, hair_cover: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Face and ears without mouth and eyes.

    Args:
        grid: The canvas.
        look: Whose face.
        light: What shines on it.
        hair_cover: (h, w), how much the hair before it hides; it casts a shadow.
        rng: Of the grain.

    Returns:
        Premultiplied BGRA (h, w, 4), the relief (h, w) in heads, and the light that reaches the eyes.
    """
    face, ears = grid.fill(face_outline(look)), grid.fill(ear_outline(-1, look), ear_outline(1, look))
    relief = face_depth(grid, look, face, ears)
    lit, gloss = light.relief(grid, relief)
    albedo = skin_albedo(grid, look, rng)
    if look.stubble or look.beard:
        speckle = 0.12 + 0.55 * (0.5 + 0.5 * np.clip(grid.noise(rng, 0.0018), -1, 1))
        shade = beard_area(grid) * speckle * max(0.55 * look.stubble, 0.7 * look.beard)
        albedo *= 1 - shade[..., None] * np.array([0.75, 0.9, 1], np.float32)
    brows = brow_cover(grid, look, rng)[..., None]
    albedo = albedo * (1 - brows) + linear(look.hair_bgr) * 0.42 * brows
    colour = display(albedo * lit + gloss[..., None] * (1 - 0.5 * brows))
    if look.beard:
        colour = grow_beard(grid, look, colour, beard_area(grid) * (face > 0.9), rng)
    dx, dy = light.key[:2] / light.key[2] * 0.035 * grid.px
    cast = cv2.warpAffine(hair_cover, np.array([[1, 0, -dx], [0, 1, -dy]], np.float32), grid.shape[::-1])
    colour *= 1 - 0.42 * grid.blur(cast, 0.012)[..., None] * np.array([1.0, 0.95, 0.85], np.float32)
    alpha = np.maximum(face, ears)[..., None]
    eye_light = float(np.mean([lit[grid.pixel(side * 0.15, 0.0)][1] for side in (-1, 1)]))
    return np.dstack([colour * alpha, alpha]).astype(np.float32), relief, eye_light


def grow_beard(
    grid: Grid, look: FaceLook, colour: np.ndarray, area: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Short hairs over a painted face, (h, w, 3) display values, where `area` (h, w) says."""
    rows, columns = np.nonzero(rng.random(grid.shape) < area * 0.045 * look.beard)
    root = np.stack([grid.u[0, columns], grid.v[rows, 0]], 1)
    lean = np.stack([0.4 * np.sign(root[:, 0]) * rng.random(len(root)), 0.6 + rng.random(len(root))], 1)
    tip = root + lean * (0.012 + 0.014 * look.beard)
    curves = [np.stack([a, 0.5 * (a + b), b]) for a, b in zip(root, tip, strict=True)]
    bright, cover = strokes(grid, curves, 0.25 + 0.5 * rng.random(len(root)), 0.002)
    hairs = display(linear(look.hair_bgr) * bright[..., None] * 1.6)
    cover = (0.75 * cover)[..., None]
    return colour * (1 - cover) + hairs * cover


def beard_area(grid: Grid) -> np.ndarray:
    """Where a beard grows: jaw, chin, upper lip; not on the lips."""
    cheek = 0.19 + 0.32 * smooth_step(0.36, 0.1, np.abs(grid.u)) * 0.35
    area = smooth_step(cheek - 0.03, cheek + 0.05, grid.v) * smooth_step(
        0.06, 0.17, np.hypot(grid.u, (grid.v - 0.22) * 1.1)
    )
    area = np.maximum(area, grid.bump(0, 0.232, 0.095, 0.020)) + 0.9 * grid.bump(0, 0.37, 0.035, 0.03)
    lips = smooth_step(1.25, 0.95, np.hypot(grid.u / 0.12, (grid.v - LIPS_V) / 0.036))
    return np.clip(area, 0, 1) * (1 - lips)


def brow_cover(grid: Grid, look: FaceLook, rng: np.random.Generator) -> np.ndarray:
    """How much of the skin the brows hide, (h, w) 0..1."""
    rise, weight = 0.022 * look.brow_arch, 0.010 + 0.016 * look.brow_weight
    cover = np.zeros(grid.shape, np.float32)
    for side in (-1, 1):
        spine = spline(
            [(0.062, -0.078), (0.115, -0.096 - 0.5 * rise), (0.175, -0.104 - rise), (0.245, -0.082 - 0.3 * rise)]
        )
        at = rng.random(int(160 + 150 * look.brow_weight)) * 0.999
        index = (at * (len(spine) - 1)).astype(int)
        along = spine[index + 1] - spine[index]
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        thick = weight * np.sqrt(1.02 - at) * np.minimum(1, 0.40 + 2.5 * at)
        root = spine[index] + np.stack([0 * at, thick * (rng.random(len(at)) - 0.35)], 1)
        lift = np.stack([0 * at, -np.interp(at, [0, 0.3, 1], [1.3, 0.55, -0.1])], 1)
        tip = root + (along + lift) * (0.016 + 0.012 * rng.random((len(at), 1)))
        curves = [np.stack([a, 0.5 * (a + b) + [0, -0.0015], b]) * [side, 1] for a, b in zip(root, tip, strict=True)]
        hairs = grid.blur(strokes(grid, curves, np.ones(len(at)), 0.001)[1], 0.0014)
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
            guides.append(spline([root, 0.5 * (root + tip) + sweep, tip + 0.6 * sweep], per=10))
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
            [
                (p, -0.395),
                (p + 0.09, -0.385),
                (0.228, -0.305),
                (0.318, -0.14),
                (0.338, 0.03),
                (0.345, mid),
                (0.335 + curl, end),
            ],
            [
                (p, -0.44),
                (p + 0.11, -0.435),
                (0.275, -0.335),
                (0.365, -0.14),
                (0.385, 0.03),
                (0.39, mid),
                (0.38 + curl, end + 0.02),
            ],
            [
                (p, -0.50),
                (0.15, -0.50),
                (0.33, -0.38),
                (0.405, -0.17),
                (0.425, 0.03),
                (0.43, mid),
                (0.415 + curl, end + 0.03),
            ],
            [
                (p, -0.562),
                (0.16, -0.55),
                (0.355, -0.43),
                (0.435, -0.19),
                (0.455, 0.03),
                (0.462, mid),
                (0.44 + curl, end + 0.005),
            ],
        ]
    guides = np.stack([spline(row, per=10) for row in rows])
    if look.hair_style == "curly":
        guides[2:] *= np.array([1.12, 1.07])
    guides[..., 0] += (
        0.012 * np.sin(15 * guides[..., 1]) * smooth_step(0.1, 0.5, guides[..., 1]) * (look.hair_style == "long")
    )
    return guides * [side, 1]


def front_hair(grid: Grid, look: FaceLook, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Hair before the head: premultiplied BGRA, display values."""
    bright, cover = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8)
    if look.hair_style == "bald":
        return np.zeros((*grid.shape, 4), np.float32)
    curly = look.hair_style == "curly"
    for side in (-1, 1):
        guides = _hair_guides(look, side)
        for a, b in pairwise(guides):
            quad = [grid.points(np.concatenate([a, b[::-1]]))]
            cv2.fillPoly(bright, quad, 60, cv2.LINE_AA, 4)
            cv2.fillPoly(cover, quad, 255, cv2.LINE_AA, 4)
        count = 900 if look.hair_style in ("cropped", "tied") else 1300
        across = rng.random(count) * (len(guides) - 1.001)
        k, t = across.astype(int), (across % 1)[:, None, None]
        strands = guides[k] * (1 - t) + guides[k + 1] * t
        n = strands.shape[1]
        s = np.linspace(0, 1, n)[None]
        turns, phase = rng.uniform(20, 60, (count, 1)) * (1.6 if curly else 0.3), rng.uniform(0, 6.28, (count, 1))
        wave = (0.013 if curly else 0.003) * np.sin(turns * s + phase)
        strands = strands + np.stack([wave, (0.8 if curly else 0.3) * wave], -1) + rng.normal(0, 0.004, (count, 1, 2))
        shine = np.exp(-(((s - 0.30 - 0.04 * rng.standard_normal((count, 1))) / 0.13) ** 2)) * (0.12 if curly else 0.42)
        level = 0.16 + 0.26 * rng.random((count, 1)) ** 1.5 + shine + 0.05 * s
        cut = rng.integers(0, max(1, n // 8), (count, 2))
        pieces, levels = [], []
        for i in range(count):
            for start in range(cut[i, 0], n - 2 - cut[i, 1], 5):
                pieces.append(strands[i, start : min(start + 6, n)])
                levels.append(level[i, min(start + 2, n - 1)])
        add_strokes(grid, bright, cover, pieces, np.array(levels), 0.003)
    alpha = grid.blur(cover.astype(np.float32) / 255, 0.0012)
    value = grid.blur(bright.astype(np.float32) / 255, 0.0012)
    dome = np.sqrt(np.clip(1 - (grid.u / 0.52) ** 2 - (np.minimum(grid.v, 0) / 0.62) ** 2, 0.05, 1))
    nx, ny = grid.u / 0.52 + 0 * grid.v, np.minimum(grid.v, 0) / 0.62 + 0 * grid.u
    lit = light.on(nx, ny, dome)
    body = linear(look.hair_bgr)[None, None] * (value[..., None] * 3.2)
    gloss = np.maximum(value - 0.42 * alpha, 0)[..., None] * (0.06 + 0.8 * linear(look.hair_bgr))
    premultiplied = display((body + gloss) / np.maximum(alpha, 0.02)[..., None] * lit) * alpha[..., None]
    return np.dstack([premultiplied, alpha]).astype(np.float32)


def back_hair(grid: Grid, look: FaceLook) -> np.ndarray:
    """The dark mass of hair behind head and neck: premultiplied BGRA."""
    end = {"bob": 0.42, "long": 0.95, "curly": 0.22}.get(look.hair_style)
    outlines = []
    if end is not None:
        w = 1.1 if look.hair_style == "curly" else 1.0
        crown = [(0, -0.53), (0.2 * w, -0.5), (0.385 * w, -0.3), (0.435 * w, 0), (0.44 * w, 0.6 * end)]
        outlines.append(mirrored([*crown, (0.38, 0.97 * end), (0.2, 0.93 * end), (0, 0.9 * end)]))
    if look.hair_style == "tied":
        outlines.append(mirrored([(0, -0.66), (0.1, -0.63), (0.13, -0.55), (0.08, -0.48), (0, -0.46)]))
    alpha = grid.blur(grid.fill(*outlines), 0.004)
    colour = display(linear(look.hair_bgr) * 0.28)
    return np.dstack([alpha[..., None] * colour, alpha]).astype(np.float32)


def body(grid: Grid, look: FaceLook, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Neck, shoulders and clothes: premultiplied BGRA."""
    neck, skin = _neck(grid, look, light, rng)
    s = 0.88 + 0.24 * look.jaw
    collar = [(0, 0.57), (0.19, 0.585), (0.25, 0.635), (0.42 * s, 0.695)]
    torso = grid.fill(
        mirrored([*collar, (0.66 * s, 0.775), (0.80 * s, 0.88), (0.87 * s, 1.1), (0.93 * s, 1.9), (0, 1.9)])
    )
    opening = grid.fill(mirrored([(0, 0.2), (0.2, 0.3), *NECKLINES[look.clothes]]))
    cloth = torso * (1 - opening)
    from_edge = cv2.distanceTransform((cloth > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / grid.px
    z = 0.30 * np.sqrt(np.clip(1 - grid.u**2, 0, 1)) - 0.12 * np.maximum(grid.v - 0.6, 0)
    z = (
        z
        + 0.03 * np.minimum(from_edge / 0.04, 1) ** 0.5
        + 0.006 * grid.noise(rng, 0.09)
        + 0.0011 * grid.noise(rng, 0.025)
    )
    weave = (1 + 0.05 * grid.noise(rng, 0.003))[..., None]
    fabric = linear(look.clothes_bgr) * weave
    if look.clothes == "blazer":
        neckline = [(0.2, 0.62), (0.12, 0.72), (0, 0.755)]
        shirt = (opening * (1 - grid.fill(mirrored([(0, 0.2), (0.22, 0.3), *neckline]))))[..., None]
        hem = grid.lines([spline([(k * u, v) for u, v in neckline]) for k in (-1, 1)], 0.02, 0.005)
        shirt_light, _ = light.relief(grid, grid.blur((z - 0.02 + 0.006 * hem).astype(np.float32), 0.005))
        linen = (
            np.array([0.66, 0.66, 0.67], np.float32)
            * weave
            * shirt_light
            * (1 - 0.8 * grid.blur(cloth, 0.025))[..., None]
        )
        skin = skin * (1 - shirt) + linen * shirt
        lapel = [(0.235, 0.62), (0.36, 0.80), (0.30, 0.86), (0.34, 0.90), (0.06, 1.36)]
        lapels = [spline([(k * u, v) for u, v in lapel]) for k in (-1, 1)]
        z = z + 0.012 * grid.blur(grid.fill(*lapels) * cloth, 0.006)
        fabric = fabric * (1 - 0.35 * grid.lines(lapels, 0.008, 0.004))[..., None]
    cloth_light, _ = light.relief(grid, grid.blur(z.astype(np.float32), 0.006))
    alpha = np.maximum(neck, np.maximum(cloth, opening * torso))
    worn = (cloth / np.maximum(alpha, 1e-3))[..., None]
    colour = skin * (1 - worn) + fabric * cloth_light * worn
    return np.dstack([display(colour) * alpha[..., None], alpha]).astype(np.float32)


def _neck(grid: Grid, look: FaceLook, light: Light, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where neck and chest are, (h, w) 0..1, and their colour in linear light, in the shadow of the chin."""
    w = 0.90 + 0.22 * look.jaw
    column = [(0, 0.1), (0.145 * w, 0.1), (0.15 * w, 0.45), (0.165 * w, 0.56), (0.23, 0.635)]
    cover = grid.fill(mirrored([*column, (0.3, 0.70), (0.3, 1.1), (0, 1.15)]))
    tendons = [spline([(k * 0.15, 0.45), (k * 0.09, 0.58), (k * 0.025, 0.675)]) for k in (-1, 1)]
    collarbones = [spline([(k * 0.05, 0.685), (k * 0.16, 0.67), (k * 0.34, 0.69)]) for k in (-1, 1)]
    z = 0.20 * np.sqrt(np.clip(1 - (grid.u / (0.185 * w)) ** 2, 0, 1)) * smooth_step(0.66, 0.5, grid.v) + 0.02 * cover
    z = z + 0.014 * grid.lines(tendons, 0.03, 0.012) + 0.013 * grid.lines(collarbones, 0.022, 0.012)
    z = grid.blur(z.astype(np.float32), 0.01) + 0.16 * np.sqrt(np.clip(1 - (grid.u / 1.02) ** 2, 0, 1))
    lit, gloss = light.relief(grid, z.astype(np.float32))
    chin = smooth_step(0.62, 0.44, grid.v + 0.35 * np.abs(grid.u) ** 1.3 + 0.10 * light.side * grid.u)
    return cover, skin_albedo(grid, look, rng) * lit * (1 - 0.62 * chin)[..., None] + 0.6 * gloss[..., None]


def background(size_px: tuple[int, int], look: FaceLook) -> np.ndarray:
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
        beside = np.maximum(np.abs(x - x0 - w / 2) - w / 2, np.abs(y - y0 - h / 2) - h / 2)
        soft = smooth_step(0.06, -0.06, beside)
        image += soft[..., None] * base * rng.uniform(-0.16, 0.14) * (1 + rng.uniform(-0.15, 0.15, 3))
    return np.clip(image, 0, 255).astype(np.float32)
