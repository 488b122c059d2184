"""Sound: what is decoded, where it lies in time, and what the network hears of it."""

from __future__ import annotations

import random
import tracemalloc
import wave
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from clips import make_clip, make_sound, make_tone
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2lip_kit.audio import (
    HOP,
    MEL_RATE_HZ,
    SAMPLE_RATE_HZ,
    SILENCE,
    WINDOW,
    mel_blocks,
    mel_spectrogram,
    mel_windows,
    probe_audio,
    read_audio,
    write_mel,
)
from wav2lip_kit.errors import MediaError
from wav2lip_kit.notices import collect_notices


def read_whole(path: Path, rate_hz: int = SAMPLE_RATE_HZ, layout: str = "mono", **stretch: float) -> np.ndarray:
    """(channels, n) float32."""
    channels = len(av.AudioLayout(layout).channels)
    return np.concatenate([np.zeros((channels, 0)), *read_audio(path, rate_hz, layout, **stretch)], axis=1)


def write_pcm(path: Path, samples: np.ndarray, rate_hz: int) -> Path:
    """A 16-bit WAV of (n,) or (channels, n) in -1..1."""
    samples = np.atleast_2d(samples)
    with wave.open(str(path), "wb") as file:
        file.setparams((len(samples), 2, rate_hz, 0, "NONE", ""))
        file.writeframes(np.round(samples.T * 32767).astype("<i2").tobytes())
    return path


def onset_s(samples: np.ndarray, rate_hz: int = SAMPLE_RATE_HZ) -> float:
    return float(np.flatnonzero(np.abs(samples) > 0.05)[0] / rate_hz)


# ── mel ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["LJ001-0001", "jfk", "sweep"])
def test_mel_is_the_reference_s(name: str, shared_goldens: Path) -> None:
    golden = np.load(shared_goldens / "mel.npz")
    mel = mel_spectrogram(golden[f"{name}_wave"])
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, golden[f"{name}_mel"], atol=1e-4, rtol=0)


def test_mel_by_the_book() -> None:
    """The formula, written out with plain sums, at three columns of a noise; needs no golden file."""
    import librosa

    wave_16k = np.random.default_rng(0).uniform(-0.5, 0.5, 4000)
    emphasised = np.append(wave_16k[0], wave_16k[1:] - 0.97 * wave_16k[:-1])
    padded = np.pad(emphasised, 400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
    basis = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    mel = mel_spectrogram(wave_16k)
    for column in (0, 7, 20):
        spectrum = np.abs(np.fft.rfft(padded[200 * column : 200 * column + 800] * hann))
        want = np.clip((20 * np.log10(np.maximum(1e-5, basis @ spectrum)) - 20 + 100) / 100 * 8 - 4, -4, 4)
        np.testing.assert_allclose(mel[:, column], want, atol=1e-4)


@pytest.mark.parametrize("n", [0, 1, 199, 200, 201, 3199, 16_000, 16_001])
def test_one_column_for_every_200_samples(n: int) -> None:
    assert mel_spectrogram(np.full(n, 0.1, np.float32)).shape == (80, 1 + n // HOP)


def test_silence_is_exactly_minus_four() -> None:
    assert (mel_spectrogram(np.zeros(5000, np.float32)) == SILENCE).all()


def test_loud_noise_is_clipped_at_four() -> None:
    mel = mel_spectrogram(np.random.default_rng(0).choice([-1.0, 1.0], 16_000) * 1000)
    assert mel.max() == 4.0


def test_stereo_is_refused() -> None:
    with pytest.raises(ValueError, match="one-dimensional"):
        mel_spectrogram(np.zeros((2, 16_000)))


NOISE = np.random.default_rng(3).uniform(-0.8, 0.8, 200_000).astype(np.float32)
NOISE_MEL = mel_spectrogram(NOISE)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 170_000), max_size=12))
def test_mel_in_blocks_is_the_mel_of_the_whole(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(NOISE)]
    blocks = [NOISE[a:b] for a, b in pairwise(edges)]
    mel = np.concatenate(list(mel_blocks(blocks)), axis=1)
    assert mel.shape == NOISE_MEL.shape
    np.testing.assert_allclose(mel, NOISE_MEL, atol=1e-5)


def test_mel_in_many_tiny_blocks() -> None:
    mel = np.concatenate(list(mel_blocks(NOISE[k : k + 333] for k in range(0, len(NOISE), 333))), axis=1)
    np.testing.assert_allclose(mel, NOISE_MEL, atol=1e-5)


