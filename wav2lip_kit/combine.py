"""Joining the rendered parts and the new audio into the final video, without encoding a picture again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.error import FFmpegError

from .audio import AudioInfo, read_audio
from .errors import RunError
from .media import reason
from .notices import notice
from .sounds import Sound

AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1")
BITRATE_PER_CHANNEL = 96_000
FADE_S = 0.008
"""Between the new audio and that of a segment, so that nothing clicks."""


@dataclass(frozen=True, eq=False)
class Insert:
    """A sound that is heard in place of the new audio from `start_s` to `end_s` of the result, from its own start."""

    sound: Sound
    start_s: float
    end_s: float


def combine_parts(
    parts: Sequence[Path],
    audio: AudioInfo,
    out: Path,
    *,
    end_pts: int,
    time_base: Fraction,
    audio_start_s: float = 0.0,
    audio_end_s: float | None = None,
    inserts: Sequence[Insert] = (),
    comment: str = "",
    on_packet: Callable[[], object] = lambda: None,
) -> None:
    """Copy the packets of all parts, one after the other, and encode the audio once, whole.

    The parts carry absolute time stamps. Their decode times are made anew, because each part begins its own: the k-th
    packet is decoded when the (k − d)-th frame is shown, d being how far frames are reordered.

    Args:
        parts: Files of `sync.render`, in the order of the result.
        audio: The new audio; cut at the end of the video, or followed by silence up to it.
        out: The mp4 to write; write it under a temporary name.
        end_pts: Where the last frame ends, in ticks of `time_base`.
        time_base: Of the parts.
        audio_start_s: Where the audio's own trim starts.
        audio_end_s: Where it ends.
        inserts: Other audio to be heard in places, in the order of time, not overlapping.
        comment: Goes into the file's metadata.
        on_packet: Called after every video packet, for progress.

    Raises:
        RunError: If the parts do not fit together, or the disk is full.
    """
    try:
        with av.open(str(out), "w", format="mp4", options={"movflags": "faststart"}) as container:
            if comment:
                container.metadata["comment"] = comment
            with av.open(str(parts[0])) as first:
                video = container.add_stream_from_template(first.streams.video[0])
            video.time_base = time_base
            stream = _add_audio_stream(container, audio)
            end_s = float(end_pts * time_base)
            packets = heapq.merge(
                _video_packets(parts, video, end_pts, time_base),
                _audio_packets(audio, audio_start_s, audio_end_s, inserts, stream, end_s),
                key=lambda timed: timed[0],
            )
            for _, packet in packets:
                container.mux(packet)
                if packet.stream is video:
                    on_packet()
    except (FFmpegError, OSError) as error:
        raise RunError(f"cannot write {str(out)!r}: {reason(error)}; is the disk full?") from error


def _video_packets(parts: Sequence[Path], video: Any, end_pts: int, time_base: Fraction) -> Iterator[tuple[float, Any]]:
    coded = []
    for part in parts:
        with av.open(str(part)) as container:
            stream = container.streams.video[0]
            if stream.codec_context.extradata != video.codec_context.extradata or stream.time_base != time_base:
                raise RunError(
                    f"{part.name} was encoded differently from {parts[0].name}: "
                    f"delete the folder {str(part.parent)!r} and sync again"
                )
            coded += [p.pts for p in container.demux(stream) if p.pts is not None]
    shown = sorted(coded)
    if len(set(shown)) != len(shown):
        raise RunError(f"parts in {str(parts[0].parent)!r} overlap in time; delete that folder and sync again")
    rank = {pts: k for k, pts in enumerate(shown)}
    delay = max(k - rank[pts] for k, pts in enumerate(coded))
    step = max(1, shown[1] - shown[0]) if len(shown) > 1 else 1
    decode = [shown[0] - (delay - k) * step for k in range(delay)] + shown[: len(shown) - delay]
    k = 0
    for part in parts:
        with av.open(str(part)) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is None:
                    continue
                packet.dts, packet.stream, packet.time_base = decode[k], video, time_base
                packet.duration = decode[k + 1] - decode[k] if k + 1 < len(decode) else 0
                if k + 1 == len(decode):  # the last one makes the track end where the last frame does
                    packet.duration = max(1, end_pts - shown[0] - (decode[k] - decode[0]))
                k += 1
                yield float(packet.dts * time_base), packet


def _add_audio_stream(container: Any, audio: AudioInfo) -> Any:
    """An AAC stream at the audio's own rate and layout; the nearest that AAC has where it lacks them."""
    rate_hz = next((r for r in AAC_RATES_HZ if r >= audio.rate_hz), AAC_RATES_HZ[-1])
    layout = audio.layout if audio.layout in AAC_LAYOUTS else ("mono" if audio.channels == 1 else "stereo")
    if (rate_hz, layout) != (audio.rate_hz, audio.layout):
        notice(
            f"{audio.name}: {audio.rate_hz} Hz {audio.layout} becomes {rate_hz} Hz {layout}, the nearest that AAC has"
        )
    stream = container.add_stream("aac", rate=rate_hz, layout=layout)
    # AAC carries at most 6144 bits a frame of 1024 samples and channel.
    stream.bit_rate = min(BITRATE_PER_CHANNEL, 5 * rate_hz) * len(stream.layout.channels)
    return stream


