"""Sound: decoding anything FFmpeg reads, the mel spectrogram Wav2Lip was trained on, and its windows.

    S = clip(1.6 · log10(max(1e-5, M·|STFT(x[n] − 0.97·x[n−1])|)) + 2.4, −4, 4)

sampled every 12.5 ms (80 a second); digital silence is −4. A frame shown at t seconds is given the 16 columns that
start at 80·t − 3.2: training pairs frame f of a 25 frames/s video with column 3.2·(f − 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.error import InvalidDataError

from .errors import MediaError
from .files import StrPath, replace_when_whole
from .media import check_codec, claimed_end_s, container_start_s, open_media
from .notices import notice
from .timing import format_time

SAMPLE_RATE_HZ = 16_000
N_FFT, HOP = 800, 200
N_MELS = 80
MEL_RATE_HZ = SAMPLE_RATE_HZ / HOP  # 80 columns a second
WINDOW = 16  # columns, 0.2 s
LEAD = 3.2  # columns by which a window starts before its frame: one frame of the 25 frames/s training video
SILENCE = -4.0

MIX_GAIN = np.float32(np.sqrt(0.5))
"""FFmpeg adds channels up to mono by their power; with this, two channels become their mean, as in the reference."""
BLOCK_S = 10
GAP_S = 0.03
"""Sound missing for longer than this, by its time stamps, is replaced by silence; shorter, it is their jitter."""


@dataclass(frozen=True)
class AudioInfo:
    """What is known of an audio track; `duration_s`, from time zero, is 0 where the headers do not say."""

    path: Path
    name: str
    """What messages call it."""
    rate_hz: int
    channels: int
    layout: str
    codec: str
    duration_s: float

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.rate_hz} Hz, {self.layout}, {format_time(self.duration_s, decimals=1)}, {self.codec}"
        )


def probe_audio(path: StrPath) -> AudioInfo:
    """Look at an audio file, or at the sound of a video; decodes the first samples to be sure that they can be read.

    Raises:
        MediaError: If nothing is there, it has no sound, or the sound has no samples.
    """
    path = Path(path)
    with open_media(path) as container:
        stream = _audio_stream(container, path)
        context = stream.codec_context
        duration_s = claimed_end_s(container, stream)
        channels = context.layout.nb_channels
        layout = context.layout.name
        if layout == f"{channels} channels":  # WAV files often leave the order of channels open
            layout = {1: "mono", 2: "stereo", 6: "5.1"}.get(channels, str(layout))
        info = AudioInfo(path, path.name, context.rate, channels, layout, context.name, duration_s)
    if next(read_audio(path), None) is None:
        raise MediaError(f"{str(path)!r} holds no sound (0 samples); export it again or give another audio file")
    return info


def _audio_stream(container: Any, path: Path) -> Any:
    """The best audio stream that can be decoded; phones put spatial sound, which FFmpeg lacks, beside the stereo."""
    best = container.streams.best("audio")
    streams = sorted(container.streams.audio, key=lambda s: (s.codec_context is None, s is not best))
    stream = next(iter(streams), None)
    if stream is None:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise MediaError(f"{str(path)!r} has no sound (it holds: {kinds}); give an audio file or a video with sound")
    check_codec(stream, path)
    return stream


def read_audio(
    path: StrPath,
    rate_hz: int = SAMPLE_RATE_HZ,
    layout: str = "mono",
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Iterator[np.ndarray]:
    """Decode sound in blocks of (channels, n) float32 in -1..1, resampled to `rate_hz` and `layout`.

    The first sample belongs to the container's time zero (or to `start_s`): sound that begins later in a video is
    preceded by silence. Damaged packets are passed over, with silence in their place.

    Raises:
        MediaError: If the file has no sound.
    """
    path = Path(path)
    skip = round(start_s * rate_hz)
    left = None if end_s is None else round(end_s * rate_hz) - skip
    for block in _resampled(path, rate_hz, layout):
        if skip >= block.shape[1]:
            skip -= block.shape[1]
            continue
        block = block[:, skip:] if left is None else block[:, skip : skip + left]
        skip = 0
        if block.shape[1]:
            yield block
        if left is not None:
            left -= block.shape[1]
            if left <= 0:
                return


def _resampled(path: Path, rate_hz: int, layout: str) -> Iterator[np.ndarray]:
    """Blocks of about `BLOCK_S` from time zero on."""
    pending: list[np.ndarray] = []
    count = 0
    for piece in _pieces(path, rate_hz, layout):
        pending.append(piece)
        count += piece.shape[1]
        if count >= BLOCK_S * rate_hz:
            yield np.concatenate(pending, axis=1)
            pending, count = [], 0
    if pending:
        yield np.concatenate(pending, axis=1)


def _pieces(path: Path, rate_hz: int, layout: str) -> Iterator[np.ndarray]:
    """Decoded frames, resampled; silence where the time stamps leave a gap, before the first frame as well."""
    n_channels = len(av.AudioLayout(layout).channels)
    resampler: Any = None
    form: tuple[str, str, int] | None = None
    gain = np.float32(1)
    heard_s = Fraction(0)
    count = 0
    with open_media(path) as container:
        stream = _audio_stream(container, path)
        start_s, end_s = container_start_s(container), claimed_end_s(container, stream)
        for frame in _decode_audio(container, stream, path.name):
            frame_s = heard_s if frame.pts is None else frame.pts * frame.time_base - start_s
            if end_s and frame_s > end_s:  # a time stamp behind the end of the file is wrong
                frame_s = heard_s
            frame_form = (frame.format.name, frame.layout.name, frame.sample_rate)
            if resampler is None or frame_form != form or frame_s - heard_s > GAP_S:
                for piece in _resample(resampler, None, gain):
                    count += piece.shape[1]
                    yield piece
                resampler, form = av.AudioResampler(format="fltp", layout=layout, rate=rate_hz), frame_form
                is_mixed = layout == "mono" and frame.layout.nb_channels > 1
                gain = MIX_GAIN if is_mixed else np.float32(1)
                heard_s = max(heard_s, frame_s)
                for n in _split(round(heard_s * rate_hz) - count, BLOCK_S * rate_hz):
                    count += n
                    yield np.zeros((n_channels, n), np.float32)
            heard_s += Fraction(frame.samples, frame.sample_rate)
            frame.pts = None  # the resampler would refuse a track whose time stamps jump
            for piece in _resample(resampler, frame, gain):
                count += piece.shape[1]
                yield piece
        yield from _resample(resampler, None, gain)


def _resample(resampler: Any, frame: Any, gain: np.float32) -> Iterator[np.ndarray]:
    if resampler is not None:
        yield from (resampled.to_ndarray() * gain for resampled in resampler.resample(frame))


def _split(total: int, most: int) -> Iterator[int]:
    """`total` in pieces of `most`, the last one shorter; nothing when it is not above 0."""
    return (min(most, total - done) for done in range(0, total, most))


def _decode_audio(container: Any, stream: Any, name: str) -> Iterator[Any]:
    packets = container.demux(stream)
    is_told = False
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except InvalidDataError:
            if not is_told:
                notice(f"{name}: the file is damaged in places; the sound is silent there")
                is_told = True
        except av.error.EOFError:
            return


# ── mel ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=1)
def _mel_basis() -> np.ndarray:
    import librosa

    return librosa.filters.mel(sr=SAMPLE_RATE_HZ, n_fft=N_FFT, n_mels=N_MELS, fmin=55, fmax=7600)


def mel_blocks(waves: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The mel spectrogram of a wave that comes in blocks: (n,) float32 at 16 kHz in, (80, m) float32 out.

    The blocks, put together, are exactly the spectrogram of the whole wave: 1 + n // 200 columns, column k centred on
    sample 200·k.
    """
    import librosa

    def columns(padded: np.ndarray) -> np.ndarray:
        magnitude = np.abs(librosa.stft(padded, n_fft=N_FFT, hop_length=HOP, center=False))
        return np.clip(1.6 * np.log10(np.maximum(1e-5, _mel_basis() @ magnitude)) + 2.4, SILENCE, -SILENCE)

    buffer = np.zeros(N_FFT // 2, np.float32)  # what `center=True` puts before the first sample
    last = np.zeros(1, np.float32)
    for wave in waves:
        wave = np.asarray(wave, np.float32)
        if not wave.size:
            continue
        emphasised = wave - 0.97 * np.concatenate([last, wave[:-1]])
        last = wave[-1:]
        buffer = np.concatenate([buffer, emphasised])
        if buffer.size >= BLOCK_S * SAMPLE_RATE_HZ:
            n = (buffer.size - N_FFT) // HOP + 1
            yield columns(buffer[: N_FFT + (n - 1) * HOP])
            buffer = buffer[n * HOP :]
    yield columns(np.concatenate([buffer, np.zeros(N_FFT // 2, np.float32)]))


def mel_spectrogram(wave_16k: np.ndarray) -> np.ndarray:
    """The spectrogram the network hears.

    Args:
        wave_16k: (n,) samples in -1..1 at 16 kHz.

    Returns:
        (80, 1 + n // 200) float32 in -4..4; silence is -4.

    Raises:
        ValueError: If `wave_16k` is not one-dimensional.
    """
    wave_16k = np.asarray(wave_16k)
    if wave_16k.ndim != 1:
        raise ValueError(f"wave_16k must be one-dimensional (mono), got {wave_16k.shape = }")
    return np.concatenate(list(mel_blocks([wave_16k])), axis=1)


def write_mel(
    audio: StrPath, out: StrPath, *, start_s: float = 0.0, end_s: float | None = None
) -> tuple[np.ndarray, float]:
    """Compute the mel spectrogram of an audio file of any length into the file `out`, in flat memory.

    Returns:
        The spectrogram (80, n), mapped from the file, and the sound's length in seconds.
    """
    n_samples = 0

    def waves() -> Iterator[np.ndarray]:
        nonlocal n_samples
        for block in read_audio(audio, start_s=start_s, end_s=end_s):
            n_samples += block.shape[1]
            yield block[0]

    with replace_when_whole(out) as part, part.open("wb") as file:
        for mel in mel_blocks(waves()):
            file.write(np.ascontiguousarray(mel.T, np.float32).tobytes())
    return np.memmap(out, np.float32, mode="r").reshape(-1, N_MELS).T, n_samples / SAMPLE_RATE_HZ


def mel_windows(mel: np.ndarray, times_s: np.ndarray, shift_s: float = 0.0) -> np.ndarray:
    """Cut the window of every frame, by absolute time.

    Args:
        mel: (80, n) float32.
        times_s: (T,) when each frame is shown, in seconds of the audio.
        shift_s: Takes the sound from this much later; a positive shift moves the mouth earlier.

    Returns:
        (T, 1, 80, 16) float32; columns before the start and behind the end of the sound are silence (-4).
    """
    starts = np.round(MEL_RATE_HZ * (np.asarray(times_s, np.float64) + shift_s) - LEAD).astype(np.int64)
    columns = starts[:, None] + np.arange(WINDOW)
    inside = (columns >= 0) & (columns < mel.shape[1])
    windows = np.asarray(mel)[:, np.clip(columns, 0, max(0, mel.shape[1] - 1))]  # (80, T, 16)
    windows = np.where(inside, windows, np.float32(SILENCE))
    return np.ascontiguousarray(windows.transpose(1, 0, 2)[:, None], np.float32)
