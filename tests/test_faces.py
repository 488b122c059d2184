"""Detectors, tracking, choosing a speaker, and suggested segments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from clips import make_clip

from wav2lip_kit.colour import frame_to_bgr
from wav2lip_kit.errors import FaceError, WeightsError
from wav2lip_kit.faces import detectors
from wav2lip_kit.faces.crops import face_roll
from wav2lip_kit.faces.detectors import Detection, HaarDetector, load_detector
from wav2lip_kit.faces.presence import PresenceConfig, absence, head_turn_deg, suggest_segments
from wav2lip_kit.faces.speakers import Face, speaker_face
from wav2lip_kit.faces.tracking import TrackConfig, _fill, _Path, smooth_centred, track_faces
from wav2lip_kit.faces.tracks import Track, Tracks
from wav2lip_kit.frames import read_frames
from wav2lip_kit.media import probe
from wav2lip_kit.notices import collect_notices
from wav2lip_kit.segments import Segments

ASTRONAUT_BOX = np.array([177, 58, 269, 175])


HAS_CASCADES = hasattr(cv2, "CascadeClassifier")  # OpenCV 5 has not


def astronaut_bgr() -> np.ndarray:
    return np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])


# ── detectors ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["retinaface", "yunet", "haar"])
@pytest.mark.parametrize("scale", [1.0, 0.5, 1.25])
def test_every_detector_finds_a_real_face_where_it_is(
    name: str, scale: float, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "haar" and not HAS_CASCADES:
        pytest.skip(f"OpenCV {cv2.__version__} has no Haar cascade")
    if name != "haar":
        monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(request.getfixturevalue("shared_weights")))
    picture = cv2.resize(astronaut_bgr(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found, empty = load_detector(name).detect([picture, np.full_like(picture, 90)])
    assert len(found) == 1 and empty == []
    assert np.abs(found[0].box_xyxy - ASTRONAUT_BOX * scale).max() < 20 * scale
    assert 0.6 < found[0].score <= 1
    points = found[0].landmarks_xy
    if points is not None:
        left_eye, right_eye, nose, left_mouth, right_mouth = points
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_retinaface_is_fed_bgr(shared_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 128 pixels the face scores .98 in BGR and .34 in RGB: the wrong order loses small faces."""
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(shared_weights))
    small = cv2.resize(astronaut_bgr(), (128, 128), interpolation=cv2.INTER_AREA)
    detector = load_detector("retinaface")
    assert len(detector.detect([small])[0]) == 1
    assert detector.detect([np.ascontiguousarray(small[:, :, ::-1])])[0] == []


def test_auto_falls_back_with_a_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("WAV2LIP_KIT_OFFLINE", "1")
    if not HAS_CASCADES:
        with pytest.raises(FaceError, match=r"no face detector .* no Haar cascade: run .* \(RetinaFace: .*OFFLINE"):
            load_detector("auto")
        return
    with collect_notices() as told:
        assert isinstance(load_detector("auto"), HaarDetector)
    assert len(told) == 1 and "Haar" in told[0] and "RetinaFace" in told[0]


def test_an_opencv_without_cascades_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(detectors.cv2, "CascadeClassifier", raising=False)  # as in OpenCV 5
    with pytest.raises(FaceError, match=r"no Haar cascade.*weights fetch retinaface"):
        load_detector("haar")


def test_wrong_detectors_are_named(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match=r"'mtcnn'.*auto, retinaface, yunet, haar"):
        load_detector("mtcnn")
    for name in ("net.onnx", "net.pth"):
        (tmp_path / name).write_bytes(b"no network at all")
        with pytest.raises(WeightsError, match=name) as caught:
            load_detector(str(tmp_path / name))
        assert "\n" not in str(caught.value)


