"""Segments as a set of half-open intervals, and the files they are kept in."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2lip_kit.errors import SegmentError
from wav2lip_kit.notices import collect_notices
from wav2lip_kit.segment_files import read_segments, write_segments
from wav2lip_kit.segments import Segment, Segments, format_segments, parse_segments

CASES = json.loads((Path(__file__).parent / "data" / "segment_cases.json").read_text(encoding="utf-8"))
SUFFIXES = (".json", ".csv", ".vtt", ".txt")

# Spread on purpose over nice decimals, whole numbers and arbitrary floats: exactness must not hang on the values.
TIMES_S = st.one_of(
    st.integers(0, 100).map(float), st.integers(0, 100_000).map(lambda ms: ms / 1000), st.floats(0, 100)
)
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=("Cc",)), max_size=8).map(
    str.strip
)


@st.composite
def some_segments(draw, *, min_length_s: float = 0.0, **fields):
    """Disjoint segments between sorted distinct times, some of them touching."""
    edges = sorted(draw(st.lists(TIMES_S, max_size=12, unique=True)))
    pairs = [(a, b) for a, b in pairwise(edges) if b - a > min_length_s and draw(st.booleans())]
    return Segments(Segment(a, b, **{name: draw(values) for name, values in fields.items()}) for a, b in pairs)


def detailed_segments(**kwargs):
    return some_segments(
        speaker=NAMES,
        audio=NAMES,
        source=st.sampled_from(["manual", "auto"]),
        score=st.none() | st.floats(0, 1),
        **kwargs,
    )


def of(pairs) -> Segments:
    return Segments(Segment(*pair) for pair in pairs)


def pairs_of(segments) -> list[list[float]]:
    return [[s.start_s, s.end_s] for s in segments]


# ── one segment ──


def test_a_segment_holds_its_start_but_not_its_end():
    segment = Segment(1.0, 2.0)
    assert segment.contains(1.0)
    assert not segment.contains(2.0)
    assert segment.duration_s == 1.0
    assert segment.overlaps(Segment(1.5, 3.0))
    assert not segment.overlaps(Segment(2.0, 3.0))
    assert str(segment) == "0:01-0:02"


def test_a_segment_is_ordered_by_time_and_equal_by_everything():
    assert Segment(1, 2, speaker="b") < Segment(1, 3, speaker="a")
    assert not Segment(1, 2, speaker="a") < Segment(1, 2, speaker="b")
    assert Segment(1, 2, speaker="a") != Segment(1, 2, speaker="b")
    assert Segment(1, 2) == Segment(1.0, 2.0)


def test_a_segment_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Segment(1, 2).start_s = 0.0  # type: ignore[misc]


def test_a_segment_keeps_plain_floats():
    segment = Segment(np.float32(0.5), np.int64(2))  # type: ignore[arg-type]
    assert type(segment.start_s) is type(segment.end_s) is float


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"start_s": -1.0, "end_s": 2.0}, "-1.0 is not a time"),
        ({"start_s": float("nan"), "end_s": 2.0}, "nan is not a time"),
        ({"start_s": 0.0, "end_s": float("inf")}, "inf is not a time"),
        ({"start_s": 60.0, "end_s": 31.0}, "1:00-0:31 ends before it starts; did you mean 0:31-1:00?"),
        ({"start_s": 31.0, "end_s": 31.0}, "0:31-0:31 is empty"),
        ({"start_s": 0.0, "end_s": 1.0, "source": "guess"}, "choose manual or auto"),
        ({"start_s": 0.0, "end_s": 1.0, "score": float("nan")}, "score nan"),
    ],
)
def test_a_wrong_segment_is_refused(fields, says):
    with pytest.raises(SegmentError) as caught:
        Segment(**fields)
    assert says in str(caught.value)


# ── the shared cases ──


def check(case, compute):
    if case.get("error"):
        with pytest.raises(SegmentError) as caught:
            compute()
        assert len(str(caught.value).splitlines()) == 1
    else:
        found = [list(pair) for pair in compute()]
        assert len(found) == len(case["result"])
        assert found == [pytest.approx(pair, abs=1e-9) for pair in case["result"]]


OPERATIONS = {
    "parse_segments": lambda c: pairs_of(parse_segments(c["text"])),
    "merged": lambda c: pairs_of(Segments.merged(Segment(*pair) for pair in c["segments"])),
    "gaps": lambda c: of(c["segments"]).gaps(c["start_s"], c["end_s"]),
    "merge_close": lambda c: pairs_of(of(c["segments"]).merge_close(c["max_gap_s"])),
    "drop_short": lambda c: pairs_of(of(c["segments"]).drop_short(c["min_s"])),
    "clip": lambda c: pairs_of(of(c["segments"]).clip(c["start_s"], c["end_s"])),
    "subtract": lambda c: pairs_of(of(c["segments"]) - of(c["other"])),
    "intersect": lambda c: pairs_of(of(c["segments"]) & of(c["other"])),
    "pad": lambda c: pairs_of(of(c["segments"]).pad(c["before_s"], c["after_s"])),
    "snap": lambda c: pairs_of(of(c["segments"]).snap(c["times_s"], c["end_s"])),
}


@pytest.mark.parametrize(
    ("operation", "case"),
    [pytest.param(name, case, id=f"{name}-{i}") for name in OPERATIONS for i, case in enumerate(CASES[name])],
)
def test_shared_case(operation, case):
    check(case, lambda: OPERATIONS[operation](case))


def test_every_shared_case_is_run():
    run_by_test_timing = {"about", "parse_time", "format_time", "parse_range"}
    assert set(CASES) == set(OPERATIONS) | run_by_test_timing


# ── the set ──


def test_overlap_is_refused_and_both_are_named():
    with pytest.raises(SegmentError, match="segments 0:31-1:00 and 0:50-1:10 overlap"):
        Segments([Segment(50, 70), Segment(31, 60)])


def test_segments_are_a_sorted_sequence():
    segments = of([(5, 6), (1, 2), (2, 3)])
    assert pairs_of(segments) == [[1, 2], [2, 3], [5, 6]]
    assert segments[0] == Segment(1, 2)
    assert segments[1:] == of([(2, 3), (5, 6)])
    assert Segment(2, 3) in segments
    assert len(segments) == 3
    assert segments.duration_s == 3.0
    assert hash(segments) == hash(of([(1, 2), (2, 3), (5, 6)]))
    assert segments != [*segments]
    assert str(of([(31, 60), (69, 84)])) == "0:31-1:00, 1:09-1:24"


def test_joining_keeps_what_both_agree_on():
    auto = Segment(0, 5, source="auto", score=0.4)
    named = Segment(4, 8, speaker="Ada", audio="new.wav")
    assert [*Segments.merged([named, auto])] == [Segment(0, 8, "Ada", "new.wav", "manual", 0.4)]
    with pytest.raises(SegmentError, match="differ in speaker or audio"):
        Segments.merged([named, replace(named, start_s=6.0, end_s=9.0, speaker="Bo")])


def test_other_speakers_are_not_merged_across_a_gap():
    segments = Segments([Segment(0, 1, speaker="Ada"), Segment(1.1, 2, speaker="Bo"), Segment(2.1, 3, speaker="Bo")])
    assert [s.speaker for s in segments.merge_close(0.5)] == ["Ada", "Bo"]


def test_shift_refuses_times_before_zero():
    assert of([(5, 6)]).shift(-5) == of([(0, 1)])
    with pytest.raises(SegmentError, match="is not a time"):
        of([(5, 6)]).shift(-5.5)


def test_check_within_allows_half_a_millisecond():
    of([(1, 10.0005)]).check_within(10.0)
    with pytest.raises(SegmentError, match=r"segment 0:09-0:10\.001 reaches past the end.*up to 0:10$"):
        of([(1, 2), (9, 10.001)]).check_within(10.0)


@given(detailed_segments(), TIMES_S)
def test_at_agrees_with_contains(segments, t_s):
    for t in (t_s, *(s.start_s for s in segments), *(s.end_s for s in segments)):
        assert [segments.at(t)] == ([s for s in segments if s.contains(t)] or [None])


@given(some_segments(), TIMES_S, TIMES_S)
def test_segments_and_gaps_make_the_whole(segments, a, b):
    start_s, end_s = min(a, b), max(a, b)
    pieces = sorted([*segments.gaps(start_s, end_s), *map(tuple, pairs_of(segments.clip(start_s, end_s)))])
    edges = [edge for piece in pieces for edge in piece]
    assert edges == [] if start_s == end_s else (edges[0], edges[-1]) == (start_s, end_s)
    assert edges[1:-1:2] == edges[2::2]  # each piece starts exactly where the one before ends


@given(some_segments(), some_segments(), TIMES_S)
def test_set_operations_hold_at_every_time(one, other, t_s):
    edges = [edge for pair in [*pairs_of(one), *pairs_of(other)] for edge in pair]
    for t in (t_s, *edges):
        in_one, in_other = one.at(t) is not None, other.at(t) is not None
        assert ((one | other).at(t) is not None) == (in_one or in_other)
        assert ((one & other).at(t) is not None) == (in_one and in_other)
        assert ((one - other).at(t) is not None) == (in_one and not in_other)


@given(st.lists(st.tuples(TIMES_S, TIMES_S).filter(lambda pair: pair[0] < pair[1]), max_size=12))
def test_merging_is_idempotent_and_disjoint(pairs):
    merged = Segments.merged(Segment(*pair) for pair in pairs)
    assert Segments.merged(merged) == merged
    assert all(a.end_s <= b.start_s for a, b in pairwise(merged))
    assert all(any(s.start_s <= a and b <= s.end_s for s in merged) for a, b in pairs)


@given(detailed_segments(), TIMES_S, st.lists(TIMES_S, min_size=1, max_size=12, unique=True).map(sorted))
def test_clipping_and_snapping_stay_disjoint_and_keep_the_fields(segments, t_s, times_s):
    known = {(s.speaker, s.audio, s.source, s.score) for s in segments}
    for changed in (segments.clip(0, t_s), segments.snap(times_s), segments - of([(t_s, t_s + 1)])):
        assert Segments(changed) == changed
        assert {(s.speaker, s.audio, s.source, s.score) for s in changed} <= known
    assert {edge for pair in pairs_of(segments.snap(times_s)) for edge in pair} <= set(times_s)
    assert segments.snap(times_s).snap(times_s) == segments.snap(times_s)


@given(st.lists(TIMES_S, min_size=1, max_size=12, unique=True).map(sorted), st.data())
def test_masks_and_segments_are_inverse(edges_s, data):
    times_s, end_s = edges_s[:-1], edges_s[-1]
    mask = data.draw(st.lists(st.booleans(), min_size=len(times_s), max_size=len(times_s)))
    segments = Segments.from_mask(mask, times_s, end_s)
    assert segments.frame_mask(times_s).tolist() == mask
    assert segments.merge_close(0) == segments
    assert all(s.source == "auto" for s in segments)


def test_frame_mask_is_half_open_and_boolean():
    mask = of([(1, 2), (3, 4)]).frame_mask(np.array([0.0, 1.0, 1.999, 2.0, 3.0, 4.0]))
    assert mask.dtype == bool
    assert mask.tolist() == [False, True, True, False, True, False]
    assert of([]).frame_mask([]).shape == (0,)
    with pytest.raises(ValueError, match="one entry a frame, got 2 and 1"):
        Segments.from_mask([True, False], [0.0], 1.0)


def test_segments_show_as_a_strip_that_needs_no_colour():
    html = Segments([Segment(10, 20, speaker="<Ada>"), Segment(30, 40)])._repr_html_()
    assert html.count("<span") == 4
    assert "&lt;Ada&gt;" in html
    assert "<Ada>" not in html
    assert html.count("repeating-linear-gradient") == 2
    assert ">face</span>" in html
    assert "no segments" in Segments()._repr_html_()


# ── text ──


@given(some_segments(min_length_s=0.002))
def test_segments_survive_printing_to_the_millisecond(segments):
    again = parse_segments(format_segments(segments))
    assert len(again) == len(segments)
    assert np.allclose(pairs_of(again), pairs_of(segments), atol=0.0005 + 1e-9, rtol=0)


def test_a_sliver_is_not_printed_as_an_empty_range():
    assert format_segments([Segment(1, 1.0001), Segment(1.0001, 2)]) == "0:01-0:02"


@settings(deadline=None)
@given(st.text(alphabet="0123456789:.,;-– \nto", max_size=20) | st.text())
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        segments = parse_segments(text)
    except SegmentError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert Segments(segments) == segments


# ── files ──


@settings(deadline=None, max_examples=40)
@given(segments=detailed_segments(min_length_s=0.002))
def test_files_give_back_what_was_written(tmp_path_factory, segments):
    folder = tmp_path_factory.mktemp("segments")
    for suffix in SUFFIXES:
        path = folder / f"my segments «é»{suffix}"
        with collect_notices() as notices:
            write_segments(segments, path)
        assert all("keeps only the times" in notice for notice in notices)
        again = read_segments(path)
        if suffix in (".json", ".csv"):
            assert again == segments
        else:
            assert len(again) == len(segments)
            assert np.allclose(pairs_of(again), pairs_of(segments), atol=0.001, rtol=0)
        path.unlink()
    assert not list(folder.iterdir())  # no half-written file stays behind


def test_the_json_file(tmp_path):
    path = tmp_path / "segments.json"
    media = {"name": "talk.mp4", "duration_s": 90.0, "frame_rate": "30000/1001"}
    write_segments(Segments([Segment(0.1 + 0.2, 1, source="auto", score=0.5), Segment(2, 3, "Ada")]), path, media=media)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "format": "wav2lip_kit.segments",
        "version": 1,
        "media": media,
        "segments": [
            {"start_s": 0.30000000000000004, "end_s": 1.0, "label": "face", "source": "auto", "score": 0.5},
            {"start_s": 2.0, "end_s": 3.0, "label": "face", "source": "manual", "speaker": "Ada"},
        ],
    }


def test_text_formats_look_as_other_programs_expect(tmp_path):
    segments = Segments([Segment(31.25, 3600)])
    written = {}
    for suffix in SUFFIXES[1:]:
        write_segments(segments, tmp_path / f"s{suffix}")
        written[suffix] = (tmp_path / f"s{suffix}").read_text(encoding="utf-8")
    assert written == {
        ".csv": "start_s,end_s,label,source,score,speaker,audio\n31.25,3600.0,face,manual,,,\n",
        ".vtt": "WEBVTT\n\n00:00:31.250 --> 01:00:00.000\nface\n",
        ".txt": "31.250000\t3600.000000\tface\n",
    }


@pytest.mark.parametrize("suffix", [".vtt", ".txt"])
def test_losing_the_speaker_is_told(tmp_path, suffix):
    with collect_notices() as notices:
        write_segments(of([(1, 2)]), tmp_path / f"plain{suffix}")
        assert notices == []
        write_segments(Segments([Segment(1, 2, speaker="Ada")]), tmp_path / f"named{suffix}")
    assert len(notices) == 1
    assert "keeps only the times" in notices[0]


JSON_HEAD = '"format": "wav2lip_kit.segments", "version": 1'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("header.csv", "start_s,end_s,label,source,score\n31,60,face,manual,\n60,69,no_face,auto,\n69,84,,auto,0.5\n"),
        ("mark.csv", "\ufeffstart_s,end_s\n31,60\n69,84\n"),
        ("lossless.csv", "Start,End,Name\r\n0:31,1:00,first\r\n00:01:09.000,00:01:24.000,\r\n"),
        ("bare.csv", '31.0,60,"one, two"\n\n69,84\n'),
        ("spreadsheet.csv", "Start;End;Name\n31,0;60,0;a\n69;84;NO-FACE x\n"),
        ("tabs.csv", "start_s\tend_s\n31\t60\n69\t84\n"),
        ("cues.vtt", "WEBVTT - mine\n\nNOTE none\n\n1\n00:31.000 --> 01:00.000 align:start\n<v Ada>face</v>\n\n"
                     "01:00.000 --> 01:09.000\nno face\n\n01:09.000 --> 00:01:24.000\nface\nmore"),
        ("labels.txt", "31.0\t60.000000\tface\n\\\t100.0\t200.0\n60\t69\tNO_FACE\n69,0\t84,0\n"),
        ("typed.json", f'{{{JSON_HEAD}, "segments": [{{"start_s": "0:31", "end_s": 60, "id": "x"}},'
                       '{"start_s": 60, "end_s": 69, "label": "no-face"}, {"start_s": 69, "end_s": 84}]}'),
    ],
)  # fmt: skip
def test_files_of_other_programs_are_read(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert pairs_of(read_segments(tmp_path / name)) == [[31, 60], [69, 84]]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("s.mp4", "x", "ends in .json, .csv, .vtt, .txt"),
        ("none", "x", "ends in .json, .csv, .vtt, .txt"),
        ("s.json", "{", "not valid JSON"),
        ("s.json", "[]", '"format": "wav2lip_kit.segments"'),
        ("s.json", '{"format": "wav2lip_kit.segments", "version": 2}', "version 2 is unknown; this wav2lip_kit reads"),
        ("s.json", f"{{{JSON_HEAD}}}", '"segments" must be a list'),
        ("s.json", f'{{{JSON_HEAD}, "segments": [1]}}', '"segments" must be a list'),
        ("s.json", f'{{{JSON_HEAD}, "segments": [{{"start_s": 1}}]}}', "entry 1: end_s is missing"),
        ("s.json", f'{{{JSON_HEAD}, "segments": [{{"start_s": NaN, "end_s": 2}}]}}', "entry 1: nan is not a time"),
        ("s.json", f'{{{JSON_HEAD}, "segments": [{{"start_s": [], "end_s": 2}}]}}', "[] is not a time"),
        ("s.json", f'{{{JSON_HEAD}, "segments": [{{"start_s": 1, "end_s": 2, "score": "?"}}]}}', "score '?'"),
        ("s.json", f'{{{JSON_HEAD}, "segments": [{{"start_s": 1, "end_s": 2, "source": "me"}}]}}', "manual or auto"),
        ("s.csv", "start_s,end_s\n1,2\n5,3\n", "entry 2: 0:05-0:03 ends before it starts; did you mean 0:03-0:05?"),
        ("s.csv", "1,3\n2,4\n", "0:01-0:03 and 0:02-0:04 overlap"),
        ("s.csv", "Start,End,Name\n1,,open\n", "end_s is missing"),
        ("s.vtt", "1\n00:01.000 --> 00:02.000\nx", "not WebVTT"),
        ("s.txt", "0:31-1:00", "entry 1: end_s is missing"),
        ("s.txt", "1.0\t1.0\tpoint", "0:01-0:01 is empty"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path, name, text, says):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SegmentError) as caught:
        read_segments(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_unreadable_and_unwritable_files_are_told(tmp_path):
    with pytest.raises(SegmentError, match=r"cannot read segments from .*No such file"):
        read_segments(tmp_path / "absent.json")
    (tmp_path / "wide.csv").write_bytes("1,2\n".encode("utf-16"))
    with pytest.raises(SegmentError, match="save it as UTF-8"):
        read_segments(tmp_path / "wide.csv")
    with pytest.raises(SegmentError, match=r"cannot write segments to .*choose a folder that exists"):
        write_segments(of([(1, 2)]), tmp_path / "absent" / "s.json")
    with pytest.raises(SegmentError, match=r"ends in \.json"):
        write_segments(of([(1, 2)]), tmp_path / "s.srt")


def test_importing_segments_loads_nothing_heavy():
    code = "import sys, wav2lip_kit.segments; print([m for m in ('numpy', 'torch', 'cv2', 'av') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
