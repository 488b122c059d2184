"""The plan of the result: lengths that differ, parts, and reading them forward and backward."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip, number_of
from hypothesis import given
from hypothesis import strategies as st

from wav2lip_kit.errors import InputError
from wav2lip_kit.faces.tracks import Tracks
from wav2lip_kit.media import probe
from wav2lip_kit.timeline import FITS, PART_S, PartReader, plan_parts, result_pts


def tracks_of(pts: list[int], last_duration: int = 1, time_base: Fraction = Fraction(1, 25)) -> Tracks:
    return Tracks(np.array(pts, np.int64), time_base, last_duration, np.array([], int), ())


def laid_out(tracks: Tracks, is_face: np.ndarray, audio_s: float, fit: str) -> tuple[list[tuple[int, int, bool]], int]:
    """(pts in the result, source index, is_face) of every frame of the result, in the order of the parts."""
    parts, end_pts = plan_parts(tracks, is_face, audio_s, fit)
    rows = []
    for part in parts:
        order = list(range(part.first, part.last))
        pts = result_pts(tracks, part).tolist()
        pairs = list(zip(pts, order, strict=True))
        rows += [(t, i, part.is_face) for t, i in (reversed(pairs) if part.is_backward else pairs)]
    return rows, end_pts


@st.composite
def any_video(draw):
    gaps = draw(st.lists(st.integers(1, 5), min_size=1, max_size=40))
    first = draw(st.integers(0, 30))
    pts = (first + np.concatenate([[0], np.cumsum(gaps[:-1])])).tolist()
    faces = np.array(draw(st.lists(st.booleans(), min_size=len(pts), max_size=len(pts))))
    return tracks_of([int(p) for p in pts], gaps[-1]), faces


@given(video=any_video(), audio_s=st.floats(0.01, 20), fit=st.sampled_from(FITS))
def test_every_plan_rises_covers_and_keeps_marks(video: tuple[Tracks, np.ndarray], audio_s: float, fit: str) -> None:
    tracks, is_face = video
    rows, end_pts = laid_out(tracks, is_face, audio_s, fit)
    pts = [t for t, _, _ in rows]
    assert all(b > a for a, b in pairwise(pts)), "times do not rise across parts"
    assert pts[0] == tracks.pts[0] and pts[-1] < end_pts
    assert all(is_face[i] == face for _, i, face in rows)
    if fit == "silence":
        assert [i for _, i, _ in rows] == list(range(tracks.n_frames)) and end_pts == tracks.end_pts
        assert pts == tracks.pts.tolist()
    if fit in ("loop", "bounce"):
        assert end_pts == max(tracks.pts[0] + 1, round(audio_s * 25))


def test_loop_begins_again_and_bounce_turns_round() -> None:
    tracks = tracks_of([0, 1, 2])
    face = np.ones(3, bool)
    assert [i for _, i, _ in laid_out(tracks, face, 8 / 25, "loop")[0]] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert [i for _, i, _ in laid_out(tracks, face, 8 / 25, "bounce")[0]] == [0, 1, 2, 2, 1, 0, 0, 1]
    assert [t for t, _, _ in laid_out(tracks, face, 8 / 25, "bounce")[0]] == list(range(8))


def test_going_backward_mirrors_how_long_each_frame_is_shown() -> None:
    tracks = tracks_of([0, 1, 4], last_duration=2)  # shown for 1, 3 and 2 ticks
    rows, _ = laid_out(tracks, np.ones(3, bool), 12 / 25, "bounce")
    assert rows == [(0, 0, True), (1, 1, True), (4, 2, True), (6, 2, True), (8, 1, True), (11, 0, True)]


def test_cut_off_takes_the_shorter() -> None:
    tracks = tracks_of(list(range(10)))
    assert len(laid_out(tracks, np.ones(10, bool), 4 / 25, "cut_off")[0]) == 4
    assert len(laid_out(tracks, np.ones(10, bool), 4.0, "cut_off")[0]) == 10


def test_long_runs_are_rendered_in_pieces() -> None:
    n = round(25 * PART_S * 3.5)
    parts, _ = plan_parts(tracks_of(list(range(n))), np.ones(n, bool), 1.0, "silence")
    assert len(parts) == 4 and max(p.last - p.first for p in parts) <= 25 * PART_S + 1


def test_an_unknown_fit_is_named() -> None:
    with pytest.raises(InputError, match=r"'stretch'.*silence, cut_off, loop, bounce"):
        plan_parts(tracks_of([0]), np.ones(1, bool), 1.0, "stretch")


def test_parts_are_read_frame_by_frame_forward_and_backward(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 60, 25, options={"crf": "10", "g": "50", "bf": "3"})
    info = probe(clip)
    ticks = round(1 / info.rate / info.time_base)
    tracks = tracks_of([i * ticks for i in range(60)], ticks, info.time_base)
    is_face = np.zeros(60, bool)
    is_face[10:35] = True
    for fit in ("bounce", "loop"):
        parts, _ = plan_parts(tracks, is_face, 6.0, fit)
        reader = PartReader(info, tracks)
        seen = [(number_of(f), i, f.pts) for part in parts for i, f in reader.read(part)]
        turn = [*range(60), *reversed(range(60))] if fit == "bounce" else [*range(60)] * 2
        assert [n for n, _, _ in seen] == [i for _, i, _ in seen] == [*turn, *range(30)]
        assert [t for _, _, t in seen] == [k * ticks for k in range(150)]
        # out of order, as after a kill: only the last part is missing
        assert [number_of(f) for _, f in PartReader(info, tracks).read(parts[-1])] == list(
            range(parts[-1].first, parts[-1].last)
        )
