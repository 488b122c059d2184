"""The parts of a drawn face that move: brows, jaw, lips, teeth, tongue, eyes.

Each function works in place on a canvas, (h, w, 4) float32 premultiplied BGRA in display values, which shows the face
that `portrait_parts` painted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from painting import Grid, Light, display, linear, smooth_step
from portrait_parts import LIPS_V, skin_tone

if TYPE_CHECKING:
    from portrait import FaceLook, Mouth, Pose

JAW_DROP = 0.088  # how far the chin falls at aperture 1, in heads
MOUTH_HALF = 0.127  # half the width of the mouth at rest, in heads
EDGE, SKIN_EDGE = 0.0022, 0.0034  # how soft a lip ends where lips meet and in the skin, in heads


@dataclass(frozen=True, eq=False)
class Head:
    """What the moving parts need to know of the head they belong to."""

    look: FaceLook
    grid: Grid
    light: Light
    eye_light: float  # how much light reaches the eyes and the teeth
    lip_lines: np.ndarray  # (n,) noise along the lips

    def window(self, u0: float, v0: float, u1: float, v1: float) -> tuple[slice, slice, np.ndarray, np.ndarray]:
        """A part of the canvas: its rows and columns, its u (1, w) and v (h, 1)."""
        (top, left), (bottom, right) = self.grid.pixel(u0, v0), self.grid.pixel(u1, v1)
        rows, columns = slice(top, bottom), slice(left, right)
        return rows, columns, self.grid.u[:, columns], self.grid.v[rows]


class Lips:
    """The curves of a mouth: where each lip begins and ends at a place across it, in heads."""

    def __init__(self, look: FaceLook, mouth: Mouth) -> None:
        spread, pucker, gap = mouth.width, mouth.rounding, 0.106 * mouth.aperture
        self.aperture, self.gap, self.drop = mouth.aperture, gap, JAW_DROP * mouth.aperture
        self.half = MOUTH_HALF * (1 + 0.15 * spread - 0.36 * pucker) * (1 - 0.07 * mouth.aperture)
        self.corner = LIPS_V + 0.30 * gap - 0.006 * max(spread, 0)
        thick = (1 + 0.32 * pucker - 0.14 * max(spread, 0)) * (1 - 0.12 * mouth.aperture)
        self._upper, self._lower = (
            (0.020 + 0.015 * look.lip_fullness) * thick,
            (0.024 + 0.019 * look.lip_fullness) * thick,
        )

    def curves(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """v of upper lip's top and lower edge and lower lip's upper and bottom edge at s = u / half, -1..1."""
        s = np.clip(np.abs(s), 0, 1)
        e = 1 - s * s
        seam = self.corner + 0.0016 * np.cos(s * 2 * np.pi) - 0.0016 - 0.007 * s**4
        lip = seam - 0.45 * self.gap * e**0.8
        low = seam + (0.53 * e**0.62) * self.gap
        bow = (1 - s**1.7) ** 0.85 * (
            1 - 0.20 * np.exp(-((s / 0.13) ** 2)) + 0.07 * np.exp(-(((s - 0.26) / 0.16) ** 2))
        )
        return lip - self._upper * bow, lip, low, low + self._lower * (1 - s**2.4) ** 0.75

    def middle(self) -> dict[str, tuple[float, float]]:
        names = ("lip_upper_outer", "lip_upper_inner", "lip_lower_inner", "lip_lower_outer")
        return {name: (0.0, float(v[0])) for name, v in zip(names, self.curves(np.zeros(1)), strict=True)}


def _ridge(x: np.ndarray, at: float | np.ndarray, width: float) -> np.ndarray:
    return np.exp(-(((x - at) / width) ** 2))


def _between(v: np.ndarray, low: np.ndarray, high: np.ndarray, soft_low: float, soft_high: float) -> np.ndarray:
    """1 between two curves, with edges as soft as asked for."""
    return smooth_step(low - soft_low, low + soft_low, v) * smooth_step(high + soft_high, high - soft_high, v)


def _pull(canvas: np.ndarray, head: Head, window: tuple[slice, slice], du: np.ndarray | float, dv: np.ndarray) -> None:
    """Replace a window by what lies (du, dv) heads away."""
    rows, columns = window
    px, pad = head.grid.px, int(0.1 * head.grid.px)
    top, left = max(0, rows.start - pad), max(0, columns.start - pad)
    source = canvas[top : rows.stop + pad, left : columns.stop + pad].copy()
    y, x = np.ogrid[rows, columns]
    at_x, at_y = x - left + du * px + 0 * y, y - top + dv * px + 0 * x
    canvas[rows, columns] = cv2.remap(source, at_x.astype(np.float32), at_y.astype(np.float32), cv2.INTER_LINEAR)


def raise_brows(canvas: np.ndarray, head: Head, amount: float) -> None:
    """Lift the brows, or lower them: -1..1."""
    if not amount:
        return
    rows, columns, u, v = head.window(-0.32, -0.28, 0.32, -0.045)
    near = smooth_step(-0.28, -0.12, v) * smooth_step(-0.045, -0.075, v) * smooth_step(0.32, 0.2, np.abs(u))
    _pull(canvas, head, (rows, columns), 0.0, 0.024 * amount * near)


def drop_jaw(canvas: np.ndarray, head: Head, lips: Lips) -> None:
    """Lower the chin, and let the skin follow the corners of the mouth."""
    rows, columns, u, v = head.window(-0.42, 0.12, 0.42, 0.66)
    out = np.abs(u)
    below_lips = smooth_step(LIPS_V - 0.03, LIPS_V + 0.83 * lips.gap + 0.03, v)
    cheeks = smooth_step(0.12, 0.5, v)  # stretch over a longer way
    share = smooth_step(0.06, 0.16, out)
    dv = -lips.drop * (below_lips * (1 - share) + cheeks * share)
    du = 0.7 * (MOUTH_HALF - lips.half) * np.sign(u) * _ridge(out, 0.125, 0.06) * _ridge(v, lips.corner, 0.06)
    _pull(canvas, head, (rows, columns), du, dv)


def paint_mouth(canvas: np.ndarray, head: Head, lips: Lips) -> None:
    """Paint what the lips show, the lips, and the lines where they meet."""
    rows, columns, u, v = head.window(-0.17, 0.2, 0.17, 0.5)
    s = u / lips.half
    out = np.abs(s)
    top, lip, low, bottom = lips.curves(s)
    across = smooth_step(1.0, 0.985, out)
    part = canvas[rows, columns, :3]
    for first, last, is_lower in ((top, lip, False), (low, bottom, True)):
        soft = (EDGE, SKIN_EDGE) if is_lower else (SKIN_EDGE, EDGE)
        cover = _between(v, first, last, *soft) * across * smooth_step(0.0005, 0.004, last - first)
        t = np.clip((v - first) / np.maximum(last - first, 1e-4), 0, 1)
        part += (_lip(head, t, s, is_lower) - part) * (0.94 * cover)[..., None]
    opening = _between(v, lip, low, EDGE, EDGE) * across * min(1.0, 12 * lips.aperture)
    part += (_behind_lips(head, lips, u, v, lip, low) - part) * opening[..., None]
    seam = 0.72 * max(0.0, 1 - 9 * lips.aperture) * _ridge(v, 0.5 * (lip + low), 0.003) * smooth_step(1.06, 0.9, out)
    corners = 0.42 * _ridge(np.abs(u), lips.half, 0.010) * _ridge(v, lips.corner, 0.007)
    shadow = 0.22 * _ridge(v, bottom + 0.008, 0.010) * smooth_step(1.0, 0.5, out)
    part *= 1 - np.clip(seam + corners, 0, 0.85)[..., None]
    part *= 1 - shadow[..., None] * np.array([1.0, 0.9, 0.7], np.float32)


def _lip(head: Head, t: np.ndarray, s: np.ndarray, is_lower: bool) -> np.ndarray:
    """A lip in display values at t, 0 its upper edge to 1 its lower edge: skin drawn to red, lit by its slope."""
    look = head.look
    natural = skin_tone(look) * np.array([0.60, 0.50, 0.80], np.float32)
    colour = natural + (linear((62, 48, 168)) - natural) * 0.65 * look.lipstick
    ny = -0.80 + 1.52 * t if is_lower else -0.35 + 1.10 * t
    nx = 0.5 * s + 0 * t
    nz = np.sqrt(np.maximum(1 - nx**2 - ny**2, 0.06))
    lines = 1 + 0.10 * head.lip_lines[None, : s.shape[1]] * np.sin(np.pi * t)
    towards_seam = (1 - t if is_lower else t) ** 6
    lit = colour * head.light.on(nx, ny, nz) * (lines * (0.92 - 0.30 * towards_seam))[..., None]
    shine = _ridge(t, 0.36 if is_lower else 0.62, 0.16) * _ridge(s, 0.22 * np.sign(look.light_side or 1), 0.42)
    wet = (0.09 if is_lower else 0.036) * (0.5 + 0.5 * look.lipstick)
    return display(lit + (wet * shine * (lines - 0.55))[..., None])


def _behind_lips(head: Head, lips: Lips, u: np.ndarray, v: np.ndarray, lip: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Darkness, tongue, lower and upper teeth, in display values; the upper teeth stay, the lower ones fall."""
    depth = np.clip((v - lip) / np.maximum(low - lip, 1e-3), 0, 1)
    inside = np.array([0.010, 0.008, 0.030], np.float32) * (0.5 + 1.3 * depth)[..., None]
    radius2 = (u / 0.072) ** 2 + ((v - LIPS_V - 0.74 * lips.gap - 0.018) / 0.034) ** 2
    height = np.sqrt(np.clip(1 - radius2, 0, 1))
    furrow = 1 - 0.35 * _ridge(u, 0, 0.006)
    tongue = (
        np.array([0.14, 0.12, 0.42], np.float32) * ((0.25 + 0.75 * height) * furrow)[..., None]
        + 0.05 * height[..., None] ** 8
    )
    inside += (tongue - inside) * smooth_step(1.05, 0.8, radius2)[..., None]
    arch = np.clip(1 - (u / 0.112) ** 2, 0, 1)
    lower_edge = LIPS_V + 0.012 + 0.86 * lips.drop + 0.012 * (1 - arch)
    upper_edge = LIPS_V + 0.019 - 0.013 * (1 - arch)
    for gaps_at, edge, bright in (
        ((0.0, 0.017, 0.034, 0.051, 0.067), lower_edge, 0.62),
        ((0.0, 0.027, 0.049, 0.067, 0.083), upper_edge, 1.0),
    ):
        gaps = sum(_ridge(np.abs(u), at, 0.0016) for at in gaps_at)
        rim = edge - 0.0035 * gaps if edge is upper_edge else edge
        way = -0.0016 if edge is upper_edge else 0.0016
        cover = smooth_step(rim - way, rim + way, v) * smooth_step(0.108, 0.09, np.abs(u))
        shade = arch**0.7 * (1 - 0.28 * gaps) * (0.55 + 0.45 * smooth_step(lip, lip + 0.022, v)) * bright
        ivory = np.array([0.56, 0.66, 0.72], np.float32) * head.eye_light * shade[..., None]
        inside += (ivory - inside) * cover[..., None]
    under_lip = smooth_step(lip - 0.002, lip + 0.016, v) * smooth_step(1.0, 0.72, np.abs(u) / lips.half)
    return display(inside * (0.35 + 0.65 * under_lip)[..., None])


