"""What the notebooks' cells call: previews, uploads, recordings, exports, and what an install on Colab replaces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from clips import make_clip, make_sound

from wav2lip_kit import Project, data_path, figures, inputs, notebook
from wav2lip_kit.errors import FaceError, InputError
from wav2lip_kit.faces.people import find_people
from wav2lip_kit.faces.tracks import Track, Tracks
from wav2lip_kit.frames import read_frames
from wav2lip_kit.media import probe
from wav2lip_kit.previews import (
    compare_sides,
    export_comparison,
    measure_result,
    preview_source,
    small_size,
    try_sync,
)
from wav2lip_kit.segments import Segment, Segments
from wav2lip_kit.widgets.recorder import Recorder

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Tracks]]:
    """Two seconds of the example, synced and combined, trimmed so that its times are not the file's."""
    video, audio = data_path("examples/presenter.mp4"), data_path("examples/new_words.flac")
    project = Project.create(
        tmp_path_factory.mktemp("job") / "p", video, audio, weights="demo", trim="0:01.5-0:03.5", trim_audio="0:01-0:03"
    )
    tracks = project.track(progress=False)
    project.suggest(tracks)
    project.sync(tracks=tracks, progress=False)
    project.combine(tracks=tracks, progress=False)
    yield project, tracks


def lumas(path: Path) -> np.ndarray:
    return np.stack([frame.planes[0] for frame in read_frames(probe(path))]).astype(float)


def test_a_preview_shows_the_trimmed_part_with_its_sound(job: tuple[Project, Tracks]) -> None:
    project, _ = job
    info = probe(preview_source(project))
    assert info.duration_s == pytest.approx(2.0, abs=0.04) and info.has_audio
    assert (info.width_px, info.height_px) == small_size(project.video) == (480, 270)
    assert info.path.stat().st_size < 500_000


def test_before_and_after_lie_side_by_side_frame_by_frame(job: tuple[Project, Tracks]) -> None:
    project, tracks = job
    both = lumas(compare_sides(project, tracks=tracks))
    assert both.shape == (50, 270, 960)
    before, after = both[:, :, :480], both[:, :, 480:]
    difference = np.abs(before - after).mean(axis=0)
    assert difference[:90].mean() < 1.5 < difference[130:230, 170:330].mean()  # the mouth differs, the wall does not
    later = lumas(compare_sides(project, 1.0, tracks=tracks))
    assert len(later) == 25 and np.abs(later - both[25:]).mean() < 2
    with pytest.raises(InputError, match=r"outside the result.*earlier"):
        compare_sides(project, 2.5, tracks=tracks)


def test_what_is_tried_is_what_sync_renders(job: tuple[Project, Tracks]) -> None:
    project, tracks = job
    tried = try_sync(project, 0.4, 0.2, tracks=tracks)
    pictures = lumas(tried)
    assert pictures.shape == (5, 270, 1440) and probe(tried).has_audio
    source, result, mask = np.split(pictures, 3, axis=2)
    final = lumas(compare_sides(project, tracks=tracks))[10:15]
    assert np.abs(source - final[:, :, :480]).mean() < 2 and np.abs(result - final[:, :, 480:]).mean() < 2
    assert mask[:, :60].mean() < 0.5 * source[:, :60].mean()  # dark, but where the mouth is replaced
    assert len(lumas(try_sync(project, 0.4, 0, tracks=tracks))) == 1
    assert len(lumas(try_sync(project, duration_s=0.2, tracks=tracks))) == 5
    for at_s, duration_s, message in [(9.0, 1.0, "ends at 0:02"), (0.0, 99.0, "choose 0")]:
        with pytest.raises(InputError, match=message):
            try_sync(project, at_s, duration_s, tracks=tracks)


def test_a_moment_without_the_face_names_those_with_it(tmp_path: Path) -> None:
    video, audio = data_path("examples/presenter.mp4"), data_path("examples/new_words.flac")
    project = Project.create(tmp_path / "p", video, audio, weights="demo", trim="0:00-0:02.5")
    with pytest.raises(FaceError, match=r"not seen at 0:00\.2.*0:01\.2-0:02\.5"):
        try_sync(project, 0.2, 0.2)


def test_quality_is_that_of_the_trimmed_source(job: tuple[Project, Tracks]) -> None:
    project, tracks = job
    quality = measure_result(project, tracks=tracks, progress=False)
    assert quality.n_frames == 50 and quality.outside_mouth is not None
    assert quality.outside_mouth.psnr_db > 45 > quality.whole.psnr_db > 30


