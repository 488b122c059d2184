"""Measure demo weights on faces and voices that were not trained on, and on natural speech where it is at hand.

    python training/evaluate.py [--weights demo] [--media FOLDER]

How the aperture of a generated mouth is read: see ruler.py.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from face_data import random_pose  # noqa: E402
from portrait import FaceLook  # noqa: E402
from ruler import MOUTH, Ruler, best_offset_s, correlation  # noqa: E402
from speech import Phoneme, mouth_track  # noqa: E402
from speech_data import HELD_OUT_VOICES, utterance  # noqa: E402

from wav2lip_kit.audio import SAMPLE_RATE_HZ, mel_spectrogram, mel_windows, read_audio  # noqa: E402
from wav2lip_kit.sync import LipSyncer  # noqa: E402

RANGE = 0.8  # apertures that speech uses: its 99th percentile
RATES = (25.0, 30000 / 1001, 50.0)
UNSEEN_SEED = 77_000


def speak_with(syncer: LipSyncer, ruler: Ruler, mel: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Give the ruler's face, lips closed, the mouths of some sound: (T, 96, 96, 3) uint8."""
    return syncer(mel_windows(mel, times_s), np.repeat(ruler.crops_bgr[:1], len(times_s), axis=0))


# ── speech with known mouths ─────────────────────────────────────────────────────────────────────────────────────────


def measure_unseen(syncer: LipSyncer, n_looks: int, n_utterances: int) -> dict[str, float]:
    """The figures on drawn faces and held-out espeak-ng voices."""
    rng = np.random.default_rng(UNSEEN_SEED)
    right, wrong, closed, offsets = [], [], [], {rate: [] for rate in RATES}
    moving, resting, errors = [], [], []
    for _ in range(n_looks):
        ruler = Ruler.draw(FaceLook.random(rng), random_pose(rng))
        made_all, truth_all = [], []
        for _ in range(n_utterances):
            wave, phonemes = utterance(rng, HELD_OUT_VOICES)
            mel = mel_spectrogram(wave)
            for rate in RATES:
                times_s = np.arange(0, len(wave) / SAMPLE_RATE_HZ, 1 / rate)
                mouths = speak_with(syncer, ruler, mel, times_s)
                made, truth = ruler.read(mouths), truth_at(phonemes, times_s)
                offsets[rate].append(best_offset_s(made, truth, rate))
                if rate == RATES[0]:
                    made_all.append(made)
                    truth_all.append(truth)
                    step = _motion(mouths)
                    is_still = _is_silent(phonemes, times_s)[1:]
                    moving.append(step[~is_still])
                    resting.append(step[is_still])
            shut_s = closures_s(phonemes)
            if len(shut_s):
                closed.append(ruler.read(speak_with(syncer, ruler, mel, shut_s)) < 0.15 * RANGE)
        made, truth = np.concatenate(made_all), np.concatenate(truth_all)
        right.append(correlation(made, truth))
        errors.append(float(np.abs(made - truth).mean()))
        other = np.concatenate([*made_all[1:], made_all[0]])
        wrong.append(correlation(other, truth))
    figures = {
        "aperture_r": float(np.mean(right)),
        "aperture_r_worst_look": float(np.min(right)),
        "aperture_error": float(np.mean(errors)),
        "aperture_r_wrong_audio": float(np.mean(wrong)),
        "pbm_closed_share": float(np.concatenate(closed).mean()),
        "silence_motion_share": float(np.concatenate(resting).mean() / np.concatenate(moving).mean()),
    }
    for rate, found in offsets.items():
        figures[f"offset_ms_{rate:.2f}_fps"] = 1000 * float(np.median(found))
        figures[f"offset_within_40ms_share_{rate:.2f}_fps"] = float((np.abs(found) < 0.0401).mean())
    return figures


def truth_at(phonemes: list[Phoneme], times_s: np.ndarray) -> np.ndarray:
    return np.array([mouth.aperture for mouth in mouth_track(phonemes, times_s)])


