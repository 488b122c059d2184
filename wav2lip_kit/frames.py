"""Reading and writing frames, with PyAV.

All kinds of video are read as a stream of `Frame`s that keep the source's own planes, so that a frame nobody touches
reaches the encoder bit for bit as it was decoded.

    probe(path) -> VideoInfo -> read_frames(info) -> Frame, Frame, … -> FrameWriter
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, dropwhile
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from .errors import MediaError, RunError
from .files import StrPath
from .media import (
    PLANAR_420,
    VideoInfo,
    decode_video,
    even,
    is_yuv,
    list_images,
    open_media,
    read_image_bgr,
    reason,
    video_stream,
)
from .notices import notice


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture as 8-bit 4:2:0 planes; treat the arrays as read-only, the decoder may still use their memory.

    Attributes:
        planes: Y (H, W), U and V (H/2, W/2), uint8, H and W even.
        pts: Presentation time in the video's `time_base`, counted from its time zero.
        duration: In `time_base`; 0 when the source does not say.
    """

    planes: tuple[np.ndarray, np.ndarray, np.ndarray]
    pts: int
    duration: int = 0


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_frames(info: VideoInfo, start_pts: int = 0, end_pts: int | None = None) -> Iterator[Frame]:
    """Decode the frames of a video (of its trim) whose `pts` lies in `[start_pts, end_pts)`, in order of time.

    Damaged packets are passed over with a notice. Memory stays flat: nothing is kept.
    """
    if info.end_s is not None:
        trim_end_pts = round((info.end_s - info.start_s) / info.time_base)
        end_pts = trim_end_pts if end_pts is None else min(end_pts, trim_end_pts)
    frames = _read_file(info, start_pts) if info.kind == "file" else _read_images(info, start_pts)
    for frame in frames:
        if end_pts is not None and frame.pts >= end_pts:
            break
        if frame.pts >= start_pts:
            yield frame