# ── tracking ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Painted:
    """Finds what the tests paint: each bright square is a face."""

    name = "painted"

    def __init__(self) -> None:
        self.searched = 0
        self.sizes: list[tuple[int, ...]] = []

    def detect(self, pictures_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
        self.searched += len(pictures_bgr)
        self.sizes += [p.shape[:2] for p in pictures_bgr]
        return [self._detect(p) for p in pictures_bgr]

    def _detect(self, picture: np.ndarray) -> list[Detection]:
        _, _, stats, _ = cv2.connectedComponentsWithStats((picture[:, :, 1] > 200).astype(np.uint8))
        boxes = [np.array([x, y, x + w, y + h], np.float32) for x, y, w, h, area in stats[1:] if area > 100]
        return [Detection(b, 0.9) for b in sorted(boxes, key=lambda b: b[0])]


Where = Callable[[int], tuple[float, float] | None]


def paint(path: Path, n_frames: int, *faces: Where, side: int = 40, shade: Callable[[int], int] = lambda _: 60) -> Path:
    """Squares whose corner is where the functions say, on a plain ground of the given shade."""
    pictures = []
    for i in range(n_frames):
        picture = np.full((240, 320, 3), shade(i), np.uint8)
        for face in faces:
            if (corner := face(i)) is not None:
                x, y = (round(v) for v in corner)
                picture[y : y + side, x : x + side] = 255
        pictures.append(picture)
    return make_clip(path, n_frames, 25, pictures=pictures)


def follow(path: Path, **config: float) -> Tracks:
    return track_faces(probe(path), Painted(), TrackConfig(**config), progress=False)  # type: ignore[arg-type]


def test_a_steady_motion_is_followed_without_lag(tmp_path: Path) -> None:
    tracks = follow(paint(tmp_path / "v.mp4", 50, lambda i: (20 + 4 * i, 60 + i)))
    (track,) = tracks.tracks
    assert (track.start, track.stop) == (0, 50)
    want = np.array([[20 + 4 * i, 60 + i, 60 + 4 * i, 100 + i] for i in range(50)])
    error = track.boxes_xyxy - want
    assert np.abs(error.mean(axis=0)).max() < 0.5 and np.abs(error).max() < 1.5
    assert track.boxes_xyxy.dtype == np.float32


@pytest.mark.parametrize(("roll_deg", "growth"), [(30, 0.0), (-30, 0.0), (0, 0.8)])
def test_a_face_that_tilts_or_grows_is_followed_without_lag(roll_deg: float, growth: float) -> None:
    """Looked at every 5th frame while it moves, grows, and tilts from upright to `roll_deg`."""
    frames = np.arange(0, 51)
    centres = np.column_stack([100 + 3 * frames, 120 - frames])
    sizes_px = 60 * (1 + growth * frames / 50)
    rolls = np.radians(roll_deg) * frames / 50
    upright = np.array([[-0.3, -0.2], [0.3, -0.2], [0, 0.1], [-0.24, 0.4], [0.24, 0.4]])

    def look(i: int) -> Detection:
        rotation = np.array([[np.cos(rolls[i]), -np.sin(rolls[i])], [np.sin(rolls[i]), np.cos(rolls[i])]])
        box = np.concatenate([centres[i] - sizes_px[i] / 2, centres[i] + sizes_px[i] / 2])
        return Detection(
            box.astype(np.float32), 0.9, (centres[i] + upright @ rotation.T * sizes_px[i]).astype(np.float32)
        )

    looked = list(range(0, 51, 5))
    some = np.ones(3, np.float32)
    path = _Path()
    for i in looked:
        path.add(i, look(i), some)
    track = _fill(path, 1.0, 1.75)
    want = np.stack([look(i).box_xyxy for i in frames])
    error_px = track.boxes_xyxy - want
    assert np.abs(error_px.mean(axis=0)).max() < 0.5 and np.abs(error_px).max() < 1
    error_deg = np.degrees(face_roll(track.landmarks_xy) - rolls)
    assert abs(error_deg.mean()) < 0.5 and np.abs(error_deg).max() < 1.5


def test_a_cut_stays_a_step_and_ends_the_track(tmp_path: Path) -> None:
    path = paint(
        tmp_path / "v.mp4", 40, lambda i: (40, 60) if i < 17 else (200, 120), shade=lambda i: 30 if i < 17 else 150
    )
    tracks = follow(path)
    assert tracks.cuts.tolist() == [17] and tracks.shots() == [(0, 17), (17, 40)]
    first, second = tracks.tracks
    assert (first.start, first.stop, second.start, second.stop) == (0, 17, 17, 40)
    assert np.abs(first.boxes_xyxy - [40, 60, 80, 100]).max() < 1
    assert np.abs(second.boxes_xyxy - [200, 120, 240, 160]).max() < 1


@pytest.mark.parametrize("sight", ["flash", "pan", "punch-in"])
def test_flashes_and_pans_are_no_cuts_but_a_punch_in_is(sight: str, tmp_path: Path) -> None:
    room = cv2.resize(skimage.data.coffee()[:, :, ::-1], (640, 480))

    def view(i: int) -> np.ndarray:
        if sight == "pan":
            return room[100:340, 5 * i : 5 * i + 320]
        if sight == "punch-in" and i >= 20:
            return cv2.resize(room[140:325, 120:366], (320, 240))
        lit = cv2.convertScaleAbs(room, alpha=1.1, beta=100) if sight == "flash" and i in (20, 21) else room
        return lit[100:340, 100:420]

    pictures = [np.ascontiguousarray(view(i)) for i in range(40)]
    clip = make_clip(tmp_path / "v.mp4", 40, 25, pictures=pictures)
    assert follow(clip).cuts.tolist() == ([20] if sight == "punch-in" else [])


@pytest.mark.parametrize("gap", [6, 14])
def test_short_misses_are_filled_and_long_ones_end_the_track(tmp_path: Path, gap: int) -> None:
    path = paint(tmp_path / "v.mp4", 60, lambda i: None if 20 <= i < 20 + gap else (50 + i, 60))
    tracks = follow(path)
    if gap * 0.04 < 0.4:
        (track,) = tracks.tracks
        assert (track.start, track.stop) == (0, 60)
        assert np.abs(track.boxes_xyxy[:, 0] - (50 + np.arange(60))).max() < 1.5
    else:
        assert [(t.start, t.stop) for t in tracks.tracks] == [(0, 20), (20 + gap, 60)]


def test_coming_and_going_is_found_to_the_frame(tmp_path: Path) -> None:
    tracks = follow(paint(tmp_path / "v.mp4", 60, lambda i: (100, 100) if 13 <= i < 42 else None))
    assert [(t.start, t.stop) for t in tracks.tracks] == [(13, 42)]


def test_two_faces_keep_apart_when_they_come_close(tmp_path: Path) -> None:
    path = paint(tmp_path / "v.mp4", 50, lambda i: (20 + 2 * i, 60), lambda i: (250 - 2 * i, 150))
    left, right = follow(path).tracks
    assert left.boxes_xyxy[0, 0] < 30 and left.boxes_xyxy[-1, 0] > 110 and np.all(left.boxes_xyxy[:, 1] < 70)
    assert right.boxes_xyxy[-1, 0] < 160 and np.all(right.boxes_xyxy[:, 1] > 140)


def test_a_face_that_is_less_sure_for_a_while_stays_but_none_begins_unsure(tmp_path: Path) -> None:
    class Unsure(Painted):
        """Half sure of every face after so many looks."""

        def __init__(self, after: int) -> None:
            super().__init__()
            self._after = after

        def detect(self, pictures_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
            found = super().detect(pictures_bgr)
            score = 0.6 if self.searched > self._after else 0.9
            return [[replace(d, score=score) for d in faces] for faces in found]

    info = probe(paint(tmp_path / "v.mp4", 100, lambda _: (40, 60)))
    (track,) = track_faces(info, Unsure(8), progress=False).tracks
    assert (track.start, track.stop) == (0, 100) and track.scores[-1] == pytest.approx(0.6)
    assert not track_faces(info, Unsure(0), progress=False).tracks


def test_flashes_are_no_faces(tmp_path: Path) -> None:
    assert follow(paint(tmp_path / "v.mp4", 40, lambda i: (100, 100) if 20 <= i < 22 else None)).tracks == ()


def test_detection_is_sparse_where_nothing_changes(tmp_path: Path) -> None:
    detector = Painted()
    track_faces(probe(paint(tmp_path / "v.mp4", 100, lambda _: (100, 100))), detector, progress=False)
    assert detector.searched <= 100 / 4 + 2


def test_most_looks_see_only_the_surroundings_of_known_faces_and_miss_nobody_who_comes_in(tmp_path: Path) -> None:
    path = paint(tmp_path / "v.mp4", 150, lambda _: (270, 190), lambda i: (10, 10) if i >= 107 else None)
    detector = Painted()
    first, second = track_faces(probe(path), detector, progress=False).tracks
    assert (first.start, first.stop, second.start, second.stop) == (0, 150, 107, 150)
    assert np.abs(first.boxes_xyxy - [270, 190, 310, 230]).max() < 1
    parts = [size for size in detector.sizes if size != (240, 320)]
    assert len(parts) > 10 and all(height * width < 0.75 * 240 * 320 for height, width in parts)


def test_a_head_that_nods_fast_is_looked_at_more_often(tmp_path: Path) -> None:
    """Three times a second, by a quarter of its height; a line from look to look would be off by most of that."""

    def nod(i: int) -> tuple[float, float]:
        return 100, 90 + 10 * np.sin(2 * np.pi * 3 * i / 25)

    detector = Painted()
    (track,) = track_faces(probe(paint(tmp_path / "v.mp4", 75, nod)), detector, replace(TrackConfig(), smooth_s=0),
                           progress=False).tracks  # fmt: skip
    error_px = track.boxes_xyxy[:, 1] - [round(nod(i)[1]) for i in range(75)]
    assert np.abs(error_px).mean() < 1.2 and detector.searched > 40


def test_boxes_are_in_the_sources_pixels(tmp_path: Path) -> None:
    path = paint(tmp_path / "v.mp4", 20, lambda _: (100, 80))
    (track,) = follow(path, side_px=160).tracks
    assert np.abs(track.boxes_xyxy - [100, 80, 140, 120]).max() <= 2


def test_smoothing_is_centred_and_keeps_straight_lines_to_the_ends() -> None:
    line = np.arange(40.0)[:, None] * [3, -2]
    assert np.allclose(smooth_centred(line, 2.0), line)
    impulse = np.zeros((41, 1))
    impulse[20] = 1
    smooth = smooth_centred(impulse, 2.0)[:, 0]
    assert np.allclose(smooth, smooth[::-1]) and smooth.argmax() == 20 and smooth[20] < 0.3
    assert np.array_equal(smooth_centred(line[:1], 2.0), line[:1])


def test_tracks_survive_the_disk(tmp_path: Path) -> None:
    tracks = follow(paint(tmp_path / "v.mp4", 40, lambda i: (40 + i, 60), lambda i: (200, 150) if i > 9 else None))
    tracks.save(tmp_path / "tracks.npz")
    again = Tracks.load(tmp_path / "tracks.npz")
    assert again.time_base == tracks.time_base and again.end_pts == tracks.end_pts
    assert np.array_equal(again.pts, tracks.pts) and np.array_equal(again.cuts, tracks.cuts)
    for a, b in zip(again.tracks, tracks.tracks, strict=True):
        assert a.start == b.start and np.array_equal(a.boxes_xyxy, b.boxes_xyxy) and np.array_equal(a.scores, b.scores)
        assert np.array_equal(a.landmarks_xy, b.landmarks_xy, equal_nan=True)


# ── speakers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def made_track(start: int, n: int, box: Sequence[float]) -> Track:
    return Track(
        start, np.tile(np.float32(box), (n, 1)), np.ones(n, np.float32), np.full((n, 5, 2), np.nan, np.float32)
    )


def made_tracks(*tracks: Track, n: int = 50, cuts: Sequence[int] = ()) -> Tracks:
    return Tracks(np.arange(n), Fraction(1, 25), 1, np.array(cuts, int), tuple(tracks))


LEFT, RIGHT = (10, 10, 60, 70), (200, 20, 240, 70)


# ── presence ───────────────────────────────────────────────────────────────────────────────────────────────────────


def face_of(heights_px: Sequence[float]) -> Face:
    """A face of the given heights, one a frame; 0 is no face."""
    boxes = np.array([[0, 0, h, h] if h else [np.nan] * 4 for h in heights_px], np.float32)
    scores = np.where(np.isnan(boxes[:, 0]), np.nan, 0.9).astype(np.float32)
    return Face(boxes, np.full((len(boxes), 5, 2), np.nan, np.float32), scores)


def spans(segments: Segments) -> list[tuple[float, float]]:
    return [(round(s.start_s, 6), round(s.end_s, 6)) for s in segments]


def test_presence_has_hysteresis_and_says_why_not() -> None:
    face = face_of([30, 33, 30, 26, 25, 30, 0, 40, 40, 40, 40])
    face.scores[7:] = [0.59, 0.61, 0.55, 0.5]
    assert absence(made_tracks(n=11), face).tolist() == [
        "tiny", "", "", "", "tiny", "tiny", "nobody", "unsure", "", "", "unsure",
    ]  # fmt: skip
    assert absence(made_tracks(n=11), face, PresenceConfig(min_face_px=20, min_score=0))[0] == ""
    assert absence(made_tracks(n=11, cuts=[2]), face)[2] == "tiny", "hysteresis went over a cut"


def landmarks_of(turn_deg: float, roll_deg: float = 0.0, size_px: float = 40.0) -> np.ndarray:
    """Landmarks (5, 2) of a head of plain geometry: eyes and mouth on a plane, the nose standing out."""
    turn, roll = np.radians([turn_deg, roll_deg])
    head = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0, 0, 0.48], [-0.4, 0.55, 0], [0.4, 0.55, 0]])
    seen = np.column_stack([head[:, 0] * np.cos(turn) + head[:, 2] * np.sin(turn), head[:, 1]])
    rotation = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return (seen @ rotation.T * size_px + 100).astype(np.float32)