def paint_eye(canvas: np.ndarray, head: Head, side: int, pose: Pose) -> None:
    """Paint the eye of one side (-1 the picture's left), its lids and lashes."""
    look = head.look
    rows, columns, u, v = head.window(side * 0.15 - 0.105, -0.09, side * 0.15 + 0.105, 0.06)
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
    _pull(canvas, head, (rows, columns), 0.0, source - v)

    part = canvas[rows, columns, :3]
    across = smooth_step(1.02, 0.97, np.abs(s))
    ball = _between(v, lid, lower, 0.0018, 0.0018) * across
    part += (_eyeball(head, side, pose, u, v, s, lid) - part) * ball[..., None]
    rim = 0.35 * (1 - 0.9 * pose.blink) * _ridge(v, lower + 0.001, 0.0032) * across
    part += (np.array([48, 50, 75], np.float32) * head.eye_light - 0.55 * part) * rim[..., None]
    fold = 0.42 * (1 - 0.75 * pose.blink) * _ridge(v, crease, 0.0042) * smooth_step(1.05, 0.6, np.abs(s))
    part *= (1 - fold)[..., None]
    weight = (0.0030 + 0.0028 * look.makeup) * (0.75 + 0.45 * s.clip(-1, 1))
    line = 0.9 * _between(v, lid - weight, lid + 0.002, 0.0018, 0.0015) * across
    below = (0.18 + 0.35 * look.makeup) * _ridge(v, lower + 0.0035, 0.0025) * smooth_step(-0.8, 0.6, s) * across
    dark = np.maximum(np.maximum(line, below), _lashes(head, side, s[0], lid[0], v, pose.blink))
    part += (display(linear(look.hair_bgr) * 0.12 + 0.004) - part) * np.clip(dark, 0, 0.95)[..., None]


