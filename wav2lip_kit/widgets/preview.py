"""What a browser is shown of a project: a small copy of the video, thumbnails, and how loud the new audio is.

The small copy (proxy) has every frame of the source at the source's own time, counted from the first frame, so that
frame k of `Tracks` is shown at `times_s[k] - times_s[0]`. It has a key frame every 12 frames and none that look ahead:
any frame is there at once. All files lie in the project's folder under a key of their content, and are made once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.video.frame import VideoFrame
from tqdm.auto import tqdm

from ..audio import read_audio
from ..colour import frame_to_bgr
from ..errors import RunError
from ..faces.tracks import Tracks
from ..files import content_id, key_of, replace_when_whole
from ..frames import Frame, read_frames
from ..media import BT709, VideoInfo, reason
from ..project import Project
from ..settings import parse_trim

VERSION = 1
SIDE_PX, MIN_SIDE_PX = 640, 240
FULL_SIZE_S = 900.0
"""Longer videos get a smaller picture, of about as many pixels in all."""
MOST_BYTES = 56_000_000
GOP = 12
CRF = 27
SOUND_HZ, SOUND_BITS_PER_S = 24_000, 48_000
THUMB_SIDE_PX, MOST_THUMBS = 96, 120
PEAKS_PER_S, MOST_PEAKS = 50, 24_000


@dataclass(frozen=True)
class Preview:
    """Files and arrays for one project.

    Attributes:
        video: The proxy, mp4 with H.264 and the source's own sound.
        audio: The new audio as m4a, from the time zero of the video.
        thumbs: JPEG with thumbnails side by side; the k-th shows the middle of the k-th of `n_thumbs` equal stretches
            of the frames.
        n_thumbs: How many.
        peaks: (n,) uint8, how loud the new audio is, 255 for full scale.
        peaks_per_s: How many of them make a second.
    """

    video: Path
    audio: Path
    thumbs: Path
    n_thumbs: int
    peaks: np.ndarray
    peaks_per_s: float


def make_preview(project: Project, tracks: Tracks, *, progress: bool = True) -> Preview:
    """Make what is not in the project's folder yet: one streaming pass over the video, one over the new audio."""
    info, (audio_start_s, audio_end_s) = project.video, parse_trim(project.settings.trim_audio)
    key = key_of(VERSION, content_id(info.path), info.start_s, tracks.pts, tracks.end_pts)
    video, thumbs = project.folder / f"proxy-{key}.mp4", project.folder / f"thumbs-{key}.jpg"
    n_thumbs = min(MOST_THUMBS, tracks.n_frames)
    if not (video.is_file() and thumbs.is_file()):
        _remove(project.folder, "proxy-*.mp4", "thumbs-*.jpg")
        with replace_when_whole(thumbs) as thumbs_part, replace_when_whole(video) as video_part:
            tiles = _write_proxy(info, tracks, video_part, n_thumbs, progress=progress)
            thumbs_part.write_bytes(_jpeg(np.hstack(tiles), quality=70))
    key = key_of(VERSION, content_id(project.audio.path), audio_start_s, audio_end_s, tracks.end_s)
    audio, peaks = project.folder / f"hear-{key}.m4a", project.folder / f"peaks-{key}.npy"
    peaks_per_s = min(PEAKS_PER_S, MOST_PEAKS / tracks.end_s)
    if not (audio.is_file() and peaks.is_file()):
        _remove(project.folder, "hear-*.m4a", "peaks-*.npy")
        end_s = audio_start_s + tracks.end_s if audio_end_s is None else min(audio_end_s, audio_start_s + tracks.end_s)
        with replace_when_whole(peaks) as peaks_part, replace_when_whole(audio) as audio_part:
            blocks = read_audio(project.audio.path, SOUND_HZ, start_s=audio_start_s, end_s=end_s)
            np.save(peaks_part, _write_sound(blocks, audio_part, peaks_per_s))
    return Preview(video, audio, thumbs, n_thumbs, np.load(peaks), peaks_per_s)


def read_still(proxy: Path, time_s: float) -> bytes:
    """The frame of a proxy that is shown from `time_s` on (seconds of the proxy), as JPEG."""
    with av.open(str(proxy)) as container:
        stream = container.streams.video[0]
        container.seek(int(time_s / (stream.time_base or 1)), stream=stream, backward=True)
        shown = None
        for frame in container.decode(stream):
            if shown is not None and (frame.time or 0) > time_s + 1e-4:
                break
            shown = frame
        if shown is None:
            raise RunError(f"{proxy.name} has no frame at {time_s:.3f} s: delete it, and open the picker again")
        return _jpeg(shown.to_ndarray(format="bgr24"), quality=85)


def _remove(folder: Path, *patterns: str) -> None:
    for pattern in patterns:  # of another video or trim
        for stale in folder.glob(pattern):
            stale.unlink()