@pytest.mark.parametrize("turn_deg", [0, 20, -45, 70, -85])
@pytest.mark.parametrize("roll_deg", [0, 25, -30])
def test_a_turned_head_is_told_from_a_tilted_one(turn_deg: float, roll_deg: float) -> None:
    points = landmarks_of(turn_deg, roll_deg)
    assert head_turn_deg(points) == pytest.approx(abs(turn_deg), abs=6)
    assert np.degrees(face_roll(points)) == pytest.approx(roll_deg, abs=11)  # a nose to the side is seen as some tilt
    face = face_of([50])
    face.landmarks_xy[0] = points
    assert absence(made_tracks(n=1), face).tolist() == ["turned" if abs(turn_deg) > 75 else ""]


def test_unknown_landmarks_are_neither_turned_nor_tilted() -> None:
    nowhere = np.full((3, 5, 2), np.nan, np.float32)
    assert np.isnan(head_turn_deg(nowhere)).all() and not face_roll(nowhere).any()


def test_segments_begin_and_end_with_frames_and_close_short_gaps() -> None:
    heights = [0] * 5 + [50] * 10 + [0] * 5 + [50] * 10 + [0] * 15 + [50] * 3 + [0] * 2
    segments = suggest_segments(made_tracks(), face_of(heights))
    assert spans(segments) == [(0.2, 1.2)]  # 0.2 s closed, 0.12 s dropped
    assert all(s.source == "auto" for s in segments)


