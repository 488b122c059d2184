"""Who talks, from faces and sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import make_clip
from conftest import write_wave

from wav2lip_kit.errors import FaceError, WeightsError
from wav2lip_kit.faces.people import Person
from wav2lip_kit.faces.speakers import speaker_face
from wav2lip_kit.faces.talking import MAX_LOOKS, _looks, _talking_share, load_talking_face, talking_seconds
from wav2lip_kit.faces.tracks import Track, Tracks
from wav2lip_kit.media import probe
from wav2lip_kit.notices import collect_notices
from wav2lip_kit.project import Project


def steps(n: int, every: int = 20) -> np.ndarray:
    return np.where(np.arange(n) // every % 2, 2.0, -2.0)


def test_a_mouth_that_moves_with_the_sound_talks_and_one_that_rests_with_it_does_not() -> None:
    sound, ticks = steps(200), np.arange(200)
    assert _talking_share(steps(200), sound, ticks) > 0.4
    assert _talking_share(-steps(200), sound, ticks) == 0.0
    assert _talking_share(steps(200) - 4, sound, ticks) < 0.2, "a face that never seems to talk"
    assert _talking_share(steps(5), sound, ticks[:5]) == 0.0, "too short to tell"
    assert _talking_share(np.zeros(0), sound, np.zeros(0, int)) == 0.0
    assert _talking_share(steps(200), np.zeros(200), ticks) == 0.0, "no sound to go with"
    assert _talking_share(steps(200), sound[:100], ticks) > 0.4, "the sound ends before the picture"


def test_only_so_much_of_a_person_is_looked_at_however_long_they_are_seen() -> None:
    n = 25 * 600
    nowhere = np.zeros((n, 5, 2), np.float32)
    track = Track(0, np.tile(np.float32([0, 0, 50, 60]), (n, 1)), np.ones(n, np.float32), nowhere)
    tracks = Tracks(np.arange(n), Fraction(1, 25), 1, np.array([], int), (track,))
    looks = _looks(tracks, Person("person-1", (track,), 600.0))
    assert len(looks) == MAX_LOOKS and looks[0][1] == 0 and looks[-1][2] == n
    assert all(0 < stop - start <= 126 for _, start, stop in looks)


def test_without_its_weights_the_largest_face_is_taken_with_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    video = make_clip(tmp_path / "v.mp4", 25, sound_s=1.0)
    job = Project.create(tmp_path / "job", video, write_wave(tmp_path / "a.wav", 1.0), speaker="talking")
    boxes = [np.tile(np.float32(b), (25, 1)) for b in ([0, 0, 90, 100], [200, 0, 240, 50])]
    nowhere = np.full((25, 5, 2), np.nan, np.float32)
    faces = tuple(Track(0, b, np.ones(25, np.float32), nowhere) for b in boxes)
    tracks = Tracks(np.arange(25) * 400, probe(video).time_base, 400, np.array([], int), faces)
    with collect_notices() as told:
        assert np.all(job.face(tracks).boxes_xyxy == boxes[0])
    assert len(told) == 1 and "the largest face is synced" in told[0] and "lr_asd" in told[0]


def test_a_folder_of_frames_has_no_sound(tmp_path: Path) -> None:
    import cv2

    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((64, 64, 3), np.uint8))
    tracks = Tracks(np.arange(3), Fraction(1, 25), 1, np.array([], int), ())
    with pytest.raises(FaceError, match="no sound of its own"):
        talking_seconds(probe(tmp_path), tracks, ())


# ── the real network ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_published_weights_fit_and_a_still_face_does_not_seem_to_talk(
    shared_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(shared_weights))
    still = torch.full((30, 112, 112), 128, dtype=torch.uint8)
    with torch.inference_mode():
        seems = load_talking_face()(still)
    assert seems.shape == (30,) and seems.mean() < 0


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "lr_asd_finetuning_TalkSet.model")
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WeightsError):
        load_talking_face()


@pytest.mark.parametrize(("side", "name"), [("left", "person-2"), ("right", "person-1")])
def test_the_person_whose_voice_is_heard_is_picked(
    side: str, name: str, tmp_path: Path, shared_media: Path, shared_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(shared_weights))
    video, words = shared_media / "video" / f"debate_voice_{side}.mp4", shared_media / "audio" / "LJ001-0001.wav"
    job = Project.create(tmp_path / "job", video, words, speaker="talking", detector="retinaface")
    tracks = job.track(progress=False)
    talks_s = job.talking(tracks, progress=False)
    (other,) = set(talks_s) - {name}
    assert talks_s[name] > 3 * talks_s[other], talks_s
    picked, wanted = job.face(tracks), speaker_face(tracks, name)
    assert np.array_equal(picked.boxes_xyxy, wanted.boxes_xyxy, equal_nan=True)