def closures_s(phonemes: list[Phoneme]) -> np.ndarray:
    """When the lips are shut at p, b and m: where the true aperture is least."""
    moments = []
    for phoneme in phonemes:
        if phoneme.name[:1] in ("p", "b", "m"):
            times_s = np.arange(phoneme.start_s - 0.04, phoneme.end_s, 0.005)
            truth = truth_at(phonemes, times_s)
            shut = times_s[truth <= truth.min() + 1e-3]
            moments.append(shut[len(shut) // 2])
    return np.array(moments)


def _is_silent(phonemes: list[Phoneme], times_s: np.ndarray) -> np.ndarray:
    """More than 0.2 s away from every sound: the mouth has come to rest."""
    silent = np.ones(len(times_s), bool)
    for phoneme in phonemes:
        if phoneme.name.strip("_:; "):
            silent &= (times_s < phoneme.start_s - 0.2) | (times_s > phoneme.end_s + 0.2)
    return silent


def _motion(mouths_bgr: np.ndarray) -> np.ndarray:
    """Mean change of the mouth from frame to frame, (T - 1,) in levels."""
    patches = mouths_bgr[(slice(None), *MOUTH)].astype(np.float32)
    return np.abs(np.diff(patches, axis=0)).mean(axis=(1, 2, 3))


# ── natural speech ───────────────────────────────────────────────────────────────────────────────────────────────────


def measure_natural(syncer: LipSyncer, audio: Path, n_looks: int = 3) -> dict[str, float]:
    """How the mouth follows a recording of which only the loudness is known.

    Loudness is the mean of the mel bands up to 4 kHz. Loud is its upper third; a pause is where it stays in the lowest
    quarter of its range for 0.16 s.
    """
    rng = np.random.default_rng(UNSEEN_SEED + 1)
    wave = np.concatenate([block[0] for block in read_audio(audio)])
    mel = mel_spectrogram(wave)
    times_s = np.arange(0, len(wave) / SAMPLE_RATE_HZ, 0.04)
    loudness = cv2.GaussianBlur(mel[:55].mean(0)[None], (0, 0), 2.0)[0]
    low, high = np.percentile(loudness, [2, 98])
    is_quiet = (loudness < low + 0.25 * (high - low)).astype(np.uint8)[None]
    is_pause = cv2.erode(is_quiet, np.ones((1, 13), np.uint8))[0] > 0
    columns = np.clip(np.round(times_s * 80).astype(int), 0, len(loudness) - 1)
    pause, loud = is_pause[columns], loudness[columns] > np.percentile(loudness, 67)
    follows, in_pause, in_loud, shut = [], [], [], []
    for _ in range(n_looks):
        ruler = Ruler.draw(FaceLook.random(rng), random_pose(rng))
        made = ruler.read(speak_with(syncer, ruler, mel, times_s))
        follows.append(correlation(made, loudness[columns]))
        in_pause.append(made[pause].mean())
        in_loud.append(made[loud].mean())
        shut.append((made[pause] < 0.15 * RANGE).mean())
    return {
        "loudness_r": float(np.mean(follows)),
        "aperture_in_pauses": float(np.mean(in_pause)),
        "aperture_when_loud": float(np.mean(in_loud)),
        "closed_in_pauses_share": float(np.mean(shut)),
        "pause_frames": float(pause.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="demo", help="registry name or checkpoint")
    media = Path(os.environ.get("WAV2LIP_KIT_MEDIA", ROOT.parent / "shared" / "media"))
    parser.add_argument("--media", type=Path, default=media, help="folder with audio/jfk.flac and audio/LJ001-0001.wav")
    parser.add_argument("--looks", type=int, default=6)
    parser.add_argument("--utterances", type=int, default=5, help="of every look")
    args = parser.parse_args()
    syncer = LipSyncer.from_pretrained(args.weights)
    print("── unseen drawn faces, held-out espeak-ng voices")
    for name, value in measure_unseen(syncer, args.looks, args.utterances).items():
        print(f"{name:40s} {value:.3f}", flush=True)
    for audio in ("jfk.flac", "LJ001-0001.wav"):
        path = args.media / "audio" / audio
        if not path.is_file():
            print(f"── {audio}: not at {path}, not measured")
            continue
        print(f"── {audio}")
        for name, value in measure_natural(syncer, path).items():
            print(f"{name:40s} {value:.3f}", flush=True)


if __name__ == "__main__":
    main()
