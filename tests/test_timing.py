"""Frame rates and times as people write them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wav2lip_kit.errors import InputError, SegmentError
from wav2lip_kit.timing import check_interval, format_clock, format_time, parse_range, parse_time, snap_rate

CASES = json.loads((Path(__file__).parent / "data" / "segment_cases.json").read_text(encoding="utf-8"))
TIMES_S = st.floats(0, 360_000)


@pytest.mark.parametrize(
    ("rate", "exact"),
    [
        (23.976, "24000/1001"),
        (23.98, "24000/1001"),
        (24000 / 1001, "24000/1001"),
        (29.97, "30000/1001"),
        ("29.97", "30000/1001"),
        (Fraction(2997, 100), "30000/1001"),
        ("30000/1001", "30000/1001"),
        (59.94, "60000/1001"),
        (119.88, "120000/1001"),
        (25.0, "25"),
        (24, "24"),
        (30.00001, "30"),
        (12.5, "25/2"),
        (29.9, "299/10"),
        (30.005, "6001/200"),
        (Fraction(90000, 3003), "30000/1001"),
    ],
)
def test_snap_rate(rate, exact):
    assert snap_rate(rate) == Fraction(exact)


@pytest.mark.parametrize("frames", range(1, 241))
def test_snap_rate_keeps_the_ntsc_and_the_whole_rates_apart(frames):
    ntsc = Fraction(frames * 1000, 1001)
    assert snap_rate(frames) == snap_rate(float(frames)) == frames
    assert snap_rate(ntsc) == snap_rate(float(ntsc)) == ntsc


@pytest.mark.parametrize("rate", [0, -25, float("nan"), float("inf"), 1000.5, "", "fast", "1/0", None])
def test_snap_rate_refuses(rate):
    with pytest.raises(InputError, match=r"is not a frame rate; give .*30000/1001"):
        snap_rate(rate)


@pytest.mark.parametrize("case", CASES["parse_time"], ids=lambda case: repr(case["text"]))
def test_parse_time(case):
    if case.get("error"):
        with pytest.raises(SegmentError) as caught:
            parse_time(case["text"])
        assert repr(case["text"]) in str(caught.value)
        assert "1:09" in str(caught.value)
    else:
        assert parse_time(case["text"]) == case["time_s"]


@pytest.mark.parametrize("value", [-0.001, float("nan"), float("inf"), 10**400, True, None, [1]])
def test_parse_time_refuses_what_is_no_time(value):
    with pytest.raises(SegmentError, match="is not a time"):
        parse_time(value)


def test_parse_time_takes_any_real_number():
    np = pytest.importorskip("numpy")
    for value in (1.5, Fraction(3, 2), np.float32(1.5), np.float64(1.5)):
        assert type(parse_time(value)) is float
        assert parse_time(value) == 1.5
    assert parse_time(np.int64(2)) == parse_time(2) == 2.0


@pytest.mark.parametrize("case", CASES["format_time"], ids=lambda case: case["text"])
def test_format_time(case):
    assert format_time(case["time_s"]) == case["text"]
    assert format_clock(case["time_s"]) == case["clock"]


def test_format_time_with_fixed_decimals():
    assert format_time(3723.25, decimals=3) == "1:02:03.250"
    assert format_time(69.5, decimals=0) == "1:10"
    assert format_time(59.96, decimals=1) == "1:00.0"


@given(TIMES_S)
def test_times_survive_printing_to_the_millisecond(time_s):
    for text in (format_time(time_s), format_clock(time_s)):
        assert abs(parse_time(text) - time_s) <= 0.0005 + 1e-9


@given(st.integers(0, 360_000_000))
def test_whole_milliseconds_survive_exactly(time_ms):
    assert parse_time(format_time(time_ms / 1000)) == parse_time(format_clock(time_ms / 1000)) == time_ms / 1000


@pytest.mark.parametrize("case", CASES["parse_range"], ids=lambda case: repr(case["text"]))
def test_parse_range(case):
    if case.get("error"):
        with pytest.raises(SegmentError):
            parse_range(case["text"])
    else:
        assert parse_range(case["text"]) == (case["start_s"], case["end_s"])


def test_a_reversed_range_is_told_the_right_way_round():
    with pytest.raises(SegmentError, match="did you mean 0:31-1:00"):
        parse_range("1:00-0:31")
    with pytest.raises(SegmentError, match="0:31-0:31 is empty"):
        check_interval(31.0, 31.0)


@pytest.mark.parametrize("read", [parse_time, parse_range])
@given(text=st.text())
def test_any_text_is_read_or_refused_in_one_line(read, text):
    try:
        read(text)
    except SegmentError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 250