def _jpeg(picture_bgr: np.ndarray, quality: int) -> bytes:
    return cv2.imencode(".jpg", picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


# ── the video ──────────────────────────────────────────────────────────────────────────────────────────────────────


def proxy_size(info: VideoInfo, duration_s: float) -> tuple[int, int]:
    """Width and height of the proxy in square pixels, even, never more than the source has."""
    width, height = float(info.width_px * info.sample_aspect), float(info.height_px)
    side = max(MIN_SIDE_PX, SIDE_PX * min(1.0, (FULL_SIZE_S / duration_s) ** 0.5))
    scale = min(1.0, side / max(width, height))
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _write_proxy(info: VideoInfo, tracks: Tracks, out: Path, n_thumbs: int, *, progress: bool) -> list[np.ndarray]:
    """Write the proxy and return its thumbnails, (h, w, 3) uint8 BGR."""
    size = proxy_size(info, tracks.end_s)
    wanted = ((np.arange(n_thumbs) + 0.5) * tracks.n_frames / n_thumbs).astype(int)
    thumb_px = (max(1, round(THUMB_SIDE_PX * size[0] / max(size))), max(1, round(THUMB_SIDE_PX * size[1] / max(size))))
    thumbs: list[np.ndarray] = []
    first_pts = int(tracks.pts[0])
    first_s, left_s = float(tracks.times_s[0]), tracks.end_s - float(tracks.times_s[0])
    heard: Iterator[np.ndarray] = iter(())
    try:
        with av.open(str(out), "w", format="mp4", options={"movflags": "faststart"}) as container:
            picture = _add_picture(container, info, size, left_s)
            sound = _SoundTrack(container) if info.has_audio else None
            if sound is not None:
                start_s = info.start_s + first_s
                heard = read_audio(info.path, SOUND_HZ, start_s=start_s, end_s=start_s + left_s)
            bar = tqdm(total=tracks.n_frames, desc="preview", unit="frame", disable=not progress, leave=False)
            with bar:
                for index, frame in enumerate(read_frames(info)):
                    while sound is not None and sound.end_s <= float((frame.pts - first_pts) * info.time_base):
                        if (block := next(heard, None)) is None:
                            break
                        sound.write(block)
                    small = _scaled(frame, size)
                    small.pts, small.time_base = frame.pts - first_pts, info.time_base
                    container.mux(picture.encode(small))
                    if index in wanted:
                        tile = frame_to_bgr(frame, info.color, 2 * THUMB_SIDE_PX)
                        thumbs.append(cv2.resize(tile, thumb_px, interpolation=cv2.INTER_AREA))
                    bar.update()
            container.mux(picture.encode(None))
            if sound is not None:
                sound.close()
    except (FFmpegError, OSError) as error:
        raise RunError(f"cannot write the preview: {reason(error)}; is the disk full?") from error
    return thumbs


def _add_picture(container: Any, info: VideoInfo, size: tuple[int, int], duration_s: float) -> Any:
    stream = container.add_stream("libx264", rate=info.rate)
    stream.time_base = info.time_base
    context = stream.codec_context
    context.width, context.height = size
    context.pix_fmt = "yuv420p"
    context.time_base = info.time_base
    context.gop_size = GOP
    # A small picture that does not name its colours is taken for BT.601, whatever its source was.
    is_hd = min(info.width_px, info.height_px) >= 720
    color = replace(info.color, matrix=BT709) if info.color.matrix == 2 and is_hd else info.color
    context.color_primaries, context.color_trc = color.primaries, color.transfer
    context.colorspace, context.color_range = color.matrix, color.range
    bits_per_s = round(8 * MOST_BYTES / max(duration_s, 1.0)) - SOUND_BITS_PER_S
    limit = {"maxrate": str(min(8_000_000, bits_per_s)), "bufsize": str(min(8_000_000, 2 * bits_per_s))}
    context.options = {"crf": str(CRF), "preset": "veryfast", "bf": "0", **limit}
    return stream


def _scaled(frame: Frame, size: tuple[int, int]) -> VideoFrame:
    sizes = (size, (size[0] // 2, size[1] // 2), (size[0] // 2, size[1] // 2))
    planes = [
        cv2.resize(np.ascontiguousarray(plane), plane_size, interpolation=cv2.INTER_AREA).ravel()
        for plane, plane_size in zip(frame.planes, sizes, strict=True)
    ]
    packed: Any = np.concatenate(planes).reshape(size[1] * 3 // 2, size[0])
    return VideoFrame.from_ndarray(packed, format="yuv420p")


# ── the sound ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _SoundTrack:
    """An AAC track that is written block by block, mono float32 at `SOUND_HZ`."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._stream: Any = container.add_stream("aac", rate=SOUND_HZ, layout="mono")
        self._stream.bit_rate = SOUND_BITS_PER_S
        self._count = 0

    @property
    def end_s(self) -> float:
        return self._count / SOUND_HZ

    def write(self, block: np.ndarray) -> None:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="mono")
        frame.rate, frame.pts, frame.time_base = SOUND_HZ, self._count, Fraction(1, SOUND_HZ)
        self._count += block.shape[1]
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))


def _write_sound(blocks: Iterator[np.ndarray], out: Path, peaks_per_s: float) -> np.ndarray:
    """Write m4a, and return the peaks (n,) uint8."""
    peaks = np.zeros(0, np.float32)
    count = 0
    with av.open(str(out), "w", format="mp4", options={"movflags": "faststart"}) as container:
        track = _SoundTrack(container)
        for block in blocks:
            track.write(block)
            bins = ((count + np.arange(block.shape[1])) * (peaks_per_s / SOUND_HZ)).astype(int)
            count += block.shape[1]
            peaks = np.pad(peaks, (0, bins[-1] + 1 - len(peaks)))
            np.maximum.at(peaks, bins, np.abs(block[0]))
        track.close()
    return np.round(255 * np.clip(peaks, 0, 1)).astype(np.uint8)