def _read_images(info: VideoInfo, start_pts: int) -> Iterator[Frame]:
    ticks = int(1 / info.rate / info.time_base)
    if info.kind == "image":  # shown again and again for as long as `duration_s` says
        n_frames = round((info.start_s + info.duration_s) * info.rate)
        planes = _planes(VideoFrame.from_ndarray(read_image_bgr(info.path), format="bgr24"), info)
        for index in range(max(0, -((-start_pts - info.origin_pts) // ticks)), n_frames):
            yield Frame(planes, index * ticks - info.origin_pts, ticks)
        return
    images = list_images(info.path)
    for index in range(max(0, -((-start_pts - info.origin_pts) // ticks)), len(images)):
        bgr = read_image_bgr(images[index])
        if (even(bgr.shape[1]), even(bgr.shape[0])) != (info.width_px, info.height_px):
            raise MediaError(
                f"{images[index].name!r} is {bgr.shape[1]}×{bgr.shape[0]} but the folder's first frame is "
                f"{info.width_px}×{info.height_px}: all frames of a folder must have one size"
            )
        planes = _planes(VideoFrame.from_ndarray(bgr, format="bgr24"), info)
        yield Frame(planes, index * ticks - info.origin_pts, ticks)


def _read_file(info: VideoInfo, start_pts: int) -> Iterator[Frame]:
    """Frames from `start_pts` on: from the key frame before it, or from the beginning where a seek finds none."""
    target = start_pts + info.origin_pts
    for seek in (True, False):
        with open_media(info.path) as container:
            stream = video_stream(container, info.path)
            stream.thread_type = "AUTO"
            frames = decode_video(container, stream, info.name)
            if seek:
                frames = _from_key_frame(
                    container, stream, frames, Fraction(target) * info.time_base / stream.time_base
                )
            if frames is not None:
                for decoded, pts in _with_rising_pts(frames, stream, info):
                    if pts >= target:
                        ticks = int(stream.time_base / info.time_base)
                        yield Frame(_planes(decoded, info), pts - info.origin_pts, (decoded.duration or 0) * ticks)
                return


def _from_key_frame(
    container: Any, stream: Any, frames: Iterator[VideoFrame], target: Fraction
) -> Iterator[VideoFrame] | None:
    """Seek to the last key frame at or before `target` (in the stream's time base); None where that fails."""
    if target <= (stream.start_time or 0):
        return frames
    try:
        container.seek(int(target), stream=stream, backward=True)
    except FFmpegError:
        return None
    # What the decoder shows before a sound key frame may lack what it was coded from.
    frames = dropwhile(lambda f: not f.key_frame or f.is_corrupt or f.pts is None, frames)
    key = next(frames, None)
    return chain([key], frames) if key is not None and key.pts is not None and key.pts <= target else None


def _with_rising_pts(frames: Iterator[VideoFrame], stream: Any, info: VideoInfo) -> Iterator[tuple[VideoFrame, int]]:
    """Each frame with its time stamp in `info.time_base`, on the file's own clock."""
    ticks = int(stream.time_base / info.time_base)
    last_pts: int | None = None
    is_told = False
    for frame in frames:
        if frame.pts is not None:
            pts = frame.pts * ticks
        elif last_pts is None:
            pts = (stream.start_time or 0) * ticks
        else:
            pts = last_pts + round(1 / info.rate / info.time_base)
        if last_pts is None or pts > last_pts:
            last_pts = pts
            yield frame, pts
        elif not is_told:
            notice(f"{info.name}: frames with a time stamp that does not rise were left out")
            is_told = True


def _samples(plane: Any) -> np.ndarray:
    """A plane's own memory, (H, W) uint8, without the padding at the end of its lines."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _planes(frame: VideoFrame, info: VideoInfo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The upright, even-sized 8-bit 4:2:0 planes of a decoded frame; views where nothing had to change."""
    if frame.format.name not in PLANAR_420:
        if info.kind == "file":
            notice(
                f"{info.name}: the picture is {frame.format.name}; it is reduced to 8-bit 4:2:0, which plays everywhere"
            )
        if is_yuv(frame):
            frame = frame.reformat(format="yuvj420p" if frame.format.name.startswith("yuvj") else "yuv420p")
        else:
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
    planes = []
    for index, plane in enumerate(frame.planes[:3]):
        array = _samples(plane)
        array = np.rot90(array, info.rotation_deg // 90) if info.rotation_deg else array
        height, width = (info.height_px, info.width_px) if index == 0 else (info.height_px // 2, info.width_px // 2)
        if array.shape != (height, width):
            if not (0 <= height - array.shape[0] <= 1 and 0 <= width - array.shape[1] <= 1):
                notice(f"{info.name}: the picture changes its size on the way; it is scaled to the first frame's")
                array = cv2.resize(np.ascontiguousarray(array), (width, height), interpolation=cv2.INTER_AREA)
            array = np.pad(array, ((0, height - array.shape[0]), (0, width - array.shape[1])), mode="edge")
        planes.append(array)
    return planes[0], planes[1], planes[2]


# ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────────


# x264's AVX-512 code writes another file at every run (23 different ones of 40 runs, the same frames and options; one
# with AVX2). A run that was interrupted must end as if it had not been.
_AVX512_SKX = 256  # OpenCV's CpuFeatures, which has no names in Python
_REPEATABLE = {"x264-params": "asm=avx2"} if cv2.checkHardwareSupport(_AVX512_SKX) else {}


@dataclass(frozen=True)
class Encoding:
    """How the result is encoded with x264.

    Attributes:
        crf: Constant rate factor, 0 (lossless) to 51. 12 keeps 42 dB even where the whole picture moves and is noisy;
            17 looks the same and halves the size.
        preset: x264's trade of speed for size.
    """

    crf: int = 12
    preset: str = "veryfast"


def _write_error(error: Exception) -> RunError:
    return RunError(f"cannot write the video: {reason(error)}; is the disk full?")


class FrameWriter:
    """Write frames to an H.264 mp4 that keeps the video's size, rate, time stamps, sample aspect and colour tags.

    A context manager. The file is whole only when the block ends; write it under a temporary name.
    """

    def __init__(self, path: StrPath, info: VideoInfo, encoding: Encoding = Encoding()) -> None:
        self._info = info
        self._container = av.open(str(path), "w", format="mp4")
        self._stream: Any = self._container.add_stream("libx264", rate=info.rate)
        self._stream.time_base = info.time_base
        context = self._stream.codec_context
        context.width, context.height = info.width_px, info.height_px
        context.pix_fmt = "yuv420p"
        context.time_base = info.time_base
        context.sample_aspect_ratio = info.sample_aspect
        context.color_primaries = info.color.primaries
        context.color_trc = info.color.transfer
        context.colorspace = info.color.matrix
        context.color_range = info.color.range
        # A key frame every two seconds keeps scrubbing in a browser quick.
        context.gop_size = max(1, round(info.rate * 2))
        context.options = {"crf": str(encoding.crf), "preset": encoding.preset, **_REPEATABLE}

    def write(self, frame: Frame) -> None:
        """Encode one frame; its `pts` must rise from frame to frame."""
        picture = VideoFrame(self._info.width_px, self._info.height_px, "yuv420p")
        for plane, array in zip(picture.planes, frame.planes, strict=True):
            _samples(plane)[:] = array
        picture.pts, picture.time_base = frame.pts, self._info.time_base
        picture.duration = frame.duration
        self._mux(picture)

    def _mux(self, picture: VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(picture))
        except (FFmpegError, OSError) as error:
            raise _write_error(error) from error

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._mux(None)
        finally:
            try:
                self._container.close()
            except OSError as error:
                if kind is None:
                    raise _write_error(error) from error
