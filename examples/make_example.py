"""Make the offline example: presenter.mp4, new_words.flac and example.json, beside this file.

A presenter who was never born says a few sentences, cut by a title card and a chart; the new words are another text in
another language. Needs espeak-ng's library; everything else comes with wav2lip_kit.

    python examples/make_example.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from portrait import FaceLook, Mouth, Painter, Pose
from speech import Phoneme, Speech, mouth_track, speak

HERE = Path(__file__).parent
SIZE_PX = (854, 480)
RATE = Fraction(25)
DURATION_S = 12.0
FACE_S = ((1.2, 5.2), (7.6, 12.0))  # half-open; a title card before, a chart between
VOICE, NEW_VOICE = "en+f3", "es+f4"
FIRST_WORDS = (  # when each begins, and what she says
    (1.35, "Good morning. I am only a drawing, but I do move my lips."),
    (5.25, "This chart has no face in it at all."),
    (7.75, "Here I am again. Give me new words, and my mouth will follow them."),
)
NEW_WORDS = (
    (0.3, "Buenos días."),
    (1.4, "Ahora hablo español, y mis labios siguen la nueva voz."),
    (5.3, "El gráfico no tiene boca."),
    (7.8, "Todo lo demás queda igual, también la luz y el fondo."),
)
BLINKS_S = (1.9, 3.6, 4.75, 8.1, 9.9, 11.35)
MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
COMMENT = f"Synthetic: a face drawn by code and espeak-ng speech; no real person. digitalSourceType {MARK}"
CAMERA_MARGIN = 1.06  # pictures are drawn this much larger, so that the camera can move over them


def main() -> None:
    first, phonemes = say_all(FIRST_WORDS, VOICE, words_per_minute=158, pitch=52)
    new, new_phonemes = say_all(NEW_WORDS, NEW_VOICE, words_per_minute=160, pitch=48)
    times_s = np.arange(int(DURATION_S * RATE)) / float(RATE)
    mouths = mouth_track(phonemes, times_s)
    write_video(HERE / "presenter.mp4", frames_bgr(times_s, mouths), first)
    write_flac(HERE / "new_words.flac", new)
    faces = [{"start_s": a, "end_s": b} for a, b in FACE_S]
    truth = {
        "what": "the ground truth of presenter.mp4 and new_words.flac, as make_example.py made them",
        "digital_source_type": MARK,
        "size_px": SIZE_PX,
        "rate": str(RATE),
        "duration_s": DURATION_S,
        "faces": faces,
        "first_words": {"voice": VOICE, "said": [{"start_s": t, "text": text} for t, text in FIRST_WORDS]},
        "new_words": {"voice": NEW_VOICE, "said": [{"start_s": t, "text": text} for t, text in NEW_WORDS]},
        "apertures": apertures(times_s, mouths),
        "new_apertures": apertures(times_s, mouth_track(new_phonemes, times_s)),
    }
    (HERE / "example.json").write_text(json.dumps(truth, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in ("presenter.mp4", "new_words.flac", "example.json"):
        print(f"{name}: {(HERE / name).stat().st_size / 1e3:.0f} kB")
    stretches = ", ".join(f"{a:g}-{b:g} s" for a, b in FACE_S)
    print(f"{DURATION_S:g} s at {RATE} fps, {SIZE_PX[0]}x{SIZE_PX[1]}, face in {stretches}")


def apertures(times_s: np.ndarray, mouths: list[Mouth]) -> list[float | None]:
    """Of every frame; None where no face is."""
    return [round(m.aperture, 3) if has_face(t) else None for t, m in zip(times_s, mouths, strict=True)]


def has_face(time_s: float) -> bool:
    return any(a <= time_s < b for a, b in FACE_S)


# ── sound ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def say_all(words: tuple[tuple[float, str], ...], voice: str, **manner: int) -> tuple[Speech, list[Phoneme]]:
    """All sentences at their times, on a track as long as the video."""
    said = [(start_s, speak(text, voice, **manner)) for start_s, text in words]
    rate_hz = said[0][1].sample_rate_hz
    wave = np.zeros(int(DURATION_S * rate_hz), np.float32)
    phonemes: list[Phoneme] = []
    ends_s = [start_s for start_s, _ in words[1:]] + [DURATION_S]
    for (start_s, speech), end_s in zip(said, ends_s, strict=True):
        length_s = len(speech.wave) / rate_hz
        if start_s + length_s > end_s:
            raise ValueError(
                f"the words at {start_s} s take {length_s:.2f} s and run past {end_s} s: say less, or faster"
            )
        at = int(start_s * rate_hz)
        wave[at : at + len(speech.wave)] = speech.wave
        phonemes += [Phoneme(p.start_s + start_s, p.end_s + start_s, p.name) for p in speech.phonemes]
    return Speech(0.9 * wave / np.abs(wave).max(), rate_hz, phonemes), phonemes


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def frames_bgr(times_s: np.ndarray, mouths: list[Mouth]) -> Iterator[np.ndarray]:
    """The video, frame by frame: (H, W, 3) uint8."""
    width, height = SIZE_PX
    large = (2 * round(width * CAMERA_MARGIN / 2), 2 * round(height * CAMERA_MARGIN / 2))
    painter = Painter(FaceLook(), large)
    card, chart = title_card(), line_chart()
    accent = np.convolve([m.aperture for m in mouths], np.hanning(15) / np.hanning(15).sum(), "same")
    for time_s, mouth, stress in zip(times_s, mouths, accent, strict=True):
        if has_face(time_s):
            yield camera(painter.draw(mouth, pose_at(time_s, stress)).image_bgr, time_s)
        else:
            yield card if time_s < FACE_S[0][0] else chart


def pose_at(time_s: float, stress: float) -> Pose:
    """Small natural motion: slow sways of unrelated periods, a nod and raised brows with loud syllables, blinks."""

    def sway(period_s: float, phase: float) -> float:
        return float(np.sin(2 * np.pi * (time_s / period_s + phase)))

    blink = max(
        0.0, *(1 - abs((time_s - at_s) / 0.12) ** 1.5 if abs(time_s - at_s) < 0.12 else 0.0 for at_s in BLINKS_S)
    )
    glance = 0.25 * np.tanh(8 * sway(4.7, 0.1)) * (sway(2.9, 0.6) > 0.2)
    return Pose(
        x=0.004 * sway(5.1, 0.0) + 0.002 * sway(1.9, 0.3),
        y=0.02 + 0.003 * sway(3.7, 0.2) + 0.004 * stress,
        scale=1.12 + 0.006 * sway(6.3, 0.4),
        roll_deg=1.3 * sway(4.3, 0.7) + 0.4 * sway(1.7, 0.1),
        yaw_deg=3.6 * sway(5.7, 0.5) + 1.2 * sway(2.3, 0.9),
        pitch_deg=1.2 * sway(4.9, 0.25) + 4.0 * (stress - 0.25),
        blink=min(1.0, 1.15 * blink),
        gaze_x=float(glance),
        gaze_y=0.08 * sway(3.1, 0.0),
        brow_raise=float(np.clip(1.6 * (stress - 0.28), -0.1, 0.6)),
    )


def camera(picture_bgr: np.ndarray, time_s: float) -> np.ndarray:
    """A hand-held camera that moves in slowly: a window of the larger picture, to the part of a pixel."""
    width, height = SIZE_PX
    zoom = 1.0 + 0.022 * time_s / DURATION_S
    dx, dy = 3.0 * np.sin(2 * np.pi * time_s / 7.3), 2.0 * np.sin(2 * np.pi * time_s / 5.9 + 1)
    shift = (width / 2 + dx - zoom * picture_bgr.shape[1] / 2, height / 2 + dy - zoom * picture_bgr.shape[0] / 2)
    move = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    return cv2.warpAffine(picture_bgr, move, SIZE_PX, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def write_words(
    picture_bgr: np.ndarray, words: str, at_px: tuple[int, int], size: float, bgr: tuple[int, int, int]
) -> None:
    cv2.putText(picture_bgr, words, at_px, cv2.FONT_HERSHEY_DUPLEX, size, bgr, 1 if size < 1 else 2, cv2.LINE_AA)


def backdrop(top_bgr: tuple[int, int, int], bottom_bgr: tuple[int, int, int]) -> np.ndarray:
    """A plain fall of colour, from top to bottom, (H, W, 3) uint8."""
    down = np.linspace(0, 1, SIZE_PX[1])[:, None, None]
    fall = np.array(top_bgr) * (1 - down) + np.array(bottom_bgr) * down
    return np.broadcast_to(fall, (SIZE_PX[1], SIZE_PX[0], 3)).round().astype(np.uint8)


def title_card() -> np.ndarray:
    picture = backdrop((74, 52, 34), (46, 32, 22))
    cv2.rectangle(picture, (90, 170), (96, 300), (96, 176, 240), cv2.FILLED)
    write_words(picture, "New words", (124, 226), 1.9, (245, 245, 245))
    write_words(picture, "for a face that was drawn by code", (126, 282), 0.9, (190, 200, 210))
    return picture


def line_chart() -> np.ndarray:
    picture = backdrop((246, 244, 242), (230, 226, 222))
    left, right, top, bottom = 110, 790, 110, 400
    write_words(picture, "A stretch without a face", (left, 66), 1.1, (70, 54, 40))
    for step in range(5):
        y = bottom - step * (bottom - top) // 4
        cv2.line(picture, (left, y), (right, y), (205, 200, 196), 1, cv2.LINE_AA)
        write_words(picture, str(25 * step), (left - 54, y + 7), 0.6, (110, 100, 92))
    months = np.arange(25)
    for rise, bgr in ((0.55, (180, 120, 40)), (0.30, (70, 120, 225))):
        share = rise * months / 24 + 0.18 + 0.07 * np.sin(months / 2.6 + 9 * rise)
        points = np.stack([left + months * (right - left) / 24, bottom - share * (bottom - top)], 1)
        cv2.polylines(picture, [np.round(points * 16).astype(np.int32)], False, bgr, 3, cv2.LINE_AA, 4)
    for year in range(3):
        write_words(picture, f"year {year + 1}", (left + 80 + year * 227, bottom + 38), 0.6, (110, 100, 92))
    return picture


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_video(path: Path, frames: Iterator[np.ndarray], speech: Speech) -> None:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as out:
        out.metadata["title"], out.metadata["comment"] = "The presenter of the offline example", COMMENT
        picture: Any = out.add_stream("libx264", RATE, options={"crf": "16", "preset": "slow", "threads": "1"})
        picture.width, picture.height, picture.pix_fmt = *SIZE_PX, "yuv420p"
        context = picture.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
        context.color_range = 1  # 16..235
        sound: Any = out.add_stream("aac", 44100, layout="mono", bit_rate=96_000)
        resampler = av.AudioResampler("fltp", "mono", 44100)
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = index, 1 / RATE
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
        for frame in [*resampler.resample(audio_frame(speech)), *resampler.resample(None)]:
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


def write_flac(path: Path, speech: Speech) -> None:
    with av.open(str(path), "w") as out:
        out.metadata["title"], out.metadata["comment"] = "The new words of the offline example", COMMENT
        sound: Any = out.add_stream("flac", speech.sample_rate_hz, layout="mono", options={"compression_level": "8"})
        resampler = av.AudioResampler("s16", "mono", speech.sample_rate_hz, frame_size=4096)
        for frame in [*resampler.resample(audio_frame(speech)), *resampler.resample(None)]:
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


def audio_frame(speech: Speech) -> av.AudioFrame:
    samples = np.round(speech.wave * 32767).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
    frame.sample_rate, frame.time_base, frame.pts = speech.sample_rate_hz, Fraction(1, speech.sample_rate_hz), 0
    return frame


if __name__ == "__main__":
    main()
