"""The drawn presenter: what moves when, whether detectors see a face where there is one, and the example's files."""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import speech
from portrait import HAIR_STYLES, FaceLook, Mouth, Painter, Portrait, Pose, draw
from speech import Phoneme, mouth_track, speak

from wav2lip_kit.errors import FaceError
from wav2lip_kit.faces.detectors import Detection, FaceDetector, HaarDetector, RetinaFaceDetector, YuNetDetector

EXAMPLES = Path(__file__).parent.parent / "examples"
SIZE_PX = (320, 240)


@lru_cache(maxsize=4)
def painter(size_px: tuple[int, int] = SIZE_PX) -> Painter:
    return Painter(FaceLook(), size_px)


def changed(a: Portrait, b: Portrait) -> np.ndarray:
    return (a.image_bgr != b.image_bgr).any(2)


def lip_gap_px(portrait: Portrait) -> float:
    marks = portrait.landmarks
    return float(np.linalg.norm(marks["lip_lower_inner"] - marks["lip_upper_inner"]))


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_same_inputs_same_pixels() -> None:
    look, mouth, pose = FaceLook.random(np.random.default_rng(3)), Mouth(0.4, 0.3, 0.2), Pose(yaw_deg=5, roll_deg=2)
    first, again = draw(look, mouth, pose, SIZE_PX), draw(look, mouth, pose, SIZE_PX)
    assert first.image_bgr.shape == (240, 320, 3) and first.image_bgr.dtype == np.uint8
    assert np.array_equal(first.image_bgr, again.image_bgr)
    assert not np.array_equal(first.image_bgr, draw(look, Mouth(0.5, 0.3, 0.2), pose, SIZE_PX).image_bgr)


def test_a_painter_keeps_nothing_from_one_picture_to_the_next() -> None:
    before = painter().draw().image_bgr
    painter().draw(Mouth(1, 1, 1), Pose(0.1, 0.1, 1.3, 10, 10, 10, 1, 1, 1, 1))
    assert np.array_equal(painter().draw().image_bgr, before)


def test_aperture_changes_only_the_lower_face() -> None:
    shut, wide = painter().draw(Mouth(0.0)), painter().draw(Mouth(1.0))
    moved = changed(shut, wide)
    marks = wide.landmarks
    rows, columns = np.nonzero(moved)
    assert moved.sum() > 500
    assert rows.min() > marks["nose_tip"][1] - 4
    assert rows.max() < marks["chin"][1] + 4
    assert columns.min() > wide.face_box_xyxy[0] - 4 and columns.max() < wide.face_box_xyxy[2] + 4


