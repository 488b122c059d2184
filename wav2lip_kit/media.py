"""Looking at media before they are used, with PyAV: what a video is, and whether it is whole.

A video is a file, a still image or a folder of frames.

Time zero is the start of the container (the earliest stream), or the start of the trim: a picture that begins 0.852 s
after the sound still does so in the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import cv2
import numpy as np
from av.codec.context import Flags
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.frame import VideoFrame
from PIL import Image

from .errors import MediaError
from .files import StrPath
from .notices import notice
from .timing import format_time, snap_rate

AV_TICKS_HZ = 1_000_000
"""FFmpeg's clock for whole files."""
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
    """Seconds of one tick: the source's own, divided until an mp4 can hold it."""
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
        ends_s = [self.start_s + end_s] if end_s is not None else []
        ends_s += [self.end_s] if self.end_s is not None else []
        return replace(
            self,
            origin_pts=self.origin_pts + round(start_s / self.time_base),
            duration_s=max(0.0, stop_s - start_s),
            start_s=self.start_s + start_s,
            end_s=min(ends_s, default=None),
        )

    def time_s(self, pts: int) -> float:
        """Seconds since time zero of a frame's `pts`."""
        return float(pts * self.time_base)

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.width_px}×{self.height_px}, {float(self.rate):.5g} frames/s, "
            f"{format_time(self.duration_s, decimals=1)}, {self.codec}"
        )


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
            f"no frames in folder {str(folder)!r}: it must hold images named in order "
            f"({', '.join(sorted(IMAGE_SUFFIXES))})"
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
        width_px=even(width_px),
        height_px=even(height_px),
        rate=rate,
        time_base=_mp4_time_base(1 / rate),
        origin_pts=0,
        duration_s=float(len(images) / rate),
        color=ColorTags(BT709, BT709, BT709, 1),
        codec=images[0].suffix[1:].lower(),
    )


def even(size_px: int) -> int:
    return size_px + size_px % 2


def _mp4_time_base(time_base: Fraction) -> Fraction:
    """A whole fraction of `time_base` that an mp4 keeps as it is: one over an integer of 10 000 or more."""
    ticks_per_s = time_base.denominator
    while ticks_per_s < 10_000:
        ticks_per_s *= 2
    return Fraction(1, ticks_per_s)


def open_media(path: StrPath) -> Any:
    """Open a file with FFmpeg's demuxers.

    Raises:
        MediaError: If it is no media file, or one that lost its end.
    """
    path = Path(path)
    if not path.exists():
        raise MediaError(f"no such file: {str(path)!r}; check the spelling, or give an absolute path")
    if path.is_dir():
        raise MediaError(f"{str(path)!r} is a folder; give a file with picture or sound")
    if path.stat().st_size == 0:
        raise MediaError(f"{str(path)!r} is empty (0 bytes); fetch or export it again")
    try:
        return av.open(str(path), metadata_errors="ignore")
    except av.error.PermissionError as error:
        raise MediaError(f"may not read {str(path)!r}; change its permissions or copy it elsewhere") from error
    except (FFmpegError, ValueError) as error:
        with path.open("rb") as file:
            is_mp4 = b"ftyp" in file.read(16)
        hint = (
            "the file is cut off (its index is missing); download or export it again"
            if is_mp4
            else "it is no video or audio file that FFmpeg knows; check that it plays, or convert it to mp4 or wav"
        )
        raise MediaError(f"cannot read {str(path)!r}: {hint} ({reason(error)})") from error


def reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def video_stream(container: Any, path: Path) -> Any:
    """The best video stream that is no cover picture."""
    best = container.streams.best("video")
    streams = sorted(container.streams.video, key=lambda s: s is not best)
    stream = next((s for s in streams if Disposition.attached_pic not in s.disposition), None)
    if stream is None:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise MediaError(
            f"{str(path)!r} has no video stream (it holds: {kinds}); give a video, an image or a folder of frames"
        )
    check_codec(stream, path)
    return stream


def check_codec(stream: Any, path: Path) -> None:
    """Raises MediaError if this FFmpeg has no decoder for the stream."""
    if stream.codec_context is None:
        raise MediaError(f"{str(path)!r}: its {stream.type} is in a format unknown here; convert it to H.264 and AAC")


def container_start_s(container: Any) -> Fraction:
    """Time zero, on the file's own clock."""
    return Fraction(container.start_time or 0, AV_TICKS_HZ)


def _probe_file(path: Path) -> VideoInfo:
    with open_media(path) as container:
        stream = video_stream(container, path)
        has_audio = bool(container.streams.audio)
        start_s = container_start_s(container)
        time_base = _mp4_time_base(stream.time_base)
        first = next(decode_video(container, stream, path.name), None)
        if first is None:
            raise MediaError(f"{str(path)!r} has no frame that can be decoded; export it again")
        width_px, height_px = first.width, first.height
        rotation_deg = first.rotation % 360
        if rotation_deg % 180:
            width_px, height_px = height_px, width_px
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return VideoInfo(
            path=path,
            name=path.name,
            kind="file",
            width_px=even(width_px),
            height_px=even(height_px),
            rate=snap_rate(stream.average_rate or stream.guessed_rate or IMAGE_RATE),
            time_base=time_base,
            origin_pts=round(start_s / time_base),
            duration_s=_picture_end_s(path),
            rotation_deg=rotation_deg,
            sample_aspect=1 / aspect if rotation_deg % 180 else aspect,
            color=_color_tags(first),
            codec=stream.codec_context.name,
            has_audio=has_audio,
        )


