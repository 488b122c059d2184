"""Speakers, per-segment audio and the pre-flight in whole runs, with painted faces and a syncer that listens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip, make_sound
from test_faces import Painted

from wav2lip_kit.audio import mel_spectrogram, mel_windows, read_audio
from wav2lip_kit.errors import FaceError, SegmentError
from wav2lip_kit.faces.crops import CHIN_PAD, crop_matrix, righted_roll
from wav2lip_kit.notices import collect_notices
from wav2lip_kit.preflight import preflight
from wav2lip_kit.project import Project
from wav2lip_kit.segments import Segment, Segments

BIG, SMALL = (40, 60, 100, 130), (220, 80, 260, 125)


class OnPaintedSquares(Painted):
    """Under the name of a detector that the project can load by itself."""

    name = "haar"


class Listener:
    """Stands in for `LipSyncer`: keeps what it hears and sees, and answers with grey."""

    batch_size = 8

    def __init__(self) -> None:
        self.mels: list[np.ndarray] = []
        self.crops: list[np.ndarray] = []

    def __call__(self, mels: np.ndarray, crops_bgr: np.ndarray) -> np.ndarray:
        self.mels += list(mels)
        self.crops += list(crops_bgr)
        return np.full_like(crops_bgr, 128)


@pytest.fixture
def job(tmp_path: Path) -> Project:
    """Two faces for two seconds, and a tone to say."""
    picture = np.full((240, 320, 3), 60, np.uint8)
    for x0, y0, x1, y1 in (BIG, SMALL):
        picture[y0:y1, x0:x1] = 255
    video = make_clip(tmp_path / "v.mp4", 50, pictures=[picture])
    return Project.create(tmp_path / "job", video, make_sound(tmp_path / "main.wav", 2.0), weights="demo")


def tone(path: Path, duration_s: float, frequency_hz: float) -> np.ndarray:
    """Write a WAV of another pitch than the job's own 440 Hz, and return its spectrogram."""
    import wave

    samples = 0.2 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * 16_000)) / 16_000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return mel_spectrogram(np.concatenate(list(read_audio(path)), axis=1)[0])


def synced(job: Project, *segments: Segment) -> Listener:
    listener = Listener()
    job.segments = Segments(segments)
    job.sync(syncer=listener, tracks=job.track(detector=Painted(), progress=False), progress=False)  # type: ignore[arg-type]
    return listener


def pitches_hz(path: Path, spans_s: Sequence[tuple[float, float]]) -> list[float]:
    """The strongest frequency of a file's sound in each stretch."""
    wave = np.concatenate(list(read_audio(path)), axis=1)[0]
    found = []
    for start_s, end_s in spans_s:
        part = wave[round(start_s * 16_000) : round(end_s * 16_000)]
        found.append(float(np.argmax(np.abs(np.fft.rfft(part))) * 16_000 / len(part)))
    return found


def test_two_people_with_two_audio_files_each_hear_their_own_and_so_does_the_result(
    job: Project, tmp_path: Path
) -> None:
    low, high = tone(job.folder / "low.wav", 1.0, 220), tone(tmp_path / "high.wav", 0.5, 1760)
    heard = synced(
        job,
        Segment(0.0, 0.8, speaker="person-1", audio="low.wav"),
        Segment(0.8, 1.4, speaker="person-2", audio="high.wav"),
        Segment(1.4, 2.0),
    )
    times_s = np.arange(50) / 25
    assert np.allclose(heard.mels[:20], mel_windows(low, times_s[:20]), atol=1e-4)
    assert np.allclose(heard.mels[20:35], mel_windows(high, times_s[20:35] - 0.8), atol=1e-4)
    main = mel_windows(mel_spectrogram(np.concatenate(list(read_audio(job.audio.path)), axis=1)[0]), times_s[35:])
    assert np.allclose(heard.mels[35:], main, atol=1e-4)
    final = job.combine(tracks=job.track(detector=Painted(), progress=False), progress=False)
    spans = [(0.1, 0.7), (0.9, 1.25), (1.5, 1.9)]
    assert pitches_hz(final, spans) == pytest.approx([220, 1760, 440], abs=4)
    wave = np.concatenate(list(read_audio(final)), axis=1)[0]
    assert np.abs(wave[round(1.33 * 16_000) : round(1.38 * 16_000)]).max() < 0.02, "the main audio is heard too"
    assert np.abs(np.diff(wave)).max() < 0.2, "a click"


