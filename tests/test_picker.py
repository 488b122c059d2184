"""The pickers without a browser: where marks begin, how edits are checked and saved, and what is sent to a browser.

Runs with the oldest widget libraries too (`make test-colab-widgets`).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from clips import frames_of, make_clip, make_sound, number_of, times_of, write_boxes

from wav2lip_kit import Project, Segment, Segments
from wav2lip_kit.errors import SegmentError
from wav2lip_kit.faces.detectors import Detection
from wav2lip_kit.media import probe
from wav2lip_kit.notices import collect_notices
from wav2lip_kit.widgets import FramePicker, TimestampPicker, pick_timestamps
from wav2lip_kit.widgets import preview as preview_module
from wav2lip_kit.widgets.preview import make_preview, proxy_size, read_still
from wav2lip_kit.widgets.timestamp_picker import CHUNK_BYTES

BOX = (110, 60, 210, 190)
N_FRAMES = 60


class NoFaces:
    """A detector that finds nothing; the speaker's boxes come from a file."""

    name = "none"

    def detect(self, pictures_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [[] for _ in pictures_bgr]


@pytest.fixture(autouse=True, scope="module")
def no_search() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wav2lip_kit.project.load_detector", lambda *_, **__: NoFaces())
        yield


def make_project(folder: Path, boxes: list[Any] | None = None, **settings: Any) -> Project:
    """60 numbered frames, 25 a second, and a face in frames 10 to 29, unless `boxes` says otherwise."""
    boxes = boxes or [BOX if 10 <= k < 30 else None for k in range(N_FRAMES)]
    clip = make_clip(folder / "talk.mp4", N_FRAMES, sound_s=2.4)
    sound = make_sound(folder / "words.wav", 2.0)
    speaker = str(write_boxes(folder / "boxes.json", boxes))
    given = {"weights": "demo", "detector": "haar", "speaker": speaker, **settings}
    return Project.create(folder / "job", clip, sound, **given)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its preview, but no marks."""
    project = make_project(tmp_path_factory.mktemp("prepared"))
    make_preview(project, project.track(progress=False), progress=False)
    return project.folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Project:
    return Project.open(shutil.copytree(prepared, tmp_path / "job"))


@pytest.fixture
def picker(project: Project) -> TimestampPicker:
    return TimestampPicker(project, progress=False)


def frames_marked(project: Project) -> list[tuple[int, int]]:
    """The segments in segments.json, as first frame and the frame after the last; they lie exactly on frames."""
    tracks = project.track(progress=False)
    edges_s = [*tracks.times_s.tolist(), tracks.end_s]
    return [(edges_s.index(s.start_s), edges_s.index(s.end_s)) for s in project.segments]


def row(start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    return {"start_s": start_s, "end_s": end_s, "speaker": "", "audio": "", "source": "manual", "score": None, **more}


def browser_says(picker: TimestampPicker, message: dict[str, Any]) -> list[tuple[dict[str, Any], bytes]]:
    """What Python sends when the browser sends `message`."""
    sent: list[tuple[dict[str, Any], bytes]] = []
    picker.send = lambda content, buffers=None: sent.append((content, *(buffers or [])))  # type: ignore[method-assign]
    picker._handle_custom_msg(json.loads(json.dumps(message)), [])
    return sent


# ── where marks begin ──


def test_it_begins_with_the_suggestions_and_saves_them(project: Project, picker: TimestampPicker) -> None:
    assert frames_marked(project) == [(10, 30)]
    assert picker.segments == project.segments
    assert [s.source for s in picker.segments] == ["auto"]
    assert picker.held["segments"] == picker.suggestions
    assert picker.problem == ""


def test_marks_that_are_there_stay_and_suggestions_can_be_brought_back(project: Project) -> None:
    project.segments = Segments([Segment(0.4, 0.8)])
    picker = TimestampPicker(project, progress=False)
    assert picker.segments == Segments([Segment(0.4, 0.8)])
    assert [(s["start_s"], s["end_s"]) for s in picker.suggestions] == [(0.4, 1.2)]


def test_segments_of_the_settings_come_before_the_suggestions(tmp_path: Path) -> None:
    project = make_project(tmp_path, segments="0:00.2-0:00.6")
    assert str(TimestampPicker(project, progress=False).segments) == "0:00.2-0:00.6"


def test_without_any_face_one_can_mark_by_hand(tmp_path: Path) -> None:
    project = make_project(tmp_path, speaker="largest")
    with collect_notices() as notices:
        picker = TimestampPicker(project, progress=False)
    assert any("no suggestions" in n and "no face anywhere" in n for n in notices)
    assert (picker.suggestions, list(picker.segments), project.segments_path.exists()) == ([], [], False)
    assert not np.frombuffer(picker.presence, np.uint8).any()
    browser_says(picker, {"kind": "edit", "edit": "a-1", "segments": [row(0.2, 0.6)]})
    assert frames_marked(project) == [(5, 15)]


def test_marks_past_the_end_of_the_video_are_told_at_once(project: Project) -> None:
    project.segments = Segments([Segment(1.0, 9.0)])
    with pytest.raises(SegmentError, match="past the end"):
        TimestampPicker(project, progress=False)


# ── edits ──


def test_an_edit_is_saved_and_acknowledged(project: Project, picker: TimestampPicker) -> None:
    rows = [row(0.2, 0.32), row(0.4, 1.2, source="auto", score=0.5)]
    browser_says(picker, {"kind": "edit", "edit": "a-1", "segments": rows})
    assert picker.held == {"edit": "a-1", "problem": "", "segments": rows}
    assert project.segments == picker.segments == Segments([Segment(0.2, 0.32), Segment(0.4, 1.2, "", "", "auto", 0.5)])


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([row(0.2, 0.6), row(0.4, 0.8)], "overlap"),
        ([row(0.2, 99.0)], "past the end"),
        ([row(0.6, 0.2)], "ends before it starts"),
        ([row(0.2, 0.6, source="robot")], "unknown"),
    ],
)
def test_a_wrong_edit_is_refused_with_a_reason(
    project: Project, picker: TimestampPicker, rows: list[dict[str, Any]], reason: str
) -> None:
    before = project.segments_path.read_bytes()
    browser_says(picker, {"kind": "edit", "edit": "a-7", "segments": rows})
    assert reason in picker.held["problem"]
    assert picker.held["edit"] == "a-7"
    assert picker.held["segments"] == picker.suggestions, "the last good state is sent back"
    assert project.segments_path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_told(
    project: Project, picker: TimestampPicker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wav2lip_kit.segment_files.write_text_atomic", full)
    browser_says(picker, {"kind": "edit", "edit": "a-1", "segments": []})
    assert "No space left" in picker.held["problem"]
    assert frames_marked(project) == [(10, 30)]


def test_segments_set_from_python_are_saved_and_shown(project: Project, picker: TimestampPicker) -> None:
    picker.segments = Segments([Segment(0.0, 0.4)])
    assert frames_marked(project) == [(0, 10)]
    assert picker.held["segments"] == [row(0.0, 0.4)]
    with pytest.raises(SegmentError, match="past the end"):
        picker.segments = Segments([Segment(0.0, 9.0)])
    assert frames_marked(project) == [(0, 10)]


# ── what is sent ──


def test_the_chunks_make_up_the_files(picker: TimestampPicker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wav2lip_kit.widgets.timestamp_picker.CHUNK_BYTES", 1000)
    for name, size in picker.scene["bytes"].items():
        asked = [{"kind": "chunk", "name": name, "index": k} for k in range(-(-size // 1000))]
        answers = [answer for message in asked for answer in browser_says(picker, message)]
        assert [content for content, _ in answers] == asked
        assert b"".join(data for _, data in answers) == picker._files[name].read_bytes()
    assert picker.scene["chunk_bytes"] == CHUNK_BYTES <= 2_000_000


def test_traits_tell_times_faces_and_sound(picker: TimestampPicker) -> None:
    times = np.frombuffer(picker.times, "<f8")
    assert np.array_equal(times, picker._tracks.times_s)
    presence = np.frombuffer(picker.presence, np.uint8)
    assert np.flatnonzero(presence).tolist() == list(range(10, 30))
    assert presence[15] == round(255 * 130 / 240)
    peaks = np.frombuffer(picker.peaks, np.uint8)
    assert len(peaks) == pytest.approx(2.0 * picker.scene["peaks_per_s"], abs=2), "the new audio lasts 2 s"
    assert peaks.max() == pytest.approx(0.2 * 255, abs=6), "a tone at a fifth of full scale"
    sprite = cv2.imdecode(np.frombuffer(picker.thumbs, np.uint8), cv2.IMREAD_COLOR)
    assert sprite.shape[1] == picker.scene["n_thumbs"] * 96


def test_a_still_is_the_frame_asked_for(picker: TimestampPicker) -> None:
    for frame in (0, 11, 12, 13, 59):
        ((content, data),) = browser_says(picker, {"kind": "still", "frame": frame})
        assert content["frame"] == frame
        assert number_in(data) == frame


def number_in(jpeg: bytes) -> int:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    return sum(1 << bit for bit in range(12) if picture[8, 16 * bit + 8] > 128)


# ── the proxy ──


def test_the_proxy_has_every_frame_at_its_time(tmp_path: Path) -> None:
    steps = [(20, 33, 67, 100)[k % 4] for k in range(N_FRAMES)]
    pts = [480 + sum(steps[:k]) for k in range(N_FRAMES)]
    clip = make_clip(tmp_path / "talk.mp4", N_FRAMES, pts=pts, time_base=Fraction(1, 1000), sound_s=4.0)
    sound = make_sound(tmp_path / "w.wav", 1.0)
    project = Project.create(tmp_path / "job", clip, sound, weights="demo", detector="haar", trim="0:01-0:03")
    tracks = project.track(progress=False)
    preview = make_preview(project, tracks, progress=False)
    frames = frames_of(preview.video)
    first = next(k for k, t in enumerate(pts) if t >= 1000)
    assert [number_of(f) for f in frames] == list(range(first, first + tracks.n_frames))
    assert times_of(preview.video) == pytest.approx(tracks.times_s - tracks.times_s[0], abs=1e-6)
    for k in (0, 1, 7, tracks.n_frames - 1):
        still = read_still(preview.video, float(tracks.times_s[k] - tracks.times_s[0]))
        assert number_in(still) == first + k


def test_any_frame_is_quick_to_reach(picker: TimestampPicker) -> None:
    with av.open(str(picker._files["video"])) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.pts is not None]
    keys = [k for k, p in enumerate(packets) if p.is_keyframe]
    assert max(np.diff([*keys, len(packets)])) <= 12
    assert [p.pts for p in packets] == sorted(p.pts for p in packets), "no frame waits for a later one"


def test_it_carries_the_sound_of_the_video(picker: TimestampPicker) -> None:
    with av.open(str(picker._files["video"])) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(container.streams.audio[0])])
    assert len(heard) / preview_module.SOUND_HZ == pytest.approx(2.4, abs=0.1)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(0.2 / np.sqrt(2), rel=0.1), "the tone of the video"


def test_it_is_made_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def again(*_: Any, **__: Any) -> None:
        raise AssertionError("the preview is made again")

    monkeypatch.setattr(preview_module, "_write_proxy", again)
    monkeypatch.setattr(preview_module, "_write_sound", again)
    TimestampPicker(project, progress=False)
    assert {p.name for p in project.folder.glob("*.part*")} == set()


def test_long_videos_stay_small(project: Project) -> None:
    info = probe(project.video.path)
    wide = preview_module.replace(info, width_px=1920, height_px=1080)
    assert proxy_size(wide, 600.0) == (640, 360)
    assert proxy_size(wide, 3600.0) == (320, 180)
    assert proxy_size(info, 600.0) == (320, 240), "never larger than the source"
    narrow = preview_module.replace(info, width_px=1080, height_px=1920, sample_aspect=Fraction(2, 3))
    assert proxy_size(narrow, 600.0) == (240, 640)


def test_the_size_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = [np.random.default_rng(k).integers(0, 256, (120, 160, 3), np.uint8) for k in range(20)]
    clip = make_clip(tmp_path / "noise.mp4", 100, size=(160, 120), pictures=noise, options={"preset": "ultrafast"})
    project = Project.create(
        tmp_path / "job", clip, make_sound(tmp_path / "w.wav", 1.0), weights="demo", detector="haar"
    )
    tracks = project.track(progress=False)
    monkeypatch.setattr(preview_module, "MOST_BYTES", 150_000)
    assert make_preview(project, tracks, progress=False).video.stat().st_size < 180_000


# ── plain ipywidgets, and typed times ──


def test_the_fallback_marks_the_same(project: Project) -> None:
    picker = FramePicker(project, progress=False)
    assert frames_marked(project) == [(10, 30)]
    assert number_in(picker._image.value) == 0
    picker._slider.value = 40
    assert number_in(picker._image.value) == 40
    press(picker, "Set in")
    picker._slider.value = 44
    press(picker, "+1")
    press(picker, "Set out")
    assert frames_marked(project) == [(10, 30), (40, 46)]
    picker._list.value = picker.segments[0]
    press(picker, "Delete")
    assert frames_marked(project) == [(40, 46)]
    assert picker.segments == project.segments
    picker._text.value = "0:00.21-0:01"
    assert frames_marked(project) == [(5, 25)], "typed times come to lie on frames"
    picker._text.value = "0:01-0:99"
    assert "not saved" in picker._told.value
    assert frames_marked(project) == [(5, 25)]
    press(picker, "Set out")
    assert "Set in" in picker._told.value


def press(picker: FramePicker, name: str) -> None:
    (button,) = [b for b in picker.children[2].children if b.description == name]
    button.click()


def test_typed_times_win(project: Project) -> None:
    project.segments = Segments([Segment(0.4, 0.8)])
    shown = pick_timestamps(project, "0:00-0:00.4, 0:01-0:01.2", progress=False)
    assert isinstance(shown, TimestampPicker)
    assert str(shown.segments) == "0:00-0:00.4, 0:01-0:01.2"
    assert str(pick_timestamps(project, "", progress=False).segments) == "0:00-0:00.4, 0:01-0:01.2"


@pytest.mark.parametrize("typed", ["0:00-0:99", "0:00-9:00", "auto"])
def test_wrong_typed_times_change_nothing(project: Project, typed: str) -> None:
    project.segments = Segments([Segment(0.4, 0.8)])
    before = project.segments_path.read_bytes()
    with pytest.raises(SegmentError):
        pick_timestamps(project, typed, progress=False)
    assert project.segments_path.read_bytes() == before


def test_without_anywidget_the_fallback_is_shown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wav2lip_kit.widgets.timestamp_picker", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with collect_notices() as notices:
        picker = pick_timestamps(project, "0:00-0:00.4", progress=False)
    assert isinstance(picker, FramePicker)
    assert str(picker.segments) == "0:00-0:00.4"
    assert any("anywidget" in n for n in notices)
