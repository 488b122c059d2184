"""Crops and pasting: where a mouth lands, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2lip_kit.blending import crop_mask, match_colour, mouth_region, paste_mouth
from wav2lip_kit.colour import frame_to_bgr
from wav2lip_kit.faces.crops import CHIN_PAD, CROP_PX, crop_matrix, cut_crop
from wav2lip_kit.frames import Frame
from wav2lip_kit.media import ColorTags

BT709 = ColorTags(1, 1, 1, 1)


def textured_frame(height: int = 360, width: int = 480, seed: int = 0) -> Frame:
    rng = np.random.default_rng(seed)
    y = rng.integers(16, 236, (height, width), np.uint8)
    u, v = (rng.integers(100, 156, (height // 2, width // 2), np.uint8) for _ in range(2))
    return Frame((y, u, v), 0)


def smooth_frame(height: int = 360, width: int = 480) -> Frame:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    luma = (120 + 60 * np.sin(x / 40) * np.cos(y / 30)).astype(np.uint8)
    u, v = ((128 + 20 * np.sin((x + k * y) / 50))[::2, ::2].astype(np.uint8) for k in (1, 2))
    return Frame((luma, u, v), 0)


BOXES = st.tuples(
    st.floats(-60, 440), st.floats(-60, 320), st.floats(20, 300), st.floats(0.9, 1.6)
).map(lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[2] * b[3]], np.float32))  # fmt: skip


@given(box=BOXES, paste=st.sampled_from(["mouth", "box"]))
@settings(max_examples=60, deadline=None)
def test_pixels_outside_the_region_are_the_sources(box: np.ndarray, paste: str) -> None:
    frame = textured_frame()
    before = [p.copy() for p in frame.planes]
    mask = crop_mask(paste)  # type: ignore[arg-type]
    mouth = np.full((96, 96, 3), (0, 0, 255), np.uint8)
    pasted, region = paste_mouth(frame, mouth, crop_matrix(box), BT709, mask)
    assert region == mouth_region(crop_matrix(box), mask, before[0].shape)
    for kept, plane in zip(before, frame.planes, strict=True):
        assert np.array_equal(kept, plane), "the source frame was written to"
    for index, (old, new) in enumerate(zip(before, pasted.planes, strict=True)):
        changed = old != new
        if region is not None:
            x0, y0, x1, y1 = (v // (1 if index == 0 else 2) for v in region)
            changed[y0:y1, x0:x1] = False
        assert not changed.any()


def test_only_pixels_under_the_mask_change_and_the_mouth_arrives() -> None:
    frame = textured_frame()
    box = np.array([140, 80, 300, 290], np.float32)
    matrix = crop_matrix(box)
    red = np.full((96, 96, 3), (0, 0, 255), np.uint8)
    pasted, _ = paste_mouth(frame, red, matrix, BT709, crop_mask())
    mask = crop_mask()
    yy, xx = np.mgrid[0:360, 0:480]
    u, v = matrix[0, 0] * xx + matrix[0, 2], matrix[1, 1] * yy + matrix[1, 2]
    outside = (u < 0) | (u > 95) | (v < 0) | (v > 95)
    inside = mask[np.clip(v, 0, 95).round().astype(int), np.clip(u, 0, 95).round().astype(int)]
    far = outside | (inside == 0)
    for dy in (-3, 0, 3):  # a pixel of the mask's grid spans two pixels here: leave its rim out
        for dx in (-3, 0, 3):
            far &= np.roll(outside | (inside == 0), (dy, dx), axis=(0, 1))
    assert far.mean() > 0.7
    assert np.array_equal(frame.planes[0][far], pasted.planes[0][far])
    # The upper half of the box, eyes and nose bridge, is never touched.
    assert np.array_equal(frame.planes[0][:170], pasted.planes[0][:170])
    middle = frame_to_bgr(pasted, BT709)[240, 220].astype(int)
    assert middle[2] > 245 and middle[:2].max() < 10, "channels are swapped or the mouth is not there"


def test_a_chroma_sample_changes_only_where_all_its_pixels_are_under_the_mask() -> None:
    frame = textured_frame()
    red = np.full((96, 96, 3), (0, 0, 255), np.uint8)
    pasted, _ = paste_mouth(frame, red, crop_matrix(np.array([141, 81, 300, 290])), BT709, crop_mask("box"))
    luma = frame.planes[0] != pasted.planes[0]
    quads = luma.reshape(180, 2, 240, 2)
    for plane in (1, 2):
        chroma = frame.planes[plane] != pasted.planes[plane]
        # noise: a pixel under the mask may by chance have had the right value already
        assert not (chroma & (quads.sum(axis=(1, 3)) < 2)).any()


def test_cutting_and_pasting_back_gives_the_picture_again() -> None:
    frame = smooth_frame()
    for box in ([150, 90, 250, 210], [101.3, 60.7, 330.2, 340.9], [-30, 150, 120, 330]):
        matrix = crop_matrix(np.array(box))
        crop = cut_crop(frame, matrix, BT709)
        pasted, _ = paste_mouth(frame, crop, matrix, BT709, crop_mask())
        difference = np.abs(pasted.planes[0].astype(int) - frame.planes[0])
        assert difference.max() <= 6 and difference[difference > 0].mean() < 2


def test_a_crop_shows_what_the_box_frames() -> None:
    frame = smooth_frame()
    bgr = frame_to_bgr(frame, BT709).astype(np.float32)
    box = np.array([150.0, 90.0, 246.0, 90 + 96 / (1 + CHIN_PAD)])  # exactly one pixel to one pixel
    crop = cut_crop(frame, crop_matrix(box), BT709)
    assert crop.shape == (CROP_PX, CROP_PX, 3) and crop.dtype == np.uint8
    assert np.abs(crop[4:-4, 4:-4] - bgr[94:182, 154:242]).mean() < 1.5


@pytest.mark.parametrize("side", [60.0, 96.0, 200.0, 340.0])
def test_crops_of_any_size_agree_on_where_things_are(side: float) -> None:
    """A bright dot at a known place of the face is at that place of the crop, to half a crop pixel."""
    y, x = np.mgrid[0:720, 0:720].astype(np.float32)
    dot = np.exp(-((x - 360) ** 2 + (y - 360 - side / 5) ** 2) / (2 * (side / 30) ** 2))
    luma = (40 + 180 * dot).astype(np.uint8)
    frame = Frame((luma, np.full((360, 360), 128, np.uint8), np.full((360, 360), 128, np.uint8)), 0)
    box = np.array([360 - side / 2, 360 - side / 2, 360 + side / 2, 360 + side / 2])
    matrix = crop_matrix(box)
    crop = cut_crop(frame, matrix, BT709).mean(axis=2)
    weights = np.clip(crop - 60, 0, None)
    cy, cx = (float((weights * g).sum() / weights.sum()) for g in np.mgrid[0:96, 0:96])
    want = matrix @ [360, 360 + side / 5, 1]
    assert (cx, cy) == pytest.approx(tuple(want), abs=0.5)


def test_colour_match_meets_the_source_where_they_join_and_is_bounded() -> None:
    rng = np.random.default_rng(0)
    crop = rng.integers(80, 140, (96, 96, 3), np.uint8)
    darker = np.clip(crop.astype(int) - [8, 4, 6], 0, 255).astype(np.uint8)
    assert np.abs(match_colour(darker, crop, crop_mask()) - crop).max() < 1.0
    black = np.zeros_like(crop)
    assert np.allclose(match_colour(black, crop, crop_mask()), 12.0)


def test_a_box_off_the_picture_changes_nothing() -> None:
    frame = textured_frame()
    pasted, region = paste_mouth(
        frame, np.zeros((96, 96, 3), np.uint8), crop_matrix(np.array([900, 900, 1000, 1100])), BT709, crop_mask()
    )
    assert region is None and pasted is frame