def test_lips_part_and_the_chin_falls_with_the_aperture() -> None:
    portraits = [painter().draw(Mouth(a)) for a in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    gaps = [lip_gap_px(p) for p in portraits]
    assert gaps[0] == pytest.approx(0, abs=1e-4)
    assert np.diff(gaps) == pytest.approx(np.full(5, gaps[-1] / 5), rel=1e-3)  # in equal steps
    assert (np.diff([p.landmarks["chin"][1] for p in portraits]) > 0).all()
    # What lies between the lips is teeth and darkness, not skin: the redness of lip and skin is gone.
    x, y = (0.5 * (portraits[-1].landmarks["lip_upper_inner"] + portraits[-1].landmarks["lip_lower_inner"])).astype(int)
    blue, _, red = portraits[-1].image_bgr[y, x].astype(int)
    assert red - blue < 30 and red < 90
    assert portraits[0].image_bgr[y, x].astype(int)[2] > 120


def test_width_and_rounding_move_the_corners() -> None:
    def width_px(mouth: Mouth) -> float:
        marks = painter().draw(mouth).landmarks
        return float(marks["mouth_right"][0] - marks["mouth_left"][0])

    puckered, narrow, rest, spread = (width_px(m) for m in (Mouth(0, 0, 1), Mouth(0, -1), Mouth(), Mouth(0, 1)))
    assert puckered < narrow < rest < spread


def test_a_blink_changes_only_the_eyes() -> None:
    awake, asleep = painter().draw(), painter().draw(pose=Pose(blink=1.0))
    moved = changed(awake, asleep)
    reach_px = 0.2 * np.linalg.norm(awake.landmarks["chin"] - awake.landmarks["nose_tip"])
    y, x = np.mgrid[:240, :320]
    near = np.zeros_like(moved)
    for name in ("eye_left", "eye_right"):
        eye_x, eye_y = awake.landmarks[name]
        near |= (abs(x - eye_x) < 2 * reach_px) & (abs(y - eye_y) < 1.5 * reach_px)
    assert moved.sum() > 50
    assert not (moved & ~near).any()


def test_landmarks_follow_shift_and_scale() -> None:
    rest, moved = painter().draw(), painter().draw(pose=Pose(x=0.1, y=0.05, scale=1.2))
    offset = moved.landmarks["nose_tip"] - moved.landmarks["eye_left"]
    assert offset == pytest.approx(1.2 * (rest.landmarks["nose_tip"] - rest.landmarks["eye_left"]), abs=0.01)
    middles = [0.5 * (p.landmarks["eye_left"] + p.landmarks["eye_right"]) for p in (rest, moved)]
    assert middles[1] - middles[0] == pytest.approx([24, 12], abs=0.01)


def test_turning_moves_the_nose_against_the_outline() -> None:
    left, right = (painter().draw(pose=Pose(yaw_deg=yaw)).landmarks for yaw in (-12, 12))
    assert left["nose_tip"][0] < left["chin"][0] + 1
    assert right["nose_tip"][0] - left["nose_tip"][0] > right["eye_left"][0] - left["eye_left"][0] > 2


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_every_hair_style_has_a_face_for_haar(style: str) -> None:
    portrait = draw(FaceLook(hair_style=style, parting=-0.4), Mouth(0.3), Pose(), SIZE_PX)
    assert overlap(found(haar(), portrait.image_bgr).box_xyxy, portrait.face_box_xyxy) > 0.6


# ── detectors ────────────────────────────────────────────────────────────────────────────────────────────────────────


def haar() -> FaceDetector:
    try:
        return HaarDetector()
    except FaceError as error:  # OpenCV 5 has no cascades
        pytest.skip(str(error))


def found(detector: FaceDetector, picture_bgr: np.ndarray) -> Detection:
    faces = detector.detect([picture_bgr])[0]
    assert len(faces) == 1
    return faces[0]


def overlap(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> float:
    """Intersection over union."""
    sides = np.minimum(a_xyxy[2:], b_xyxy[2:]) - np.maximum(a_xyxy[:2], b_xyxy[:2])
    both = float(np.prod(np.clip(sides, 0, None)))
    return both / (float(np.prod(a_xyxy[2:] - a_xyxy[:2]) + np.prod(b_xyxy[2:] - b_xyxy[:2])) - both)


@pytest.fixture(params=["haar", "yunet", "retinaface"])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    if request.param == "haar":
        return haar()
    weights: Path = request.getfixturevalue("shared_weights")
    if request.param == "yunet":
        return YuNetDetector(weights / "yunet_2023mar.onnx", threshold=0.8)
    return RetinaFaceDetector(weights / "retinaface_mobilenet0.25.pth", threshold=0.9)


@pytest.fixture(scope="module")
def truth() -> dict:
    return json.loads((EXAMPLES / "example.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def frames_bgr() -> list[np.ndarray]:
    with av.open(str(EXAMPLES / "presenter.mp4")) as video:
        return [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)]


def test_the_presenter_is_seen_in_her_stretches_and_nowhere_else(
    detector: FaceDetector, truth: dict, frames_bgr: list[np.ndarray]
) -> None:
    assert len(frames_bgr) == 300 and frames_bgr[0].shape == (480, 854, 3)
    edges = {round(25 * face[end]) for face in truth["faces"] for end in ("start_s", "end_s")}
    looked_at = sorted({*range(0, 300, 12), *(edge + side for edge in edges for side in (-1, 0) if edge + side < 300)})
    for index in looked_at:
        has_face = any(face["start_s"] <= index / 25 < face["end_s"] for face in truth["faces"])
        assert len(detector.detect([frames_bgr[index]])[0]) == has_face, f"frame {index}"


def test_detectors_agree_with_the_drawn_box_and_landmarks(detector: FaceDetector) -> None:
    for mouth, pose in (
        (Mouth(), Pose()),
        (Mouth(0.6), Pose(x=0.1, roll_deg=6, yaw_deg=8)),
        (Mouth(0.2), Pose(pitch_deg=5)),
    ):
        portrait = painter((640, 480)).draw(mouth, pose)
        face = found(detector, portrait.image_bgr)
        assert overlap(face.box_xyxy, portrait.face_box_xyxy) > 0.7
        if face.landmarks_xy is not None:
            names = ("eye_left", "eye_right", "nose_tip", "mouth_left", "mouth_right")
            drawn = np.stack([portrait.landmarks[name] for name in names])
            side_px = portrait.face_box_xyxy[2] - portrait.face_box_xyxy[0]
            assert np.linalg.norm(face.landmarks_xy - drawn, axis=1).max() < 0.09 * side_px


def test_random_people_are_seen(shared_weights: Path) -> None:
    detector = RetinaFaceDetector(shared_weights / "retinaface_mobilenet0.25.pth", threshold=0.8)
    rng = np.random.default_rng(11)
    looks = [FaceLook.random(rng) for _ in range(12)]
    pictures = [
        draw(look, Mouth(rng.random(), rng.uniform(-1, 1), rng.random()), Pose(yaw_deg=rng.uniform(-12, 12)), SIZE_PX)
        for look in looks
    ]
    assert [len(faces) for faces in detector.detect([p.image_bgr for p in pictures])] == [1] * 12
    assert np.ptp([look.skin_tone for look in looks]) > 0.6
    assert len({look.hair_style for look in looks}) >= 4


# ── speech ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_mouth_opens_on_vowels_shuts_at_p_b_m_and_rests_in_pauses() -> None:
    sounds = [(0.5, "m"), (0.58, "a"), (0.75, "p"), (0.82, "uː"), (1.0, "b"), (1.06, "aɪ"), (1.3, ""), (1.8, "")]
    phonemes = [Phoneme(a, b, name) for (a, name), (b, _) in pairwise(sounds)]

    def at(*times_s: float) -> list[Mouth]:
        return mouth_track(phonemes, times_s)

    assert all(m.aperture < 0.02 for m in at(0.54, 0.78, 1.03))  # m, p, b
    assert all(m == Mouth() for m in at(-5, 0.0, 1.6, 9.0))  # before, in the pause, after
    open_a, round_u, wide_i = at(0.67, 0.92, 1.18)
    assert open_a.aperture > 0.5 and open_a.rounding < 0.1
    assert round_u.rounding > 0.7 > 0.3 > round_u.aperture > 0.1
    assert at(1.13)[0].aperture > at(1.24)[0].aperture and at(1.24)[0].width > at(1.13)[0].width  # the diphthong glides
    assert wide_i.aperture > 0.2
    steps = np.abs(np.diff([m.aperture for m in mouth_track(phonemes, np.arange(0, 2, 0.005))]))
    assert steps.max() < 0.12  # nothing jumps


def say(text: str, voice: str) -> speech.Speech:
    try:
        speech._library()
    except RuntimeError as error:
        pytest.skip(str(error))
    return speak(text, voice)


def test_espeak_tells_when_each_sound_begins() -> None:
    said = say("Bob may buy a map.", "en+f3")
    length_s = len(said.wave) / said.sample_rate_hz
    assert said.wave.dtype == np.float32 and 0.05 < np.abs(said.wave).max() <= 1
    assert 0.8 < length_s < 4
    assert [p.name for p in said.phonemes if p.name[:1] in ("b", "p", "m") and p.name] == ["b", "b", "m", "b", "m", "p"]
    assert all(a.end_s == b.start_s for a, b in pairwise(said.phonemes))
    assert said.phonemes[-1].end_s == pytest.approx(length_s)


def test_an_unknown_voice_and_a_missing_library_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    say("Hello.", "en")
    with pytest.raises(RuntimeError, match="no voice 'xx-none'"):
        speak("Hello.", "xx-none")

    def missing(name: str) -> None:
        raise OSError(f"cannot open {name}")

    speech._library.cache_clear()
    monkeypatch.setattr(speech.ctypes, "CDLL", missing)
    with pytest.raises(RuntimeError, match="install it: apt install"):
        speak("Hello.", "en")


# ── the example ──────────────────────────────────────────────────────────────────────────────────────────────────────


def decode_audio(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as media:
        rate_hz = media.streams.audio[0].rate
        resampler = av.AudioResampler("flt", "mono", rate_hz)
        blocks = [out.to_ndarray().ravel() for frame in media.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate(blocks), rate_hz


def levels(path: Path) -> np.ndarray:
    """Root mean square of the sound of each of the 300 frames."""
    wave, rate_hz = decode_audio(path)
    size = rate_hz // 25
    wave = np.pad(wave, (0, max(0, 300 * size - len(wave))))[: 300 * size]
    return np.sqrt((wave.reshape(300, size) ** 2).mean(1))


def test_the_example_is_small_and_marked_as_synthetic(truth: dict) -> None:
    files = [EXAMPLES / "presenter.mp4", EXAMPLES / "new_words.flac"]
    assert sum(path.stat().st_size for path in files) < 2e6
    for path in files:
        with av.open(str(path)) as media:
            comment = {key.lower(): text for key, text in media.metadata.items()}["comment"]
        assert truth["digital_source_type"] in comment


def test_the_presenter_moves_her_mouth_with_her_first_words(truth: dict) -> None:
    apertures = np.array([np.nan if a is None else a for a in truth["apertures"]])
    seen = ~np.isnan(apertures)
    assert seen.tolist() == [any(f["start_s"] <= i / 25 < f["end_s"] for f in truth["faces"]) for i in range(300)]
    first, new = levels(EXAMPLES / "presenter.mp4"), levels(EXAMPLES / "new_words.flac")
    spoken = first > 0.1 * first.max()
    assert np.mean(apertures[seen & spoken]) > 3 * np.mean(apertures[seen & ~spoken])
    assert spoken[~seen].any()  # the voice goes on over the chart

    def likeness(level: np.ndarray, lag: int) -> float:
        both = seen & np.roll(seen, lag)
        return float(np.corrcoef(np.roll(apertures, lag)[both], level[both])[0, 1])

    likenesses = {lag: likeness(first, lag) for lag in range(-12, 13)}
    assert likenesses[0] > 0.5 and abs(max(likenesses, key=lambda lag: likenesses[lag])) <= 1
    assert likeness(new, 0) < 0.3  # other words


def drawn_opening(picture_bgr: np.ndarray) -> int:
    """Pixels of a mouth's dark inside within the middle of the picture."""
    part = cv2.cvtColor(picture_bgr[260:400, 380:480], cv2.COLOR_BGR2GRAY)
    return int((part < 62).sum())


def test_the_video_shows_the_apertures_of_the_ground_truth(truth: dict, frames_bgr: list[np.ndarray]) -> None:
    openings = [(a, drawn_opening(f)) for a, f in zip(truth["apertures"], frames_bgr, strict=True) if a is not None]
    wide = [pixels for aperture, pixels in openings if aperture > 0.55]
    shut = [pixels for aperture, pixels in openings if aperture < 0.02]
    assert len(wide) > 3 and len(shut) > 20
    assert min(wide) > max(shut)
