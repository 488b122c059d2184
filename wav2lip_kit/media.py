"""Reading and writing pictures and sound, with PyAV.

A video is a file, a still image or a folder of frames; all three are read as a stream of `Frame`s that keep the
source's own planes, so that a frame nobody touches reaches the encoder bit for bit as it was decoded.

    probe(path) -> VideoInfo -> read_frames(info) -> Frame, Frame, … -> FrameWriter

Time zero is the start of the container (the earliest stream), or the start of the trim: a picture that begins 0.852 s
after the sound still does so in the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

from .errors import MediaError, RunError
from .files import StrPath
from .notices import notice
from .timing import format_time, snap_rate

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
IMAGE_RATE = Fraction(25)
PLANAR_420 = ("yuv420p", "yuvj420p")
BT709, BT601 = 1, 6
"""Values of FFmpeg's colour enums (matrix, primaries and transfer agree in these)."""
FULL_RANGE = 2


@dataclass(frozen=True)
class ColorTags:
    """Colour description as FFmpeg's integers; 2 means unspecified, range 0 unspecified, 1 limited, 2 full."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before it is decoded. Sizes are those of the upright picture, made even."""

    path: Path
    name: str
    """What messages call it."""
    kind: Literal["file", "image", "folder"]
    width_px: int
    height_px: int
    rate: Fraction
    """Average frames per second; a variable rate keeps its own timestamps all the same."""
    time_base: Fraction
    origin_pts: int
    """Timestamp, in `time_base`, that counts as zero: the container's start plus the trim's."""
    duration_s: float
    """From time zero to the end of the last frame, as the headers say; 0 where they do not (`read_frames` knows)."""
    rotation_deg: int = 0
    sample_aspect: Fraction = Fraction(1)
    color: ColorTags = ColorTags()
    codec: str = ""
    has_audio: bool = False
    start_s: float = 0.0
    """Where the trim starts, in seconds of the untrimmed video."""
    end_s: float | None = None
    """Where the trim ends, in seconds of the untrimmed video; None for its end."""

    def trimmed(self, start_s: float = 0.0, end_s: float | None = None) -> VideoInfo:
        """The same video from `start_s` to `end_s`, which becomes a video of its own with time zero at `start_s`.

        Raises:
            MediaError: If the stretch is empty or starts behind the end of the video.
        """
        if end_s is not None and end_s <= start_s:
            raise MediaError(
                f"trim {format_time(start_s)}-{format_time(end_s)} is empty: its end must lie after its start"
            )
        if self.duration_s and start_s >= self.duration_s:
            raise MediaError(
                f"trim starts at {format_time(start_s)} but {self.name} ends at {format_time(self.duration_s)}: "
                "give an earlier start"
            )
        stop_s = self.duration_s if end_s is None else min(end_s, self.duration_s or end_s)
        return replace(
            self,
            origin_pts=self.origin_pts + round(start_s / self.time_base),
            duration_s=max(0.0, stop_s - start_s),
            start_s=self.start_s + start_s,
            end_s=None if end_s is None else self.start_s + end_s,
        )

    def time_s(self, pts: int) -> float:
        """Seconds since time zero of a frame's `pts`."""
        return float(pts * self.time_base)

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.width_px}×{self.height_px}, {float(self.rate):.5g} frames/s, "
            f"{format_time(self.duration_s, decimals=1)}, {self.codec}"
        )


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


# ── probing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def probe(path: StrPath, *, rate: Fraction | None = None) -> VideoInfo:
    """Look at a video, an image or a folder of frames; decodes one frame to be sure that it can be read.

    Args:
        path: The file or folder.
        rate: Frames per second of an image or a folder of frames (25 when None); a file keeps its own.

    Raises:
        MediaError: If nothing is there, it is no video, has no picture, or is cut off before its end.
    """
    path = Path(path)
    if path.is_dir():
        return _probe_images(path, "folder", list_images(path), rate or IMAGE_RATE)
    if not path.exists():
        raise MediaError(f"no such video: {str(path)!r}; check the spelling, or give an absolute path")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _probe_images(path, "image", [path], rate or IMAGE_RATE)
    return _probe_file(path)


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in natural order (frame2 before frame10).

    Raises:
        MediaError: If there is none.
    """
    images = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not images:
        raise MediaError(
            f"no frames in folder {str(folder)!r}: it must hold images named in order ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    return sorted(images, key=lambda p: [int(t) if t.isdigit() else t.lower() for t in re.split(r"(\d+)", p.name)])


def read_image_bgr(path: Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8, upright.

    Raises:
        MediaError: If it cannot be decoded.
    """
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if image is None:
        raise MediaError(
            f"{str(path)!r} is no readable image ({path.stat().st_size} bytes); save it again as PNG or JPEG"
        )
    return image


