"""Whole jobs on drawn presenters, from audio to the mouths of final_video.mp4.

On the example, the aperture of a mouth in a frame is read by a ridge regression that has seen the frames of
presenter.mp4, whose apertures are known; examples/example.json tells what the new words want. Where two presenters
share the picture, training/ruler.py reads their mouths.
"""

from __future__ import annotations

import json
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest
import ruler
from clips import make_clip
from conftest import write_wave
from portrait import FaceLook, Mouth, Painter, Pose
from ruler import PICTURE_PX, Ruler, correlation

from wav2lip_kit import Project, Segment, Segments
from wav2lip_kit.audio import SAMPLE_RATE_HZ, read_audio
from wav2lip_kit.blending import crop_mask
from wav2lip_kit.colour import frame_to_bgr
from wav2lip_kit.demo import DemoResult, run_demo
from wav2lip_kit.faces.crops import CROP_PX, crop_matrix, cut_crop
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


# ── two presenters, two audio files ────────────────────────────────────────────────────────────────────────────────

LOOKS = (FaceLook(), FaceLook(seed=3, skin_tone=0.65, hair_style="cropped", lipstick=0.0, jaw=0.6, clothes="crew_neck"))
"""Left and right."""
POSES = (Pose(scale=1.1, y=0.02, yaw_deg=3), Pose(scale=1.15, y=0.02, yaw_deg=-4))
TURN = 105
"""Frames that each of them talks: first the left one, then the right one."""
WORDS = (("new_words.flac", "new_apertures", 190), ("presenter.mp4", "apertures", 190))
"""What each says: a file of the example, what is known of it, and the frame where it begins."""


def pictures_of(video: Path) -> np.ndarray:
    """(T, H, W, 3) uint8 BGR."""
    info = probe(video)
    return np.stack([frame_to_bgr(frame, info.color) for frame in read_frames(info)])


def half(pictures: np.ndarray, side: int) -> np.ndarray:
    return pictures[:, :, side * PICTURE_PX : (side + 1) * PICTURE_PX]


def read_mouths(pictures_bgr: np.ndarray, look: FaceLook, pose: Pose) -> np.ndarray:
    """The apertures of one presenter's mouth, (T,)."""
    matrix = crop_matrix(Painter(look, (PICTURE_PX, PICTURE_PX)).draw(Mouth(0.2), pose).face_box_xyxy)
    crops = [cv2.warpAffine(p, matrix, (CROP_PX, CROP_PX), flags=cv2.INTER_AREA) for p in pictures_bgr]
    return Ruler.draw(look, pose).read(np.stack(crops))


def write_words(path: Path, name: str, first: int) -> None:
    """The sound of `TURN` frames of a file of the example."""
    samples = np.concatenate(list(read_audio(EXAMPLES / name)), axis=1)[0]
    per_frame = SAMPLE_RATE_HZ // 25
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((samples[first * per_frame : (first + TURN) * per_frame] * 32767).astype("<i2").tobytes())


def test_two_people_with_two_audio_files_each_follow_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The left one is picked by a box, the right one by a point; in the source both mouths go their own ways.

    The run is lossless, so that what nobody wrote is the source's own, to the last level.
    """
    # The lips alone: at the chin, under the feather, the result is the source's.
    monkeypatch.setattr(ruler, "MOUTH", (slice(56, 84), slice(22, 74)))
    drawn = np.round(7 - 7 * np.cos(2 * np.pi * np.arange(2 * TURN) / np.array([[17], [23]]))) / 20
    painters = [Painter(look, (PICTURE_PX, PICTURE_PX)) for look in LOOKS]
    faces = [
        {a: painter.draw(Mouth(float(a)), pose).image_bgr for a in np.unique(drawn)}
        for painter, pose in zip(painters, POSES, strict=True)
    ]
    shown = [np.hstack([face[a] for face, a in zip(faces, both, strict=True)]) for both in drawn.T]
    source = make_clip(tmp_path / "two.mp4", 2 * TURN, size=(2 * PICTURE_PX, PICTURE_PX), pictures=shown)
    turn_s = TURN / 25
    job = Project.create(tmp_path / "job", source, write_wave(tmp_path / "hum.wav", 2 * turn_s), weights="demo", crf=0)
    for name, (file, _, first) in zip(("left.wav", "right.wav"), WORDS, strict=True):
        write_words(job.folder / name, file, first)
    right = f"{1.5 * PICTURE_PX:g},{PICTURE_PX / 2:g}@0:01"
    job.segments = Segments(
        [
            Segment(0.0, turn_s, speaker=f"0,0,{PICTURE_PX},{PICTURE_PX}", audio="left.wav"),
            Segment(turn_s, 2 * turn_s, speaker=right, audio="right.wav"),
        ]
    )
    before, after = pictures_of(source), pictures_of(job.run(progress=False))
    wanted = [np.array(TRUTH[known][first : first + TURN], float) for _, known, first in WORDS]
    assert abs(correlation(*wanted)) < 0.3, "the two say too much alike to be told apart"
    turns = slice(0, TURN), slice(TURN, 2 * TURN)
    for side, (look, pose) in enumerate(zip(LOOKS, POSES, strict=True)):
        assert correlation(read_mouths(half(before, side), look, pose), drawn[side]) > 0.97  # it can be read at all
        said = read_mouths(half(after, side)[turns[side]], look, pose)
        assert correlation(said, wanted[side]) > 0.75
        assert abs(correlation(said, wanted[1 - side])) < 0.35, "follows the other's words"
        assert abs(correlation(said, drawn[side, turns[side]])) < 0.35, "still says the old words"
        others_turn = turns[1 - side]
        assert np.array_equal(half(after, side)[others_turn], half(before, side)[others_turn])
