"""The demo weights listen: audio in, mouth out, on a face and a voice that they were not trained on.

The presenter of the example is drawn with her lips closed and given the sound of the example; the aperture of what the
network makes is read with training/ruler.py and compared with the truth in examples/example.json. The same measures are
taken with the input broken as a mistake in the code would break it, and have to fall.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from portrait import FaceLook, Pose
from safetensors import safe_open

from wav2lip_kit import LipSyncer
from wav2lip_kit.audio import SILENCE, mel_spectrogram, mel_windows, read_audio
from wav2lip_kit.checkpoints import load_generator, weights_id
from wav2lip_kit.weights import entry, verify_weights

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
sys.path.append(str(ROOT / "training"))

from ruler import Ruler, correlation  # noqa: E402

FOLLOWS = 0.85
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
    times_s, apertures = np.array([(i * FRAME_S, a) for i, a in enumerate(listed) if a is not None]).T
    return times_s, apertures


def mel_of(name: str) -> np.ndarray:
    return mel_spectrogram(np.concatenate([block[0] for block in read_audio(EXAMPLES / name)]))


@pytest.fixture(scope="module")
def mel() -> np.ndarray:
    return mel_of("presenter.mp4")


def spoken(syncer: LipSyncer, ruler: Ruler, windows: np.ndarray) -> np.ndarray:
    return syncer(windows, np.repeat(ruler.crops_bgr[:1], len(windows), axis=0))


def test_the_file_is_small_and_says_what_it_is() -> None:
    path = verify_weights("demo")
    assert path.stat().st_size == entry("demo").bytes
    assert path.stat().st_size < 6_000_000
    with safe_open(path, "np") as file:
        about = file.metadata()
    assert {"what", "width", "recipe", "media", "licence", "date"} <= set(about)
    assert load_generator("demo").width == float(about["width"])
    assert weights_id("demo") == (entry("demo").sha256 or "")[:16]


def test_mouth_follows_the_words(syncer, ruler, truth, mel) -> None:
    times_s, apertures = truth
    made = ruler.read(spoken(syncer, ruler, mel_windows(mel, times_s)))
    assert correlation(made, apertures) > FOLLOWS
    assert made[apertures > 0.4].mean() > 0.4
    assert made[apertures < 0.01].mean() < 0.06


BREAKS = {
    "wrong audio": lambda _, times_s: mel_windows(mel_of("new_words.flac"), times_s),
    "window two frames early": lambda mel, times_s: mel_windows(mel, times_s, -2 * FRAME_S),
    "window two frames late": lambda mel, times_s: mel_windows(mel, times_s, 2 * FRAME_S),
    "mel from 0 to 1": lambda mel, times_s: mel_windows((mel + 4) / 8, times_s),
    "mel from 0 to 8": lambda mel, times_s: mel_windows(mel + 4, times_s),
    "mel from -1 to 1": lambda mel, times_s: mel_windows(mel / 4, times_s),
    "mel upside down": lambda mel, times_s: mel_windows(mel[::-1], times_s),
    "mel backwards": lambda mel, times_s: mel_windows(mel, times_s)[..., ::-1],
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_mistake_in_the_sound_is_seen(syncer, ruler, truth, mel, name: str) -> None:
    times_s, apertures = truth
    made = ruler.read(spoken(syncer, ruler, BREAKS[name](mel, times_s)))
    assert correlation(made, apertures) < (0.2 if name == "wrong audio" else FOLLOWS - 0.05)


def test_mouth_moves_at_its_time(syncer, ruler, truth, mel) -> None:
    times_s, apertures = truth
    frames = np.arange(-3, 4)
    made = [ruler.read(spoken(syncer, ruler, mel_windows(mel, times_s, k * FRAME_S))) for k in frames]
    assert abs(frames[np.argmax([correlation(m, apertures) for m in made])]) <= 1


def test_silence_shuts_every_mouth(syncer, ruler) -> None:
    silence = np.full((len(ruler.crops_bgr), 1, 80, 16), SILENCE, np.float32)
    made = syncer(silence, ruler.crops_bgr)  # of a face that, in the frames given, opens its mouth in every way
    read = ruler.read(made)
    assert read.mean() < 0.15
    assert read.std() < 0.3 * ruler.apertures.std()  # little of the frames' own mouths is left


def test_colours_are_those_of_the_face(syncer, ruler) -> None:
    silence = np.full((1, 1, 80, 16), SILENCE, np.float32)
    face = ruler.crops_bgr[:1]

    def colour_error(crops_bgr: np.ndarray) -> float:
        return float(np.abs(syncer(silence, crops_bgr).astype(float) - face).mean())

    assert colour_error(face) < 9
    assert colour_error(face[..., ::-1].copy()) > 15  # red and blue swapped on the way in


@torch.inference_mode()
def test_the_masked_crop_comes_first(ruler) -> None:
    model = load_generator("demo")
    face = torch.from_numpy(ruler.crops_bgr[-2:-1]).permute(0, 3, 1, 2).float() / 255  # mouth wide open
    masked = face.clone()
    masked[:, :, 48:] = 0
    silence = torch.full((1, 1, 80, 16), SILENCE)
    shut = ruler.crops_bgr[0].astype(float)

    def error(*order: torch.Tensor) -> float:
        made = model(silence, torch.cat(order, dim=1))[0].permute(1, 2, 0).numpy() * 255
        return float(np.abs(made - shut).mean())

    assert 2 * error(masked, face) < error(face, masked)
