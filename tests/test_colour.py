"""Colours: our matrices against FFmpeg's own conversion, and there and back."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame

from wav2lip_kit.colour import frame_matrices, frame_to_bgr, matrices, planes_to_bgr
from wav2lip_kit.frames import Frame
from wav2lip_kit.media import BT601, BT709, FULL_RANGE, ColorTags

LIMITED, UNSPECIFIED, BT2020 = 1, 2, 9


def flat_frame(yuv: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> Frame:
    width, height = size
    y, u, v = yuv
    chroma = np.full((height // 2, width // 2), u, np.uint8), np.full((height // 2, width // 2), v, np.uint8)
    return Frame((np.full((height, width), y, np.uint8), *chroma), 0)


def ffmpeg_bgr(planes: np.ndarray, matrix: int, color_range: int) -> np.ndarray:
    """What FFmpeg makes of 4:4:4 planes (3, H, W)."""
    picture = VideoFrame.from_ndarray(planes, format="yuv444p")
    picture.colorspace, picture.color_range = matrix, color_range
    return picture.to_ndarray(format="bgr24")


@pytest.mark.parametrize("color_range", [LIMITED, FULL_RANGE])
@pytest.mark.parametrize("matrix", [BT709, BT601, 5, 7, BT2020])
def test_same_colours_as_ffmpeg(matrix: int, color_range: int) -> None:
    grid = np.arange(24, 232, 16, dtype=np.uint8)
    planes = np.stack(np.meshgrid(grid, grid, grid)).reshape(3, len(grid), -1)
    to_bgr, _ = matrices(ColorTags(matrix=matrix, range=color_range), is_hd=False)
    ours = planes_to_bgr(*planes, to_bgr).astype(int)
    theirs = ffmpeg_bgr(planes, matrix, color_range).astype(int)
    assert np.abs(ours - theirs).max() <= 2


@pytest.mark.parametrize("color_range", [LIMITED, FULL_RANGE])
@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 9, 10])
def test_there_and_back(matrix: int, color_range: int) -> None:
    """Within what 8 bits of Y, U and V can tell apart."""
    to_bgr, to_yuv = matrices(ColorTags(matrix=matrix, range=color_range), is_hd=True)
    colours = np.random.default_rng(0).integers(0, 256, (1, 5000, 3), np.uint8)
    yuv = cv2.transform(colours, to_yuv)
    back = planes_to_bgr(*np.ascontiguousarray(yuv.transpose(2, 0, 1)), to_bgr)
    assert np.abs(back.astype(int) - colours).max() <= 2


@pytest.mark.parametrize(
    ("bgr", "matrix", "color_range", "yuv"),
    [
        ((0, 0, 255), BT709, LIMITED, (63, 102, 240)),
        ((0, 0, 255), BT601, LIMITED, (81, 90, 240)),
        ((255, 255, 255), BT709, LIMITED, (235, 128, 128)),
        ((255, 255, 255), BT709, FULL_RANGE, (255, 128, 128)),
        ((0, 0, 0), BT601, LIMITED, (16, 128, 128)),
        ((0, 0, 0), BT601, FULL_RANGE, (0, 128, 128)),
    ],
)
def test_known_colours(bgr: Any, matrix: int, color_range: int, yuv: tuple[int, int, int]) -> None:
    """Values of the colour bars of ITU-R BT.601 and BT.709."""
    tags = ColorTags(matrix=matrix, range=color_range)
    assert frame_to_bgr(flat_frame(yuv), tags)[5, 5].tolist() == pytest.approx(bgr, abs=2)
    _, to_yuv = matrices(tags, is_hd=False)
    assert (to_yuv @ [*bgr, 1]).tolist() == pytest.approx(yuv, abs=0.6)


@pytest.mark.parametrize(("size", "matrix"), [((1280, 720), BT709), ((720, 1280), BT709), ((720, 576), BT601)])
def test_untagged_video_is_read_as_players_read_it(size: tuple[int, int], matrix: int) -> None:
    frame = flat_frame((100, 90, 200), size)
    untagged = frame_matrices(frame, ColorTags())[0]
    np.testing.assert_array_equal(untagged, frame_matrices(frame, ColorTags(matrix=matrix))[0])
    other = BT601 if matrix == BT709 else BT709
    assert not np.array_equal(untagged, frame_matrices(frame, ColorTags(matrix=other))[0])


def test_small_copies_keep_shape_and_colour() -> None:
    tags = ColorTags(1, 1, 1, 1)
    frame = flat_frame((63, 102, 240), (640, 360))
    assert frame_to_bgr(frame, tags).shape == (360, 640, 3)
    assert frame_to_bgr(frame, tags, 320).shape == (180, 320, 3)
    assert frame_to_bgr(frame, tags, 2000).shape == (360, 640, 3), "never scaled up"
    assert frame_to_bgr(frame, tags, 100)[20, 20].tolist() == pytest.approx([0, 0, 255], abs=2)


def test_small_copy_is_an_average_not_a_sample() -> None:
    """Stripes one pixel wide become grey: a detector must not see moiré."""
    y = np.tile(np.array([16, 235], np.uint8), (240, 160))
    chroma = np.full((120, 160), 128, np.uint8)
    small = frame_to_bgr(Frame((y, chroma, chroma), 0), ColorTags(1, 1, 1, 1), 160)
    assert np.abs(small.astype(int) - 128).max() <= 3


def test_turned_planes_are_read_as_they_look() -> None:
    """Planes of a rotated video are views with negative strides."""
    y = np.arange(64 * 48, dtype=np.int64).reshape(48, 64).astype(np.uint8)
    chroma = np.full((24, 32), 128, np.uint8)
    tags = ColorTags(1, 1, 1, FULL_RANGE)
    upright = frame_to_bgr(Frame((y, chroma, chroma), 0), tags)
    turned = frame_to_bgr(Frame((np.rot90(y), np.rot90(chroma), np.rot90(chroma)), 0), tags)
    np.testing.assert_array_equal(turned, np.rot90(upright))
