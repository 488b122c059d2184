"""The tools that portraits are painted with: curves, a canvas measured in heads, light on a relief.

Colours are BGR; light is computed linear and turned to display values 0..255 at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np


def smooth_step(low: float | np.ndarray, high: float | np.ndarray, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def spline(points: Sequence[Any] | np.ndarray, per: int = 12, closed: bool = False) -> np.ndarray:
    """A Catmull-Rom curve through points: (K, 2) -> (N, 2)."""
    p = np.asarray(points, np.float32)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, per, endpoint=False, dtype=np.float32)[None, :, None]
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate([curve.reshape(-1, 2), p[-2:-1]])


def mirrored(points: list[tuple[float, float]]) -> np.ndarray:
    """A closed outline from its right half, top to bottom."""
    right = np.asarray(points, np.float32)
    left = right[::-1] * [-1, 1]
    return spline(np.concatenate([right, left[np.abs(left[:, 0]) > 1e-6]]), closed=True)


@dataclass(frozen=True, eq=False)
class Grid:
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

    def pixel(self, u: float, v: float) -> tuple[int, int]:
        """Row and column of a place."""
        return round((v - self.v0) * self.px), round((u - self.u0) * self.px)

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


def lay_over(image: np.ndarray, layer: np.ndarray) -> None:
    """Lay a premultiplied BGRA layer over a picture, in place."""
    image *= 1 - layer[..., 3:]
    image += layer[..., :3]


def linear(bgr: tuple[int, int, int] | np.ndarray) -> np.ndarray:
    return (np.asarray(bgr, np.float32) / 255) ** 2.2


def display(linear_bgr: np.ndarray) -> np.ndarray:
    """Linear light to display values 0..255, with a soft shoulder instead of clipping."""
    x = np.maximum(linear_bgr, 0)
    return (255 * np.minimum(x * (1 + 0.16 * x) / (1 + 0.42 * x), 1) ** (1 / 2.2)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Light:
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
        tint = 0.10 * self.warmth
        light = []
        for wrap, key_tint, fill_tint in ((0.10, 0.94 - tint, 1.12), (0.17, 1.0, 1.0), (0.30, 1.05 + tint, 0.93)):
            key = np.maximum((facing + wrap) / (1 + wrap), 0) ** 1.2 * (1 - shadow)
            light.append(1.22 * key_tint * key + fill_tint * fill + around)
        return np.stack(light, -1).astype(np.float32)

    def relief(self, grid: Grid, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Light and gloss on a relief: (h, w, 3) and (h, w), with soft cast shadows and darker hollows."""
        dv, du = np.gradient(depth * grid.px)
        length = np.sqrt(du**2 + dv**2 + 1)
        nx, ny, nz = -du / length, -dv / length, 1 / length
        shadow = np.zeros_like(depth)
        for reach in np.linspace(0.012, 0.30, 20):
            shift = np.array(
                [[1, 0, -self.key[0] * reach * grid.px], [0, 1, -self.key[1] * reach * grid.px]], np.float32
            )
            higher = cv2.warpAffine(depth, shift, depth.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            shadow = np.maximum(shadow, (higher - depth - self.key[2] * reach) / (0.012 + 0.16 * reach))
        shadow = grid.blur(np.clip(shadow, 0, 1).astype(np.float32), 0.006) * 0.8
        hollow = 5.0 * np.maximum(grid.blur(depth, 0.018) - depth, 0) + 2.2 * np.maximum(
            grid.blur(depth, 0.05) - depth, 0
        )
        light = self.on(nx, ny, nz, shadow) * (1 - np.clip(hollow, 0, 0.55))[..., None]
        half = self.key + np.array([0, 0, 1], np.float32)
        half /= np.linalg.norm(half)
        mirror = np.maximum(nx * half[0] + ny * half[1] + nz * half[2], 0)
        return light, (0.05 * mirror**14 + 0.06 * mirror**60) * (1 - shadow)


def strokes(grid: Grid, curves: list[np.ndarray], levels: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw hairs of several brightness levels (0..1): premultiplied brightness and cover, both 0..1."""
    bright, cover = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8)
    add_strokes(grid, bright, cover, curves, levels, width)
    return bright.astype(np.float32) / 255, cover.astype(np.float32) / 255


def add_strokes(
    grid: Grid, bright: np.ndarray, cover: np.ndarray, curves: list[np.ndarray], levels: np.ndarray, width: float
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