def test_written_mel_is_that_of_the_decoded_sound(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.flac", 25.3, 44_100, "stereo")
    mel, audio_s = write_mel(path, tmp_path / "mel.f32", start_s=1.5)
    wave_16k = read_whole(path, start_s=1.5)[0]
    np.testing.assert_allclose(mel, mel_spectrogram(wave_16k), atol=1e-5)
    assert audio_s == len(wave_16k) / SAMPLE_RATE_HZ == pytest.approx(23.8, abs=0.001)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.flac", "mel.f32"]


# ── windows ────────────────────────────────────────────────────────────────────────────────────────────────────────


def counting_mel(n: int) -> np.ndarray:
    """Column k holds k, scaled into -4..4."""
    return np.tile(np.arange(n, dtype=np.float32) / n, (80, 1))


def columns_of(windows: np.ndarray, n: int) -> np.ndarray:
    """Which column stands at each place of each window; -1 for silence."""
    values = windows[:, 0, 0]
    return np.where(values == SILENCE, -1, np.round(values * n)).astype(int)


def test_window_starts_at_80_t_minus_3_2() -> None:
    mel = counting_mel(1000)
    times_s = np.array([1.0, 1.04, 1.08, 2.5021, 1001 / 30000 * 77])
    windows = mel_windows(mel, times_s)
    assert (windows.shape, windows.dtype) == ((5, 1, 80, WINDOW), np.float32)
    starts = columns_of(windows, 1000)[:, 0]
    assert starts.tolist() == [77, 80, 83, 197, 202]
    np.testing.assert_array_equal(columns_of(windows, 1000), starts[:, None] + np.arange(WINDOW))


def test_windows_do_not_drift_in_an_hour() -> None:
    mel = np.zeros((80, 80 * 3601), np.float32)
    mel[:, 80 * 3600 :] = 1
    times_s = 3600 + np.arange(-4, 5) * 1001 / 30000
    first = (mel_windows(mel, times_s)[:, 0, 0] == 1).argmax(axis=1)
    want = 80 * 3600 - np.round(80 * times_s - 3.2)
    np.testing.assert_array_equal(first, np.where(want < WINDOW, np.maximum(want, 0), 0))


def test_windows_are_padded_with_silence_at_both_ends() -> None:
    columns = columns_of(mel_windows(counting_mel(100), np.array([0.0, 1.2, 5.0])), 100)
    assert columns[0].tolist() == [-1, -1, -1, *range(13)]
    assert columns[1].tolist() == [*range(93, 100), *[-1] * 9]
    assert columns[2].tolist() == [-1] * WINDOW


@pytest.mark.parametrize("n", [1, 100, 3000])
def test_sound_shorter_than_a_window(n: int) -> None:
    mel = mel_spectrogram(np.full(n, 0.5, np.float32))
    window = mel_windows(mel, np.array([0.0]))[0, 0]
    np.testing.assert_array_equal(window[:, 3 : 3 + mel.shape[1]], mel[:, : WINDOW - 3])
    assert (window[:, :3] == SILENCE).all()
    assert (window[:, 3 + mel.shape[1] :] == SILENCE).all()


def test_a_positive_shift_hears_what_comes_later() -> None:
    mel, times_s = counting_mel(1000), np.array([2.0, 3.0])
    np.testing.assert_array_equal(mel_windows(mel, times_s, 0.1), mel_windows(mel, times_s + 0.1))
    starts = columns_of(mel_windows(mel, times_s, 0.1), 1000)[:, 0] - columns_of(mel_windows(mel, times_s), 1000)[:, 0]
    assert starts.tolist() == [8, 8]


def test_a_click_is_heard_by_the_frames_around_it() -> None:
    """A click at 1.000 s: column 80. The window of the frame at t covers 80 t - 3.2 … 80 t + 12.8."""
    wave_16k = np.zeros(32_000, np.float32)
    wave_16k[16_000] = 1
    loudest = mel_spectrogram(wave_16k).sum(axis=0).argmax()
    assert loudest == MEL_RATE_HZ
    times_s = np.arange(50) / 25
    hears = (mel_windows(mel_spectrogram(wave_16k), times_s)[:, 0] > SILENCE).any(axis=(1, 2))
    assert np.flatnonzero(hears).tolist() == list(range(21, 27))  # 0.84 s to 1.04 s, two columns of spread


# ── decoding ───────────────────────────────────────────────────────────────────────────────────────────────────────

KINDS = [  # suffix, codec, sample rate, layout
    (".wav", "pcm_s16le", 8_000, "mono"),
    (".wav", "pcm_s16le", 11_025, "mono"),
    (".wav", "pcm_s24le", 44_100, "stereo"),
    (".wav", "pcm_f32le", 96_000, "stereo"),
    (".wav", "pcm_s16le", 192_000, "mono"),
    (".wav", "pcm_s16le", 48_000, "5.1"),
    (".flac", "flac", 22_050, "mono"),
    (".flac", "flac", 48_000, "5.1"),
    (".mp3", "libmp3lame", 44_100, "stereo"),
    (".mp3", "libmp3lame", 16_000, "mono"),
    (".m4a", "aac", 48_000, "5.1"),
    (".m4a", "aac", 44_100, "stereo"),
    (".ogg", "libopus", 48_000, "stereo"),
    (".webm", "libopus", 48_000, "mono"),
    (".mka", "pcm_s16le", 32_000, "stereo"),
]


@pytest.mark.parametrize(("suffix", "codec", "rate_hz", "layout"), KINDS, ids=lambda v: str(v))
def test_kinds_of_sound(suffix: str, codec: str, rate_hz: int, layout: str, tmp_path: Path) -> None:
    """A second of silence, a second of a tone in every channel, half a second of silence."""
    path = tmp_path / f"a{suffix}"
    tone = make_tone(1.0, rate_hz)
    mono = np.concatenate([np.zeros(rate_hz, np.float32), tone, np.zeros(rate_hz // 2, np.float32)])
    channels = len(av.AudioLayout(layout).channels)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate_hz, layout=layout)
        frame = AudioFrame.from_ndarray(np.tile(mono, (channels, 1)), format="fltp", layout=layout)
        frame.rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate_hz)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))
    info = probe_audio(path)
    assert (info.rate_hz, info.channels) == (rate_hz, channels)
    assert info.duration_s == pytest.approx(2.5, abs=0.06)
    heard = read_whole(path)
    lossless = codec.startswith("pcm") or codec == "flac"
    assert heard.shape[0] == 1
    # A lossy coder rounds up to its own frame, and MP3 keeps some of its delay.
    assert -0.001 <= heard.shape[1] / 16_000 - 2.5 <= (0.001 if lossless else 0.08)
    assert onset_s(heard[0]) == pytest.approx(1.0, abs=0.002 if lossless else 0.005)
    middle = heard[0, 20_000:28_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * 2 == pytest.approx(440, abs=2)
    # Two equal channels are as loud as one of them; of 5.1, 0.5 + 0.5 + 0.71 + 2 · 0.35 come together.
    assert np.abs(middle).max() == pytest.approx(0.2 * (2.41 if channels == 6 else 1), rel=0.05)
    own = read_whole(path, rate_hz, layout)
    assert own.shape[0] == channels
    if lossless:
        assert own.shape[1] == len(mono), "at its own rate every sample is there"
        np.testing.assert_allclose(own[0], mono, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "duration_s"),
    [
        ("jfk.flac", 11.0),
        ("LJ001-0001.mp3", 9.655),
        ("LJ001-0001.wav", 9.655),
        ("nasa_8k_stereo.mp3", 13.1),
        ("mandarin_48k.wav", 3.4),
    ],
)
def test_real_sounds(name: str, duration_s: float, shared_media: Path) -> None:
    heard = read_whole(shared_media / "audio" / name)
    assert heard.shape[1] / SAMPLE_RATE_HZ == pytest.approx(duration_s, abs=0.1)
    assert np.abs(heard).max() > 0.1