def test_segments_are_padded_only_where_the_face_is_seen_and_not_over_a_cut() -> None:
    heights = [25] * 20 + [50] * 20 + [25] * 1 + [0] * 9
    config = PresenceConfig(pad_s=0.08)
    assert spans(suggest_segments(made_tracks(), face_of(heights), config)) == [(0.72, 1.64)]
    assert spans(suggest_segments(made_tracks(cuts=[20]), face_of(heights), config)) == [(0.8, 1.64)]


def test_a_gap_with_a_cut_in_it_stays_open_and_touching_segments_join() -> None:
    heights = [50] * 20 + [0] * 4 + [50] * 26
    segments = suggest_segments(made_tracks(cuts=[22]), face_of(heights))
    assert spans(segments) == [(0, 0.8), (0.96, 2.0)]
    assert len(suggest_segments(made_tracks(cuts=[22]), face_of([50] * 50))) == 1


def test_a_short_shot_inside_a_long_presence_is_kept() -> None:
    assert spans(suggest_segments(made_tracks(cuts=[20, 25]), face_of([50] * 50))) == [(0.0, 2.0)]


# ── real clips ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_stretch_without_a_face_is_found(shared_media: Path, shared_weights: Path) -> None:
    detector = load_detector(str(shared_weights / "retinaface_mobilenet0.25.pth"))
    tracks = track_faces(probe(shared_media / "video" / "cutaway_noface_22s.mov"), detector, progress=False)
    (start_s, end_s), *more = suggest_segments(tracks, speaker_face(tracks)).gaps(0, tracks.end_s)
    assert start_s == pytest.approx(10.6, abs=0.2) and end_s == pytest.approx(14.6, abs=0.2) and not more