def _picture_end_s(path: Path) -> float:
    """Where the picture ends, in seconds from the container's start."""
    with open_media(path) as container:
        stream = video_stream(container, path)
        if stream.duration and stream.frames:
            return claimed_end_s(container, stream)
        # MPEG, Matroska and browsers' recordings do not say how long the picture is; its last packets do.
        return _last_packet_end_s(container, stream, near_s=claimed_end_s(container, None))


def claimed_end_s(container: Any, stream: Any | None) -> float:
    """Where the headers say the stream (the whole file for None) ends, in seconds from the container's start."""
    if stream is None or not stream.duration:
        return (container.duration or 0) / AV_TICKS_HZ
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base - container_start_s(container))


def _last_packet_end_s(container: Any, stream: Any | None, near_s: float) -> float:
    """Where the last packet of a stream (of all for None) ends, in seconds from the container's start.

    Only the last seconds before `near_s` are looked at; the whole file when nothing lies there.
    """
    start_s = container_start_s(container)
    streams = [stream] if stream is not None else [s for s in container.streams if s.type in ("video", "audio")]
    for from_s in (near_s - 5, 0):
        if from_s > 0:
            with suppress(FFmpegError):  # then the demuxer stays where it is: at the beginning
                container.seek(round((from_s + start_s) * AV_TICKS_HZ))
        ends_s = [Fraction(0)]
        with suppress(FFmpegError):  # whatever comes before the damage counts
            for packet in container.demux(streams):
                pts = packet.dts if packet.pts is None else packet.pts
                if pts is not None:
                    ends_s.append((pts + (packet.duration or 0)) * packet.time_base - start_s)
        if max(ends_s) > from_s:
            return float(max(ends_s))
        container.seek(round(start_s * AV_TICKS_HZ))
    return 0.0


def _color_tags(frame: VideoFrame) -> ColorTags:
    full = frame.format.name.startswith("yuvj") or int(frame.color_range) == FULL_RANGE
    if not is_yuv(frame):  # becomes limited-range BT.709 when its planes are made
        return ColorTags(BT709, BT709, BT709, 1)
    return ColorTags(
        int(frame.color_primaries),
        int(frame.color_trc),
        int(frame.colorspace),
        FULL_RANGE if full else int(frame.color_range),
    )


def is_yuv(frame: VideoFrame) -> bool:
    """Luma and chroma, in any order and depth; not RGB, a palette or grey."""
    return len(frame.format.components) >= 3 and not frame.format.is_rgb and not frame.format.has_palette


def check_whole(info: VideoInfo) -> None:
    """Make sure that the video reaches as far as its headers (or the trim) say.

    A truncated AVI opens and plays, only much shorter; it is better to know before an hour of work.

    Raises:
        MediaError: If the file ends more than a second and more than a tenth early, or frames differ in size.
    """
    if info.kind == "folder":
        _check_sizes(info)
    if info.kind != "file":
        return
    with open_media(info.path) as container:
        # Without a length of its own the picture may well end before the file does.
        stream = video_stream(container, info.path)
        stream = stream if stream.duration else None
        claimed_s = claimed_end_s(container, stream)
        if container.format.name == "avi" and stream is not None and stream.average_rate:
            claimed_s = float(stream.frames / stream.average_rate)  # FFmpeg corrects the duration, but not the count
        wanted_s = claimed_s if info.end_s is None else min(info.end_s, claimed_s)
        end_s = _last_packet_end_s(container, stream, near_s=wanted_s)
    if end_s < wanted_s - max(1.0, 0.1 * wanted_s):
        raise MediaError(
            f"{str(info.path)!r} is cut off: it should last {format_time(claimed_s, decimals=1)} but ends at "
            f"{format_time(end_s, decimals=1)}; download or export it again, or use what is there with "
            f"--trim {format_time(info.start_s)}-{format_time(int(end_s))}"
        )


def _check_sizes(info: VideoInfo) -> None:
    """All frames of a folder must have the size of the first; their headers tell, whichever way they are turned."""
    first, *others = list_images(info.path)
    wanted = sorted(_stored_size(first))
    for image in others:
        if sorted(_stored_size(image)) != wanted:
            sizes = ["×".join(map(str, _stored_size(i))) for i in (image, first)]
            raise MediaError(
                f"{image.name!r} is {sizes[0]} but {first.name!r} is {sizes[1]}: "
                "all frames of a folder must have one size"
            )


def _stored_size(image: Path) -> tuple[int, int]:
    try:
        with Image.open(image) as header:
            return header.size
    except OSError as error:
        raise MediaError(f"{str(image)!r} is no readable image; save it again as PNG or JPEG") from error


def decode_video(container: Any, stream: Any, name: str) -> Iterator[VideoFrame]:
    """Decode one stream, passing over what is damaged.

    Spoiled frames are given too, but not before a whole one: without them a video whose only key frame is its first
    would end at the damage.
    """
    stream.codec_context.flags |= Flags.output_corrupt
    packets = container.demux(stream)
    has_begun = is_told = False
    while True:
        is_damaged = False
        frames: list[VideoFrame] = []
        try:
            packet = next(packets, None)
            if packet is None:
                return
            is_damaged = packet.is_corrupt
            frames = packet.decode()
        except InvalidDataError:
            is_damaged = True
        except av.error.EOFError:
            return
        for frame in frames:
            has_begun = has_begun or not frame.is_corrupt
            is_damaged = is_damaged or (has_begun and frame.is_corrupt)
            if has_begun:
                yield frame
        if is_damaged and not is_told:
            notice(f"{name}: the file is damaged in places; frames there are missing or spoiled")
            is_told = True