@pytest.mark.parametrize("name", ["short.gif", "short.mp4"])
def test_a_comparison_is_exported_with_moviepy(name: str, job: tuple[Project, Tracks], tmp_path: Path) -> None:
    project, tracks = job
    side_by_side = compare_sides(project, tracks=tracks)
    info = probe(export_comparison(side_by_side, tmp_path / name, start_s=0.5, duration_s=1.0))
    assert info.duration_s == pytest.approx(1.0, abs=0.15)
    assert info.has_audio == name.endswith("mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]
    with pytest.raises(InputError, match=r"\.gif or \.mp4"):
        export_comparison(side_by_side, tmp_path / "short.avi")
    with pytest.raises(InputError, match="outside the comparison"):
        export_comparison(side_by_side, tmp_path / name, start_s=5)


def test_nothing_big_is_put_into_a_notebook(tmp_path: Path) -> None:
    (tmp_path / "long.mp4").write_bytes(bytes(figures.MOST_SHOWN_BYTES + 1))
    assert "too large" in str(figures.show_video(tmp_path / "long.mp4").data)
    (tmp_path / "short.mp4").write_bytes(bytes(99))
    assert "data:video/mp4;base64," in str(figures.show_video(tmp_path / "short.mp4", ["a < b"]).data)
    assert "a &lt; b" in str(figures.show_video(tmp_path / "short.mp4", ["a < b"]).data)


def test_uploads_of_ipywidgets_7_and_8_are_kept(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 5).read_bytes()
    folder = tmp_path / "uploaded_video"
    folder.mkdir()
    inputs._take(folder, {"seven.mp4": {"metadata": {}, "content": clip}})
    inputs._take(folder, ({"name": "../eight.mp4", "content": memoryview(clip)},))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {"seven.mp4": clip, "eight.mp4": clip}
    assert notebook.get_video(tmp_path, upload=True).parent == folder


def test_an_upload_on_colab_waits_for_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = make_sound(tmp_path / "a.wav", 0.5).read_bytes()
    colab = SimpleNamespace(files=SimpleNamespace(upload=lambda: {"words.wav": sound}))
    monkeypatch.setitem(sys.modules, "google.colab", colab)  # type: ignore[arg-type]
    assert notebook.get_audio(tmp_path, upload=True) == tmp_path / "uploaded_audio" / "words.wav"


def test_a_recording_comes_in_pieces_and_becomes_a_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for content in (b"abcdef", b"gh"):
        pieces = [content[k : k + 4] for k in range(0, len(content), 4)]
        for index, piece in enumerate(pieces):
            message = {"index": index, "count": len(pieces), "type": "audio/webm;codecs=opus"}
            recorder._take(recorder, message, [memoryview(piece)])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"001.webm": b"abcdef", "002.webm": b"gh"}
    assert recorder.saved == "002.webm"


def test_drive_outside_colab_is_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "final_video.mp4").write_bytes(b"x")
    notebook.hand_over(Path("final_video.mp4"), to_drive=True)
    assert "in Colab only" in caplog.text


@pytest.mark.slow
def test_an_install_on_colab_replaces_nothing() -> None:
    answer = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check_colab.py"], capture_output=True, text=True, check=False
    )
    if answer.returncode == 3:
        pytest.skip(answer.stdout.strip())
    assert answer.returncode == 0, answer.stderr


# ── the timeline ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def crowd(tmp_path: Path) -> tuple[Project, Tracks]:
    """Two seconds with ten people: the first is large and seen all the time, the second in the last half second."""
    video, audio = make_clip(tmp_path / "v.mp4", 50), make_sound(tmp_path / "a.wav", 2.0)
    project = Project.create(tmp_path / "job", video, audio, weights="demo")
    spans = [(0, 50, 90.0), (37, 50, 60.0), *((5, 20, 30.0 - k) for k in range(8))]
    looks = np.eye(len(spans), dtype=np.float32)
    faces = tuple(
        Track(a, np.tile(np.float32([20 * k, 10, 20 * k + size, 10 + size]), (b - a, 1)), np.ones(b - a, np.float32),
              np.full((b - a, 5, 2), np.nan, np.float32), looks[k])
        for k, (a, b, size) in enumerate(spans)
    )  # fmt: skip
    info = project.video
    ticks = int(1 / info.rate / info.time_base)
    tracks = Tracks(np.arange(50) * ticks, info.time_base, ticks, np.array([], int), faces)
    return project, tracks


def test_the_timeline_has_a_lane_for_everybody_to_scale(
    crowd: tuple[Project, Tracks], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, tracks = crowd
    monkeypatch.setattr(project, "track", lambda: tracks)
    project.segments = Segments([Segment(0.0, 1.0)])
    drawn = figures.show_segments(project).data
    people = find_people(tracks)
    assert "<b>person-1, the speaker</b> · 0:02.0" in drawn and "person-2 · 0:00.5" in drawn
    assert f"left:74.00%;width:26.00%;background:{people[1].colour}" in drawn
    assert "person-8" in drawn and "person-9" not in drawn and "and 2 more" in drawn


def test_what_is_seen_and_what_is_marked_have_one_scale_also_where_the_video_begins_late(
    crowd: tuple[Project, Tracks], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, tracks = crowd
    half_s = round(0.5 / tracks.time_base)
    monkeypatch.setattr(project, "track", lambda: replace(tracks, pts=tracks.pts + half_s))
    monkeypatch.setattr(figures, "thumbnails", lambda *_: [np.zeros((112, 112, 3), np.uint8)] * 8)
    project.segments = Segments([Segment(0.5, 2.5)])
    drawn = figures.show_segments(project).data
    assert drawn.count("left:20.00%") == 2, "the segment, and the lane of who is there from the first frame on"
    assert '<div style="width:20.000%"></div><div title="face" style="width:80.000%' in drawn


def test_the_preflight_is_shown_as_a_picture_and_a_table_also_where_nothing_is_marked(
    crowd: tuple[Project, Tracks], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, tracks = crowd
    monkeypatch.setattr(project, "track", lambda: tracks)
    project.segments = Segments([Segment(0.0, 1.0)])
    shown = figures.show_preflight(project).data
    assert "<svg" in shown and "(50%)" in shown and "on this machine" in shown and "are free" in shown
    project.segments = Segments()
    shown = figures.show_preflight(project).data
    assert "nothing is marked" in shown and "(0%)" in shown
    assert figures.moment(project, "") == 0.0
    with pytest.raises(InputError, match="nothing is marked"):
        figures.show_try(project)


def test_a_video_without_a_face_has_a_timeline_too(
    crowd: tuple[Project, Tracks], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, tracks = crowd
    monkeypatch.setattr(project, "track", lambda: replace(tracks, tracks=()))
    project.segments = Segments()
    shown = figures.show_preflight(project).data
    assert "no face anywhere" in shown and "nobody" in shown and "person-1" not in shown
