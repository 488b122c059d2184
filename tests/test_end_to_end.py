"""The whole job on the example, from audio to the mouths of final_video.mp4.

The aperture of a mouth in a frame is read by a ridge regression that has seen the frames of presenter.mp4, whose
apertures are known; examples/example.json tells what the new words want.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from ruler import correlation

from wav2lip_kit import Project
from wav2lip_kit.blending import crop_mask
from wav2lip_kit.demo import DemoResult, run_demo
from wav2lip_kit.faces.crops import cut_crop
from wav2lip_kit.faces.speakers import speaker_face
from wav2lip_kit.frames import read_frames
from wav2lip_kit.media import probe
from wav2lip_kit.metrics import compare_videos

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples"
TRUTH = json.loads((EXAMPLES / "example.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> DemoResult:
    return run_demo(tmp_path_factory.mktemp("demo") / "demo", progress=False)


@pytest.fixture(scope="module")
def crops(demo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frames that have a face, and their crops (T, 96, 96, 3) in the source and in the result."""
    project = Project.open(demo.video.parent)
    face = speaker_face(project.track(progress=False))
    has_face = ~np.isnan(face.scores) & np.array([a is not None for a in TRUTH["new_apertures"]])
    cut = []
    for path in (EXAMPLES / "presenter.mp4", demo.video):
        info = probe(path)
        frames = [cut_crop(f, face.crop_matrix(i), info.color) for i, f in enumerate(read_frames(info)) if has_face[i]]
        cut.append(np.stack(frames))
    return np.flatnonzero(has_face), cut[0], cut[1]


def mouths(crops_bgr: np.ndarray) -> np.ndarray:
    """(T, P): the mouths in small, without their mean brightness."""
    small = np.stack([cv2.resize(c[54:90, 22:74].mean(2), (18, 12), interpolation=cv2.INTER_AREA) for c in crops_bgr])
    return (small - small.mean(axis=(1, 2), keepdims=True)).reshape(len(small), -1)


@pytest.fixture(scope="module")
def apertures(crops) -> np.ndarray:
    """As read from the result, one for each of its frames with a face."""
    frames, source, result = crops
    x, y = mouths(source), np.array([TRUTH["apertures"][f] for f in frames])
    mean = x.mean(0)
    weights = np.linalg.solve((x - mean).T @ (x - mean) + 2e4 * np.eye(x.shape[1]), (x - mean).T @ (y - y.mean()))
    assert correlation((x - mean) @ weights, y) > 0.95  # it can be read at all
    return (mouths(result) - mean) @ weights + y.mean()


def test_mouth_says_the_new_words_and_not_the_old(crops, apertures) -> None:
    wanted, spoken_before = (np.array([TRUTH[k][f] for f in crops[0]]) for k in ("new_apertures", "apertures"))
    assert correlation(apertures, wanted) > 0.8
    assert correlation(apertures, spoken_before) < 0.4
    assert apertures[wanted > 0.4].mean() > apertures[wanted < 0.01].mean() + 0.2


def test_mouth_moves_when_the_words_are_heard(crops, apertures) -> None:
    frames, _, _ = crops
    everywhere = np.array([np.nan if a is None else a for a in TRUTH["new_apertures"]], float)

    def agreement(shift: int) -> float:
        wanted = everywhere[np.clip(frames + shift, 0, len(everywhere) - 1)]
        seen = ~np.isnan(wanted)
        return correlation(apertures[seen], wanted[seen])

    assert abs(max(range(-4, 5), key=agreement)) <= 1


def test_everything_but_the_mouth_is_left_alone(demo) -> None:
    quality = compare_videos(EXAMPLES / "presenter.mp4", demo.video, demo.report, progress=False)
    assert quality.outside_mouth is not None
    assert quality.outside_mouth.psnr_db > 44
    assert quality.n_frames == len(TRUTH["apertures"])


def test_the_patch_has_no_edge_and_no_colour_of_its_own(crops) -> None:
    """Along the mask's edge the result goes over into the source: no box, no step."""
    _, source, result = crops
    mask = crop_mask("mouth")
    difference = np.abs(result.astype(float) - source).mean(3)
    rim = (mask > 0) & (mask < 0.1)
    inner = (mask > 0.1) & (mask < 0.5)
    assert difference[:, mask == 0].mean() < 1.5
    assert difference[:, rim].mean() < 2.0
    assert difference[:, inner].mean() < 5.0
    tint = (result.astype(float) - source)[:, mask > 0.9].mean(axis=(0, 1))
    assert np.abs(tint).max() < 8


def test_the_mouth_does_not_flicker(crops) -> None:
    """From frame to frame it changes its way hardly more than the mouth that was drawn."""
    frames, *films = crops
    in_a_row = np.flatnonzero((np.diff(frames)[:-1] == 1) & (np.diff(frames)[1:] == 1))
    unrest = []
    for film in films:
        mouth = film[:, 57:86, 24:72].astype(float)
        unrest.append(np.abs(mouth[in_a_row] - 2 * mouth[in_a_row + 1] + mouth[in_a_row + 2]).mean())
    assert unrest[1] < 1.3 * unrest[0]