def test_only_the_picked_person_is_synced_in_each_segment(job: Project) -> None:
    tracks = job.track(detector=Painted(), progress=False)
    synced(job, Segment(0.0, 0.8, speaker="person-2"), Segment(1.2, 2.0, speaker="70,90@0:00.1"))
    plan = job.plan(tracks)
    boxes = plan.face.boxes_xyxy
    assert np.abs(boxes[:20] - SMALL).max() < 2 and np.abs(boxes[30:] - BIG).max() < 2
    assert {p.mark for p in plan.parts} == {0, 1, 2}


def test_a_longer_audio_than_its_segment_is_told(job: Project) -> None:
    tone(job.folder / "long.wav", 1.5, 220)
    with collect_notices() as told:
        synced(job, Segment(0.0, 0.8, audio="long.wav"))
    assert any("long.wav" in message and "end is cut" in message for message in told)


def test_an_audio_or_speaker_that_is_not_there_is_told_before_the_work(job: Project) -> None:
    job.segments = Segments([Segment(0.0, 1.0, audio="gone.wav")])
    with pytest.raises(SegmentError, match=r"'gone\.wav'.*neither in .*nor beside it"):
        job.run(progress=False)
    job.segments = Segments([Segment(0.0, 1.0, speaker="the tall one")])
    with pytest.raises(FaceError, match=r"unknown speaker 'the tall one'"):
        job.run(progress=False)


def test_the_audio_of_a_segment_is_part_of_its_key(job: Project) -> None:
    tone(job.folder / "a.wav", 0.5, 220)
    tracks = job.track(detector=Painted(), progress=False)
    job.segments = Segments([Segment(0.0, 0.8, audio="a.wav")])
    before = job.plan(tracks).paths
    tone(job.folder / "a.wav", 0.5, 330)
    after = job.plan(tracks).paths
    assert before[0] != after[0] and before[1:] == after[1:]


def test_preflight_tells_what_will_be_synced_and_what_it_costs(job: Project) -> None:
    tracks = job.track(detector=Painted(), progress=False)
    job.segments = Segments([Segment(0.0, 1.0)])
    before = preflight(job, tracks, Listener())  # type: ignore[arg-type]
    assert before.synced_s == pytest.approx(1.0) and before.video_s == pytest.approx(2.0)
    assert before.without == ((pytest.approx(1.0), pytest.approx(2.0), ""),)
    assert [p.name for p in before.people] == ["person-1", "person-2"]
    assert before.sync_s > 0 and before.disk_bytes > 1000 and before.free_bytes > 0
    table = str(before)
    for words in ("(50%)", "0:01.0-0:02.0 not marked", "person-2 0:02.0", "on this machine", "MB"):
        assert words in table, table
    assert not list(job.folder.glob("tmp*")), "the rendered piece is left behind"


# ── the picker ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_click_chooses_the_speaker_and_suggests_anew_but_keeps_marks_made_by_hand(job: Project) -> None:
    pytest.importorskip("ipywidgets")
    from wav2lip_kit.widgets import SpeakerPicker

    tracks = job.track(detector=Painted(), progress=False)
    picker = SpeakerPicker(job, tracks)
    first, second = picker._buttons.values()
    second.value = True  # what a click does
    assert picker.speaker == "person-2" and not first.value
    assert Project.open(job.folder).settings.speaker == "person-2"
    assert [s.source for s in job.segments] == ["auto"]
    first.value = True
    assert picker.speaker == "person-1" and not second.value
    first.value = False
    assert first.value, "a second click must not leave nobody chosen"
    job.segments = Segments([Segment(0.2, 0.6)])
    picker.speaker = "person-2"
    assert [s.source for s in job.segments] == ["manual"]
    with pytest.raises(FaceError, match="person-7"):
        picker.speaker = "person-7"