def test_mp3_and_wav_of_the_same_words_agree_in_time(shared_media: Path) -> None:
    a, b = (read_whole(shared_media / "audio" / f"LJ001-0001.{s}")[0] for s in ("wav", "mp3"))
    n = min(len(a), len(b))
    lag = np.fft.irfft(np.fft.rfft(a[:n], 2 * n).conj() * np.fft.rfft(b[:n], 2 * n)).argmax()
    assert min(lag, 2 * n - lag) / SAMPLE_RATE_HZ < 0.06


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8, 12])
def test_any_number_of_channels_becomes_one(channels: int, tmp_path: Path) -> None:
    """Field recorders write WAV files that do not say what their channels are."""
    path = write_pcm(tmp_path / "a.wav", np.tile(make_tone(1.0, 16_000), (channels, 1)), 16_000)
    info = probe_audio(path)
    heard = read_whole(path)
    assert info.channels == channels
    assert heard.shape == (1, 16_000)
    assert 0.1 < np.abs(heard).max() < 1


def test_mono_is_the_mean_of_left_and_right(tmp_path: Path) -> None:
    """As the reference loads its sound; twice as loud, or louder by 3 dB, would be another spectrogram."""
    left, right = make_tone(1.0, 16_000), make_tone(1.0, 16_000, 700)
    heard = read_whole(write_pcm(tmp_path / "a.wav", np.stack([left, right]), 16_000))[0]
    np.testing.assert_allclose(heard, (left + right) / 2, atol=1e-4)