def _eyeball(
    head: Head, side: int, pose: Pose, u: np.ndarray, v: np.ndarray, s: np.ndarray, lid: np.ndarray
) -> np.ndarray:
    """White, iris, pupil and the light's reflection, in display values."""
    radius, key = 0.034 * (0.97 + 0.05 * head.look.eye_size), head.light.key
    du = (u - side * 0.146 - 0.024 * pose.gaze_x) / radius
    dv = (v - 0.010 * pose.gaze_y + 0.010) / radius
    r, angle = np.hypot(du, dv), np.arctan2(dv, du)
    white = np.array([0.62, 0.66, 0.72], np.float32) * (1 - 0.38 * np.abs(s) ** 2.5 + 0 * v)[..., None]
    white += (np.array([0.25, 0.26, 0.55], np.float32) - white) * (0.75 * _ridge(s, -0.93, 0.12))[..., None]
    fibres = (
        1 + 0.22 * np.sin(31 * angle + 2 * np.sin(7 * angle)) * smooth_step(0.3, 0.6, r) + 0.12 * np.sin(53 * angle)
    )
    glow = 0.85 + 0.9 * np.clip(0.3 * dv - 0.5 * du * key[0] + 0.35, 0, 1)  # light leaves opposite to where it came in
    rings = (1 - 0.75 * smooth_step(0.72, 1.0, r)) * (1 - 0.96 * smooth_step(0.46, 0.36, r))
    iris = linear(head.look.eye_bgr) * (fibres * glow * rings)[..., None]
    eye = white + (iris - white) * smooth_step(1.06, 0.94, r)[..., None]
    eye = eye * (head.eye_light * (1 - 0.62 * smooth_step(lid + 0.020, lid - 0.002, v)))[..., None]
    lamp = np.exp(-((((du - 0.62 * key[0]) ** 2 + (dv - 0.62 * key[1]) ** 2) / 0.045) ** 2))
    room = np.exp(-((du + 0.35) ** 2 + (dv - 0.5) ** 2) / 0.05)
    return display(eye + (0.95 * lamp + 0.10 * room)[..., None])


def _lashes(head: Head, side: int, s: np.ndarray, lid: np.ndarray, v: np.ndarray, blink: float) -> np.ndarray:
    """Single hairs along the edge of the upper lid; they point down when it is shut."""
    order, places = np.argsort(s), np.linspace(-0.75, 1.0, 22)
    x = np.interp(places, s[order], np.arange(len(s))[order])
    y = (np.interp(places, s[order], lid[order]) - v[0, 0]) * head.grid.px
    length = (0.007 + 0.009 * head.look.makeup) * head.grid.px * (0.8 + 0.3 * places)
    lean = side * (0.15 + 0.75 * np.maximum(places, -0.3)) * length
    rise = (1 - 1.7 * blink) * length
    hairs = np.stack([np.stack([x + bend * lean, y - up * rise], -1) for bend, up in ((0, 0), (0.7, 0.5), (1.1, 1))], 1)
    cover = np.zeros((len(v), len(s)), np.uint8)
    cv2.polylines(cover, list(np.round(hairs * 16).astype(np.int32)), False, 255, 1, cv2.LINE_AA, 4)
    return cover.astype(np.float32) * ((0.35 + 0.5 * head.look.makeup) / 255)
