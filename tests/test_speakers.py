"""People across cuts, and whom of them to sync."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip

from wav2lip_kit.errors import FaceError, SegmentError
from wav2lip_kit.faces.appearance import signature
from wav2lip_kit.faces.detectors import Detection, load_detector
from wav2lip_kit.faces.people import Person, find_people, thumbnails
from wav2lip_kit.faces.speakers import check_speaker, speaker_face
from wav2lip_kit.faces.tracking import track_faces
from wav2lip_kit.faces.tracks import Track, Tracks
from wav2lip_kit.media import probe

LEFT, RIGHT = (10, 10, 60, 70), (200, 20, 240, 70)
ANNA, BEN = np.eye(2, dtype=np.float32)  # signatures as different as can be


def made_track(start: int, n: int, box: Sequence[float], look: np.ndarray | None = None) -> Track:
    return Track(
        start,
        np.tile(np.float32(box), (n, 1)),
        np.full(n, 0.9, np.float32),
        np.full((n, 5, 2), np.nan, np.float32),
        np.zeros(0, np.float32) if look is None else look,
    )


def made_tracks(*tracks: Track, n: int = 50, cuts: Sequence[int] = ()) -> Tracks:
    return Tracks(np.arange(n), Fraction(1, 25), 1, np.array(cuts, int), tuple(tracks))


def boxes_of(tracks: Tracks, speaker: str) -> np.ndarray:
    return speaker_face(tracks, speaker).boxes_xyxy


def starts(people: Sequence[Person]) -> list[list[int]]:
    return [[t.start for t in person.tracks] for person in people]


# ── people ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_person_is_known_again_after_a_cut_by_appearance() -> None:
    tracks = made_tracks(
        made_track(0, 20, LEFT, ANNA),
        made_track(20, 10, LEFT, BEN),  # takes Anna's place, but after a cut
        made_track(30, 20, RIGHT, ANNA),
        cuts=[20, 30],
    )
    anna, ben = find_people(tracks)
    assert starts([anna, ben]) == [[0, 30], [20]]
    assert (anna.name, ben.name) == ("person-1", "person-2") and anna.colour != ben.colour
    assert anna.screen_s == pytest.approx(1.6) and ben.screen_s == pytest.approx(0.4)


def test_two_people_on_screen_at_once_are_never_one_however_alike() -> None:
    tracks = made_tracks(made_track(0, 50, LEFT, ANNA), made_track(0, 20, RIGHT, ANNA), made_track(30, 20, RIGHT, ANNA))
    assert starts(find_people(tracks)) == [[0], [0, 30]]


def test_who_comes_back_to_the_place_soon_is_the_same_without_a_cut_only() -> None:
    gone = [made_track(0, 20, LEFT), made_track(30, 20, LEFT)]
    assert starts(find_people(made_tracks(*gone))) == [[0, 30]]
    assert starts(find_people(made_tracks(*gone, cuts=[30]))) == [[0], [30]]
    assert starts(find_people(made_tracks(made_track(0, 20, LEFT), made_track(90, 10, LEFT), n=100))) == [[0], [90]]


def test_nobody_is_nobody() -> None:
    assert find_people(made_tracks()) == ()


def test_a_signature_is_of_length_one_also_at_the_edge_of_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    looks = [
        signature(picture, Detection(np.array(box, np.float32), 0.9))
        for box in ([40, 30, 80, 80], [-20, -30, 20, 20], [130, 90, 190, 150])
    ]
    assert all(np.linalg.norm(look) == pytest.approx(1, abs=1e-5) for look in looks)
    assert looks[0] @ looks[0] > 0.999


def test_a_thumbnail_shows_the_face(tmp_path: Path) -> None:
    pictures = [np.full((240, 320, 3), 40, np.uint8) for _ in range(3)]
    for picture in pictures[1:]:
        picture[20:70, 200:240] = (30, 200, 30)
    info = probe(make_clip(tmp_path / "v.mp4", 3, pictures=pictures))
    tracks = Tracks(np.arange(3) * int(1 / info.rate / info.time_base), info.time_base, 1, np.array([], int),
                    (made_track(1, 2, RIGHT),))  # fmt: skip
    (picture,) = thumbnails(info, tracks, find_people(tracks))
    assert picture.shape == (112, 112, 3)
    assert abs(picture[56, 56].astype(int) - (30, 200, 30)).max() < 12
    assert abs(picture[4, 4].astype(int) - 40).max() < 12


# ── whom to sync ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_largest_is_one_person_over_the_whole_video() -> None:
    tracks = made_tracks(
        made_track(0, 30, LEFT, ANNA),
        made_track(0, 30, RIGHT, BEN),
        made_track(30, 20, (0, 0, 55, 60), BEN),
        made_track(35, 15, (100, 10, 160, 80), ANNA),
        cuts=[30],
    )
    boxes = boxes_of(tracks, "largest")
    assert np.all(boxes[:30] == np.float32(LEFT)) and np.all(boxes[35:, 0] == 100)
    assert np.isnan(boxes[30:35]).all(), "the other person was synced where the speaker is not seen"


def test_people_are_picked_by_name_also_several_as_one() -> None:
    tracks = made_tracks(made_track(0, 30, LEFT, ANNA), made_track(30, 20, RIGHT, BEN), cuts=[30])
    assert np.isnan(boxes_of(tracks, "person-2")[:30]).all()
    assert np.all(boxes_of(tracks, "person-2")[30:] == np.float32(RIGHT))
    assert not np.isnan(boxes_of(tracks, "person-2+person-1")).any()
    with pytest.raises(FaceError, match=r"no 'person-3'.*person-1, person-2.*`wav2lip-kit track`"):
        speaker_face(tracks, "person-3")


def test_talking_takes_who_talks_longest_and_the_largest_where_that_is_not_known() -> None:
    tracks = made_tracks(made_track(0, 50, LEFT, ANNA), made_track(0, 50, RIGHT, BEN))
    assert np.all(speaker_face(tracks, "talking", {"person-1": 0.3, "person-2": 1.2}).boxes_xyxy == np.float32(RIGHT))
    assert np.all(speaker_face(tracks, "talking", {}).boxes_xyxy == np.float32(LEFT))


def test_a_point_picks_who_is_under_it_then_and_follows_only_them() -> None:
    tracks = made_tracks(made_track(0, 50, LEFT), made_track(0, 20, RIGHT), made_track(40, 10, RIGHT))
    boxes = boxes_of(tracks, "220,40@0:00.2")
    assert np.all(boxes[:20] == np.float32(RIGHT)) and np.isnan(boxes[20:40]).all()
    assert np.all(boxes[40:] == np.float32(RIGHT))
    with pytest.raises(FaceError, match=r"no face at 150,40 at 0:00\.2: faces there .* 10,10,60,70; 200,20,240,70"):
        speaker_face(tracks, "150,40@0:00.2")
    with pytest.raises(FaceError, match="ends at 0:02"):
        speaker_face(tracks, "220,40@9")


def test_a_box_picks_who_stays_inside() -> None:
    tracks = made_tracks(made_track(0, 50, LEFT), made_track(0, 50, RIGHT))
    assert np.all(boxes_of(tracks, "150,0,319,239") == np.float32(RIGHT))
    with pytest.raises(FaceError, match="no face stays inside"):
        speaker_face(tracks, "90,0,150,100")


def test_a_file_gives_every_box(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps([[1, 2, 30, 40], None, [2, 2, 31, 40]]))
    boxes = boxes_of(made_tracks(n=3), str(path))
    assert boxes[0].tolist() == [1, 2, 30, 40] and np.isnan(boxes[1]).all()
    with pytest.raises(FaceError, match="3 boxes but the video has 50 frames"):
        speaker_face(made_tracks(), str(path))


@pytest.mark.parametrize(
    ("speaker", "words"),
    [
        ("the left one", "largest, talking, person-1"),
        ("10,10,5,20", "is empty"),
        ("10,20@soon", "soon"),
        ("{}", "list"),
        ("[[1,2,3]]", "frame 0"),
        ("[null,[5,5,1,9]]", "frame 1.*empty"),
    ],
)
def test_wrong_speakers_are_refused_before_anything_runs(speaker: str, words: str, tmp_path: Path) -> None:
    if speaker[0] in "{[":
        (tmp_path / "s.json").write_text(speaker)
        speaker = str(tmp_path / "s.json")
    with pytest.raises((FaceError, SegmentError), match=words) as caught:
        check_speaker(speaker)
    assert "\n" not in str(caught.value)


# ── real clips ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def debate(shared_media: Path, shared_weights: Path) -> Tracks:
    detector = load_detector(str(shared_weights / "retinaface_mobilenet0.25.pth"))
    return track_faces(probe(shared_media / "video" / "debate_two_faces_17s.mp4"), detector, progress=False)


@pytest.mark.parametrize(
    ("x_px", "speakers"),
    [(165, ("165,110@0:05", "0,0,320,368", "person-2")), (500, ("500,110@0:05", "320,0,640,368", "person-1"))],
)
def test_left_and_right_of_a_debate_by_point_box_and_name(x_px: float, speakers: Sequence[str], debate: Tracks) -> None:
    for speaker in speakers:
        boxes = boxes_of(debate, speaker)
        centres = (boxes[61:, 0] + boxes[61:, 2]) / 2
        assert not np.isnan(centres).any() and np.abs(centres - x_px).max() < 80


def test_who_is_seen_before_and_after_the_cut_of_a_debate_is_one_person(debate: Tracks) -> None:
    right, left = find_people(debate)
    assert starts([right, left]) == [[0, 61], [61]]
    assert np.median(right.tracks[1].boxes_xyxy[:, 0]) > 320


def test_a_concert_keeps_people_apart_and_knows_the_singer_again(shared_media: Path, shared_weights: Path) -> None:
    detector = load_detector(str(shared_weights / "retinaface_mobilenet0.25.pth"))
    tracks = track_faces(probe(shared_media / "video" / "whgov_hamilton_10s.mp4"), detector, progress=False)
    singer = next(p for p in find_people(tracks) if any(t.start == 82 for t in p.tracks))
    assert {t.start for t in singer.tracks} == {0, 82}
    face = speaker_face(tracks, "230,70@0:05")  # on him
    assert np.isnan(face.boxes_xyxy[211:]).all(), "a mouth on the audience"
    jumps_px = np.abs(np.diff(face.boxes_xyxy[82:211], axis=0)).max()
    assert jumps_px < 20, "a box moved as over a cut"