def test_a_stretch_is_exact_to_the_sample(tmp_path: Path) -> None:
    path = write_pcm(tmp_path / "a.wav", np.arange(40 * 16_000) % 20_000 / 32767, 16_000)
    whole = read_whole(path)
    assert whole.shape == (1, 640_000)
    for start_s, end_s in [(0.0, 1.0), (0.30001, 0.30009), (9.99, 10.01), (12.345, 32.1), (39.5, 60.0)]:
        first, last = round(start_s * 16_000), round(end_s * 16_000)
        np.testing.assert_array_equal(read_whole(path, start_s=start_s, end_s=end_s), whole[:, first:last])
    assert read_whole(path, start_s=40.0).shape == (1, 0)
    np.testing.assert_array_equal(read_whole(path, start_s=39.0), whole[:, 39 * 16_000 :])


def test_resampling_leaves_no_seam_and_loses_nothing(tmp_path: Path) -> None:
    """Across the edges of blocks and codec frames a tone stays a tone, and its length stays right."""
    tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(44_100 * 25) / 44_100)
    heard = read_whole(write_pcm(tmp_path / "a.wav", tone, 44_100))[0]
    assert abs(len(heard) - 25 * 16_000) <= 1
    want = 0.5 * np.sin(2 * np.pi * 300 * np.arange(len(heard)) / 16_000)
    np.testing.assert_allclose(heard[200:-200], want[200:-200], atol=2e-3)


def write_late_sound(path: Path, packets_out: tuple[int, ...] = (), late_s: float = 0.5) -> Path:
    """A video from 0 s on whose sound, a tone of 2 s, begins later; packets with the given numbers are left out."""
    silent = make_clip(path.with_name("silent.mp4"), 75, 25)
    with av.open(str(silent)) as source, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        sound: Any = container.add_stream("aac", rate=48_000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        tone = AudioFrame.from_ndarray(make_tone(2.0, 48_000)[None], format="fltp", layout="mono")
        tone.rate, tone.pts, tone.time_base = 48_000, round(late_s * 48_000), Fraction(1, 48_000)
        for number, packet in enumerate([*sound.encode(tone), *sound.encode(None)]):
            if number not in packets_out:
                container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_late_sound_of_a_video_is_preceded_by_silence(suffix: str, tmp_path: Path) -> None:
    heard = read_whole(write_late_sound(tmp_path / f"a{suffix}"))[0]
    assert onset_s(heard) == pytest.approx(0.5, abs=0.03)
    assert len(heard) / 16_000 == pytest.approx(2.5, abs=0.05)
    assert (heard[:7000] == 0).all()
    stretch = read_whole(tmp_path / f"a{suffix}", start_s=0.25, end_s=1.25)[0]
    np.testing.assert_array_equal(stretch, heard[4000:20_000])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_gap_in_the_time_stamps_is_silence(suffix: str, tmp_path: Path) -> None:
    """Ten lost packets of 21.3 ms: what follows stays where it was."""
    whole = read_whole(write_late_sound(tmp_path / f"whole{suffix}"))[0]
    heard = read_whole(write_late_sound(tmp_path / f"a{suffix}", packets_out=tuple(range(40, 50))))[0]
    assert len(heard) == pytest.approx(len(whole), abs=32)
    assert (np.abs(heard[22_300:24_000]) < 1e-3).all()
    if suffix == ".mp4":  # Matroska rounds to 1 ms
        np.testing.assert_allclose(heard[30_000:38_000], whole[30_000:38_000], atol=0.02)


def test_damaged_packets_are_passed_over_and_the_rest_stays_in_time(tmp_path: Path) -> None:
    rate_hz = 44_100
    samples = np.zeros(10 * rate_hz, np.float32)
    samples[8 * rate_hz :] = make_tone(2.0, rate_hz)
    samples[: 4 * rate_hz] = make_tone(4.0, rate_hz)
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=rate_hz, layout="mono")
        frame = AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.rate = rate_hz
        for part in (frame, None):
            container.mux(stream.encode(part))
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(audio=0) if p.size]
    data = path.read_bytes()
    for packet in packets[60:80]:
        data = data.replace(packet, random.Random(0).randbytes(len(packet)))
    path.write_bytes(data)
    with collect_notices() as notices:
        heard = read_whole(path)[0]
    assert any("damaged" in n for n in notices)
    assert len(heard) / 16_000 == pytest.approx(10.0, abs=0.06)
    late = heard[6 * 16_000 :]
    assert 6 + onset_s(late) == pytest.approx(8.0, abs=0.035)


