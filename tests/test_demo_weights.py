"""The demo weights listen: audio in, mouth out, on a face and a voice that they were not trained on.

The presenter of the example is drawn with her lips closed and given the words of the example; the aperture of what the
network makes is read with training/ruler.py and compared with the truth in examples/example.json. The same measure is
taken with the input broken in ways that mistakes in the code would break it, and has to fall.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from portrait import FaceLook, Pose
from safetensors import safe_open

from wav2lip_kit import LipSyncer
from wav2lip_kit.audio import MEL_RATE_HZ, mel_spectrogram, mel_windows, read_audio
from wav2lip_kit.checkpoints import load_generator, weights_id
from wav2lip_kit.weights import entry, find_weights

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
sys.path.append(str(ROOT / "training"))

from ruler import MOUTH, Ruler, correlation  # noqa: E402

FOLLOWS = 0.8
"""What the correlation of aperture and truth has to exceed, and nothing broken may reach."""
FRAME_S = 0.04


@pytest.fixture(scope="module")
def syncer() -> LipSyncer:
    return LipSyncer.from_pretrained("demo", device="cpu")


@pytest.fixture(scope="module")
def ruler() -> Ruler:
    return Ruler.draw(FaceLook(), Pose(scale=1.2, y=0.05, yaw_deg=3))


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds at which the presenter is seen, and her true apertures, while she says the first words."""
    listed = json.loads((EXAMPLES / "example.json").read_text(encoding="utf-8"))["apertures"]
    seen = [(index * FRAME_S, aperture) for index, aperture in enumerate(listed) if aperture is not None]
    times_s, apertures = np.array(seen).T
    return times_s, apertures


def mel_of(name: str) -> np.ndarray:
    return mel_spectrogram(np.concatenate([block[0] for block in read_audio(EXAMPLES / name)]))


@pytest.fixture(scope="module")
def mel() -> np.ndarray:
    return mel_of("presenter.mp4")


def apertures(syncer: LipSyncer, ruler: Ruler, windows: np.ndarray) -> np.ndarray:
    return ruler.read(syncer(windows, np.repeat(ruler.crops_bgr[:1], len(windows), axis=0)))


def test_mouth_follows_the_words(syncer, ruler, truth, mel) -> None:
    times_s, true = truth
    made = apertures(syncer, ruler, mel_windows(mel, times_s))
    assert correlation(made, true) > FOLLOWS
    assert made[true > 0.4].mean() > 0.3
    assert made[true < 0.01].mean() < 0.12


@pytest.mark.parametrize(
    "broken",
    [
        "wrong_audio",
        "four_frames_early",
        "four_frames_late",
        "mel_from_0_to_1",
        "mel_half_as_loud",
        "mel_upside_down",
        "mel_turned_round",
    ],
)
def test_a_mistake_in_the_sound_is_seen(syncer, ruler, truth, mel, broken: str) -> None:
    times_s, true = truth
    windows = {
        "wrong_audio": lambda: mel_windows(mel_of("new_words.flac"), times_s),
        "four_frames_early": lambda: mel_windows(mel, times_s, 4 * FRAME_S),
        "four_frames_late": lambda: mel_windows(mel, times_s, -4 * FRAME_S),
        "mel_from_0_to_1": lambda: mel_windows((mel + 4) / 8, times_s),
        "mel_half_as_loud": lambda: mel_windows(mel / 2, times_s),
        "mel_upside_down": lambda: mel_windows(mel[::-1], times_s),
        "mel_turned_round": lambda: mel_windows(mel, times_s)[..., ::-1],
    }[broken]()
    r = correlation(apertures(syncer, ruler, windows), true)
    assert r < (0.3 if broken == "wrong_audio" else FOLLOWS - 0.1)


def test_mouth_moves_at_its_time(syncer, ruler, truth, mel) -> None:
    times_s, true = truth
    shifts_s = np.arange(-3, 4) * FRAME_S
    scores = [correlation(apertures(syncer, ruler, mel_windows(mel, times_s, s)), true) for s in shifts_s]
    assert abs(shifts_s[int(np.argmax(scores))]) <= FRAME_S + 1e-9