def test_who_is_typed_is_chosen_and_plain_marks_follow(job: Project) -> None:
    pytest.importorskip("ipywidgets")
    from wav2lip_kit.widgets import FramePicker, pick_speaker

    job.settings = Project.open(job.folder, detector="haar").settings
    tracks = job.track(detector=OnPaintedSquares(), progress=False)
    speakers = pick_speaker(job, " person-2 ", progress=False)
    assert speakers is not None and Project.open(job.folder).settings.speaker == "person-2"
    assert pick_speaker(job, progress=False).speaker == "person-2", "left empty it stays as it was"  # type: ignore[union-attr]
    with pytest.raises(FaceError, match="person-7"):
        pick_speaker(job, "person-7", progress=False)
    assert Project.open(job.folder).settings.speaker == "person-2"
    marks = FramePicker(job, tracks, progress=False)
    speakers.observe(lambda _: marks.look_again(), "speaker")
    job.segments = Segments([Segment(0.0, 1.0, source="auto")])
    speakers.speaker = "person-1"
    assert [str(s) for s in job.segments] == [text for text, _ in marks._list.options] == ["0:00-0:02"]


def test_without_a_face_there_is_nobody_to_pick_and_the_cell_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets")
    from wav2lip_kit.widgets import pick_speaker

    video = make_clip(tmp_path / "v.mp4", 10, pictures=[np.full((240, 320, 3), 60, np.uint8)])
    job = Project.create(tmp_path / "job", video, make_sound(tmp_path / "a.wav", 0.4), detector="haar")
    job.track(detector=OnPaintedSquares(), progress=False)
    with collect_notices() as told:
        assert pick_speaker(job, "  ", progress=False) is None
    assert len(told) == 1 and "no face anywhere in v.mp4" in told[0]
    with pytest.raises(FaceError, match=r"no face anywhere in v\.mp4"):
        pick_speaker(job, "person-1", progress=False)


# ── tilted faces ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_upright_crop_is_the_references_own() -> None:
    box = np.array([100.0, 50.0, 180.0, 150.0])
    x0, y0, x1, y1 = box[0], box[1], box[2], box[3] + CHIN_PAD * 100
    scale_x, scale_y = 96 / (x1 - x0), 96 / (y1 - y0)
    want = np.array([[scale_x, 0, (0.5 - x0) * scale_x - 0.5], [0, scale_y, (0.5 - y0) * scale_y - 0.5]])
    assert np.allclose(crop_matrix(box), want)


@pytest.mark.parametrize("roll_deg", [-30, -15, 10, 30])
def test_a_tilted_face_gives_the_crop_of_the_upright_one(roll_deg: float) -> None:
    """A drawn face, an ellipse with a mouth, turned: eyes and mouth must land where they do upright."""
    centre, axes = np.array([160.0, 120.0]), np.array([40.0, 55.0])
    roll = np.radians(roll_deg)
    rotation = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    half = np.sqrt(rotation**2 @ axes**2)  # of the box around a turned ellipse
    matrix = crop_matrix(np.concatenate([centre - half, centre + half]) + 0.5, roll)
    upright = crop_matrix(np.concatenate([centre - axes, centre + axes]) + 0.5)
    for point in np.array([[-18, -15], [18, -15], [0, 30], [-14, 28], [14, 28]]):
        there = matrix @ [*(centre + rotation @ point), 1]
        assert np.allclose(there, upright @ [*(centre + point), 1], atol=0.02 * 96)
    eyes_nose_mouth = np.array([[-18, -15], [18, -15], [0, 6], [-14, 28], [14, 28]]) @ rotation.T
    left_deg = abs(roll_deg) - abs(np.degrees(righted_roll(eyes_nose_mouth)))
    assert left_deg == pytest.approx(6, abs=0.2), "only the natural tilt is left"
    back = cv2.invertAffineTransform(matrix) @ [48, 72, 1]
    assert np.allclose(matrix @ [*back, 1], [48, 72], atol=1e-6)