def test_cuts_and_people_of_a_concert(shared_media: Path, shared_weights: Path) -> None:
    detector = load_detector(str(shared_weights / "retinaface_mobilenet0.25.pth"))
    tracks = track_faces(probe(shared_media / "video" / "whgov_hamilton_10s.mp4"), detector, progress=False)
    assert tracks.cuts.tolist() == [20, 82, 211]
    for track in tracks.tracks:
        assert not any(track.start < cut < track.stop for cut in tracks.cuts)


PEAK = """
import resource, sys
from wav2lip_kit.faces.detectors import load_detector
from wav2lip_kit.faces.tracking import track_faces
from wav2lip_kit.media import probe
tracks = track_faces(probe(sys.argv[1]), load_detector("retinaface"), progress=False)
print(tracks.n_frames, len(tracks.tracks), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_ten_minutes_are_tracked_in_the_memory_of_one(
    tmp_path: Path, shared_media: Path, shared_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 000 frames of a real face; held in memory they would take 570 MB."""
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(shared_weights))
    info = probe(shared_media / "video" / "carphone_tiny_face.mp4")
    once = [frame_to_bgr(frame, info.color) for frame in read_frames(info)]
    there_and_back = [*once, *reversed(once)]
    peaks_mb = []
    for minutes in (1, 10):
        clip = make_clip(tmp_path / f"{minutes}.mp4", 1500 * minutes, 25, size=(info.width_px, info.height_px),
                         pictures=there_and_back, options={"preset": "ultrafast"})  # fmt: skip
        answer = subprocess.run([sys.executable, "-c", PEAK, clip], capture_output=True, text=True, check=True)
        n_frames, n_tracks, peak_mb = map(int, answer.stdout.split())
        assert (n_frames, n_tracks) == (1500 * minutes, 1)
        peaks_mb.append(peak_mb)
    assert peaks_mb[1] - peaks_mb[0] < 60, f"{peaks_mb} MB"