def _probe_images(path: Path, kind: Literal["image", "folder"], images: list[Path], rate: Fraction) -> VideoInfo:
    height_px, width_px = read_image_bgr(images[0]).shape[:2]
    return VideoInfo(
        path=path,
        name=path.name,
        kind=kind,
        width_px=_even(width_px),
        height_px=_even(height_px),
        rate=rate,
        time_base=1 / rate,
        origin_pts=0,
        duration_s=float(len(images) / rate),
        color=ColorTags(BT709, BT709, BT709, 1),
        codec=images[0].suffix[1:].lower(),
    )


def _even(size_px: int) -> int:
    return size_px + size_px % 2


def open_media(path: StrPath) -> Any:
    """Open a file with FFmpeg's demuxers.

    Raises:
        MediaError: If it is no media file, or one that lost its end.
    """
    path = Path(path)
    if not path.exists():
        raise MediaError(f"no such file: {str(path)!r}; check the spelling, or give an absolute path")
    if path.stat().st_size == 0:
        raise MediaError(f"{str(path)!r} is empty (0 bytes); fetch or export it again")
    try:
        return av.open(str(path), metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        with path.open("rb") as file:
            is_mp4 = b"ftyp" in file.read(16)
        hint = (
            "the file is cut off (its index is missing); download or export it again"
            if is_mp4
            else "it is no video or audio file that FFmpeg knows; check that it plays, or convert it to mp4 or wav"
        )
        raise MediaError(f"cannot read {str(path)!r}: {hint} ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def _video_stream(container: Any, path: Path) -> Any:
    stream = container.streams.best("video")
    if stream is None or av.stream.Disposition.attached_pic in stream.disposition:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise MediaError(
            f"{str(path)!r} has no video stream (it holds: {kinds}); give a video, an image or a folder of frames"
        )
    return stream


def _container_start(container: Any, time_base: Fraction) -> int:
    """The container's start in ticks of `time_base`."""
    return round(Fraction(container.start_time or 0, av.time_base) / time_base)


def _probe_file(path: Path) -> VideoInfo:
    with open_media(path) as container:
        stream = _video_stream(container, path)
        has_audio = bool(container.streams.audio)
        duration_s = _stream_end_s(container, stream)
        first = next(_decode(container, stream, path.name), None)
        if first is None:
            raise MediaError(f"{str(path)!r} has no frame that can be decoded; export it again")
        width_px, height_px = first.width, first.height
        rotation_deg = first.rotation % 360
        if rotation_deg % 180:
            width_px, height_px = height_px, width_px
        aspect = stream.sample_aspect_ratio or Fraction(1)
        info = VideoInfo(
            path=path,
            name=path.name,
            kind="file",
            width_px=_even(width_px),
            height_px=_even(height_px),
            rate=snap_rate(stream.average_rate or stream.guessed_rate or IMAGE_RATE),
            time_base=stream.time_base,
            origin_pts=_container_start(container, stream.time_base),
            duration_s=duration_s,
            rotation_deg=rotation_deg,
            sample_aspect=1 / aspect if rotation_deg % 180 else aspect,
            color=_color_tags(first),
            codec=stream.codec_context.name,
            has_audio=has_audio,
        )
    return info


def _stream_end_s(container: Any, stream: Any) -> float:
    """Where the headers say the picture ends, in seconds from the container's start."""
    start_s = (container.start_time or 0) / av.time_base
    if stream.duration:
        return float((stream.start_time or 0) * stream.time_base + stream.duration * stream.time_base) - start_s
    if container.duration:
        return container.duration / av.time_base
    # Files from a browser's recorder carry no duration at all: the packets do.
    end_pts = max((p.pts + (p.duration or 0) for p in container.demux(stream) if p.pts is not None), default=0)
    container.seek(0)
    return float(end_pts * stream.time_base) - start_s


def _color_tags(frame: VideoFrame) -> ColorTags:
    full = frame.format.name.startswith("yuvj") or int(frame.color_range) == FULL_RANGE
    if not frame.format.name.startswith("yuv"):  # RGB becomes limited-range BT.709 when its planes are made
        return ColorTags(BT709, BT709, BT709, 1)
    return ColorTags(
        int(frame.color_primaries),
        int(frame.color_trc),
        int(frame.colorspace),
        FULL_RANGE if full else int(frame.color_range),
    )


def check_whole(info: VideoInfo) -> None:
    """Make sure that the video reaches as far as its headers (or the trim) say.

    A truncated AVI opens and plays, only much shorter; it is better to know before an hour of work.

    Raises:
        MediaError: If the picture ends more than a second and more than a tenth early.
    """
    if info.kind != "file" or info.duration_s < 2:
        return
    end_s = info.start_s + info.duration_s
    tail = info.trimmed(max(0.0, info.duration_s - 1.0))
    if next(read_frames(tail), None) is not None:
        return
    last_s = 0.0
    with open_media(info.path) as container:
        stream = _video_stream(container, info.path)
        for packet in container.demux(stream):
            if packet.pts is not None or packet.dts is not None:
                pts = packet.pts if packet.pts is not None else packet.dts
                last_s = max(last_s, float(pts * stream.time_base) - (container.start_time or 0) / av.time_base)
    if last_s < end_s - max(1.0, 0.1 * end_s):
        raise MediaError(
            f"{str(info.path)!r} is cut off: it should last {format_time(end_s, decimals=1)} but ends at "
            f"{format_time(last_s, decimals=1)}; download or export it again, or use what is there with "
            f"--trim {format_time(info.start_s)}-{format_time(int(last_s))}"
        )


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
    images = [info.path] if info.kind == "image" else list_images(info.path)
    for index in range(max(0, start_pts + info.origin_pts), len(images)):
        bgr = read_image_bgr(images[index])
        if (_even(bgr.shape[1]), _even(bgr.shape[0])) != (info.width_px, info.height_px):
            raise MediaError(
                f"{images[index].name!r} is {bgr.shape[1]}×{bgr.shape[0]} but the folder's first frame is "
                f"{info.width_px}×{info.height_px}: all frames of a folder must have one size"
            )
        yield Frame(_planes(VideoFrame.from_ndarray(bgr, format="bgr24"), info), index - info.origin_pts, 1)


def _read_file(info: VideoInfo, start_pts: int) -> Iterator[Frame]:
    """Frames from the key frame at or before `start_pts` on; from the beginning where a seek lands too late."""
    target = start_pts + info.origin_pts
    last_pts: int | None = None
    for seek in (True, False):
        with open_media(info.path) as container:
            stream = _video_stream(container, info.path)
            stream.thread_type = "AUTO"
            first_pts = stream.start_time or 0
            seek = seek and target > first_pts
            if seek:
                container.seek(target, stream=stream, backward=True)
            for decoded in _decode(container, stream, info.name):
                pts = decoded.pts
                if pts is None:
                    pts = first_pts if last_pts is None else last_pts + max(1, round(1 / info.rate / info.time_base))
                if seek and last_pts is None and pts > target:
                    break  # landed behind the target: begin again without seeking
                if last_pts is not None and pts <= last_pts:
                    notice(f"{info.name}: frames with a time stamp that does not rise were left out")
                    continue
                last_pts = pts
                if pts >= target:
                    yield Frame(_planes(decoded, info), pts - info.origin_pts, decoded.duration or 0)
            else:
                return


def _decode(container: Any, stream: Any, name: str) -> Iterator[VideoFrame]:
    """Decode one stream, passing over what is damaged."""
    damaged = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            yield from packet.decode()
        except av.InvalidDataError:
            damaged += 1
            if damaged > 1000:
                break
        except av.EOFError:
            break
    if damaged:
        notice(f"{name}: {damaged} damaged packets were passed over")


def _planes(frame: VideoFrame, info: VideoInfo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The upright, even-sized 8-bit 4:2:0 planes of a decoded frame; views where nothing had to change."""
    if frame.format.name not in PLANAR_420:
        if frame.format.name.startswith("yuv"):
            notice(
                f"{info.name}: the picture is {frame.format.name}; it is reduced to 8-bit 4:2:0, which plays everywhere"
            )
            frame = frame.reformat(format="yuv420p")
        else:
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
    planes = []
    for index, plane in enumerate(frame.planes[:3]):
        array = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
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


@dataclass(frozen=True)
class Encoding:
    """How the result is encoded with x264.

    Attributes:
        crf: Constant rate factor, 0 (lossless) to 51; 17 looks the same as the source.
        preset: x264's trade of speed for size.
    """

    crf: int = 17
    preset: str = "veryfast"


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
        context.options = {"crf": str(encoding.crf), "preset": encoding.preset}

    def write(self, frame: Frame) -> None:
        """Encode one frame; its `pts` must rise from frame to frame."""
        picture = VideoFrame(self._info.width_px, self._info.height_px, "yuv420p")
        for plane, array in zip(picture.planes, frame.planes, strict=True):
            target = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            target[:, : plane.width] = array
        picture.pts, picture.time_base = frame.pts, self._info.time_base
        picture.duration = frame.duration
        self._mux(picture)

    def _mux(self, picture: VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise RunError(f"cannot write the video: {_reason(error)}; is the disk full?") from error

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._mux(None)
        finally:
            self._container.close()