def _audio_packets(
    audio: AudioInfo,
    start_s: float,
    stop_s: float | None,
    inserts: Sequence[Insert],
    stream: Any,
    end_s: float,
) -> Iterator[tuple[float, Any]]:
    rate_hz, layout = stream.rate, stream.layout.name
    blocks = _exactly(read_audio(audio.path, rate_hz, layout, start_s=start_s, end_s=stop_s), layout, end_s * rate_hz)
    for insert in inserts:
        blocks = _with_insert(blocks, insert, rate_hz, layout)
    position = 0
    for block in blocks:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
        frame.rate, frame.pts, frame.time_base = rate_hz, position, Fraction(1, rate_hz)
        position += block.shape[1]
        yield from ((_seconds(p), p) for p in stream.encode(frame))
    yield from ((_seconds(p), p) for p in stream.encode(None))


def _exactly(blocks: Iterator[np.ndarray], layout: str, n_samples: float) -> Iterator[np.ndarray]:
    """The first `n_samples` of a sound, with silence behind it, in blocks (channels, n) float32."""
    left = round(n_samples)
    for block in blocks:
        block = block[:, :left]
        left -= block.shape[1]
        yield block
        if left <= 0:
            return
    n_channels = len(av.AudioLayout(layout).channels)
    while left > 0:
        n = min(left, 480_000)
        left -= n
        yield np.zeros((n_channels, n), np.float32)


def _with_insert(blocks: Iterator[np.ndarray], insert: Insert, rate_hz: int, layout: str) -> Iterator[np.ndarray]:
    """The same blocks, with the insert heard in its place; both fade, the other sound just outside it."""
    start, stop, fade = round(insert.start_s * rate_hz), round(insert.end_s * rate_hz), round(FADE_S * rate_hz)
    others = _exactly(read_audio(insert.sound.info.path, rate_hz, layout), layout, stop - start)
    other = np.zeros((len(av.AudioLayout(layout).channels), 0), np.float32)
    position = 0
    for block in blocks:
        at = position + np.arange(block.shape[1])
        position += block.shape[1]
        if position > start - fade and at[0] < stop + fade:
            outside = np.clip(np.maximum(start - at, at - stop + 1) / fade, 0, 1)
            inside = np.clip(np.minimum(at - start, stop - 1 - at) / fade, 0, 1)
            here = (at >= start) & (at < stop)
            while other.shape[1] < here.sum():
                other = np.concatenate([other, next(others)], axis=1)
            block = block * outside.astype(np.float32)
            block[:, here] += other[:, : here.sum()] * inside[here].astype(np.float32)
            other = other[:, here.sum() :]
        yield block


def _seconds(packet: Any) -> float:
    return float((packet.dts or 0) * packet.time_base)