def test_a_track_that_changes_its_form_on_the_way(tmp_path: Path) -> None:
    """Broadcast recordings go from stereo to mono, or to another rate, between programmes."""
    parts = []
    for number, (rate_hz, layout) in enumerate([(48_000, "stereo"), (44_100, "mono"), (32_000, "stereo")]):
        part = make_sound(tmp_path / f"{number}.mp3", 1.0, rate_hz, layout)
        with av.open(str(part)) as container:
            parts += [bytes(p) for p in container.demux(audio=0) if p.size][2:]
    path = tmp_path / "joined.mp3"
    path.write_bytes(b"".join(parts))
    heard = read_whole(path)[0]
    assert len(heard) / 16_000 == pytest.approx(3.0, abs=0.3)
    assert np.abs(heard[-8000:-3000]).max() > 0.1


def test_sound_of_a_real_video(shared_media: Path) -> None:
    path = shared_media / "video" / "whgov_hamilton_10s.mp4"
    info = probe_audio(path)
    assert read_whole(path).shape[1] / SAMPLE_RATE_HZ == pytest.approx(info.duration_s, abs=0.05)


# ── wrong inputs ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_sounds(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"no such file.*nothing\.wav"):
        probe_audio(tmp_path / "nothing.wav")
    with pytest.raises(MediaError, match="is a folder"):
        probe_audio(tmp_path)
    (tmp_path / "text.wav").write_text("no sound at all\n" * 50)
    with pytest.raises(MediaError, match="no video or audio file"):
        probe_audio(tmp_path / "text.wav")
    with pytest.raises(MediaError, match="0 samples"):
        probe_audio(write_pcm(tmp_path / "empty.wav", np.zeros(0), 16_000))
    with pytest.raises(MediaError, match=r"has no sound \(it holds: video\)"):
        probe_audio(make_clip(tmp_path / "silent.mp4", 3))


def test_unknown_codec_is_named(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", 0.5)
    data = bytearray(path.read_bytes())
    data[20:22] = b"\x99\x99"  # the format's number
    path.write_bytes(data)
    with pytest.raises(MediaError, match="audio is in a format unknown here"):
        probe_audio(path)


def test_names_in_any_script(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "слова 'новые' \"声\".wav", 0.5)
    assert probe_audio(path).name == path.name
    assert read_whole(path).shape[1] == 8000


# ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_memory_stays_flat_for_long_sound(tmp_path: Path) -> None:
    """Twenty minutes at 16 kHz are 77 MB of samples and 31 MB of mel."""
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        minute = np.round(make_tone(60, 8000) * 32767).astype("<i2").tobytes()
        for _ in range(20):
            file.writeframes(minute)
    mel_spectrogram(np.zeros(1000))  # loads what it needs
    tracemalloc.start()
    mel, audio_s = write_mel(path, tmp_path / "mel.f32")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audio_s == pytest.approx(1200, abs=0.001)
    assert mel.shape == (80, 96_001)
    assert peak_bytes < 20_000_000


def test_a_long_gap_is_not_made_in_one_piece(tmp_path: Path) -> None:
    """A track that begins an hour late is 230 MB of silence."""
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        other: Any = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for target, start_s in ((other, 0), (stream, 3600)):
            frame = AudioFrame.from_ndarray(np.full((1, 800), 9999, np.int16), format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = 8000, start_s * 8000, Fraction(1, 8000)
            for part in (frame, None):
                container.mux(target.encode(part))
    tracemalloc.start()
    sizes = [block.shape[1] for block in read_audio(path, 8000)]
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) == 3600 * 8000 + 800
    assert peak_bytes < 10_000_000
