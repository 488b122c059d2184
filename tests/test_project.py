"""The whole job: what reaches the encoder, what lies in the file, and what is left after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from clips import frames_of, make_clip, make_sound, number_of, numbered_picture, stream_ends_s, times_of, write_boxes

from wav2lip_kit import Project, Segment, Segments, lipsync
from wav2lip_kit.audio import probe_audio
from wav2lip_kit.errors import FaceError, InputError, ProjectError
from wav2lip_kit.frames import Frame, FrameWriter, read_frames
from wav2lip_kit.media import probe
from wav2lip_kit.metrics import psnr_db, read_regions

BOX = (110, 60, 210, 190)
FAST: dict[str, Any] = {"weights": "demo", "detector": "haar"}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds, 50 numbered frames, 320×240."""
    return make_clip(tmp_path / "talk.mp4", 50)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return make_sound(tmp_path / "words.wav", 2.0)


def boxes_for(tmp_path: Path, n_frames: int) -> str:
    return str(write_boxes(tmp_path / f"boxes{n_frames}.json", [BOX] * n_frames))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """Every frame as it is handed to the encoder."""
    frames: list[Frame] = []
    original = FrameWriter.write

    def write(self: FrameWriter, frame: Frame) -> None:
        planes = tuple(np.array(p) for p in frame.planes)
        frames.append(Frame(planes, frame.pts, frame.duration))  # type: ignore[arg-type]
        original(self, frame)

    monkeypatch.setattr(FrameWriter, "write", write)
    return frames


def same(a: Frame, b: Frame) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))


# ── promise 2: only the mouth changes ──────────────────────────────────────────────────────────────────────────────


def test_outside_segments_frames_reach_the_encoder_bit_for_bit(
    clip: Path, sound: Path, tmp_path: Path, written: list[Frame]
) -> None:
    out = lipsync(clip, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 50), segments="0:00.4-0:01.2", **FAST)
    source = frames_of(clip)
    assert len(written) == 50
    for index, (before, after) in enumerate(zip(source, written, strict=True)):
        if 10 <= index < 30:
            assert not np.array_equal(before.planes[0], after.planes[0]), f"frame {index} was not synced"
        else:
            assert same(before, after), f"frame {index} lies outside the segment, yet it was changed"
    assert [number_of(f) for f in frames_of(out)] == list(range(50))


def test_inside_segments_only_pixels_of_the_mouth_region_change(
    clip: Path, sound: Path, tmp_path: Path, written: list[Frame]
) -> None:
    out = lipsync(clip, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 50), segments="all", **FAST)
    regions = read_regions(out.with_suffix(".report.json"))
    assert sorted(regions) == list(range(50))
    for index, (before, after) in enumerate(zip(frames_of(clip), written, strict=True)):
        x0, y0, x1, y1 = regions[index]
        assert BOX[0] - 4 < x0 and x1 < BOX[2] + 4 and y0 > 115 and y1 < 202, "more than the lower face"
        for plane, (old, new) in enumerate(zip(before.planes, after.planes, strict=True)):
            step = 1 if plane == 0 else 2
            changed = old != new
            changed[y0 // step : y1 // step, x0 // step : x1 // step] = False
            assert not changed.any()


def test_size_rate_tags_and_aspect_are_kept(tmp_path: Path, sound: Path) -> None:
    path = tmp_path / "wide.mp4"
    options = {"x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709:sar=46/45", "crf": "12"}
    make_clip(path, 30, Fraction(30000, 1001), size=(322, 242), options=options)
    out = lipsync(path, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 30), segments="0-0.5", **FAST)
    a, b = probe(path), probe(out)
    assert (b.width_px, b.height_px, b.rate, b.sample_aspect) == (322, 242, Fraction(30000, 1001), Fraction(46, 45))
    assert b.color == a.color and (a.color.primaries, a.color.transfer, a.color.matrix) == (1, 1, 1)


# ── promise 1: time ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rate", ["24000/1001", "25", "30000/1001", "50", "60"])
def test_frame_count_and_ends_are_exact_also_with_forty_segments(rate: str, tmp_path: Path) -> None:
    fps = Fraction(rate)
    n_frames = round(8.2 * fps)
    clip = make_clip(tmp_path / "talk.mp4", n_frames, fps, size=(192, 64), options={"preset": "ultrafast"})
    segments = Segments(Segment(0.05 + 0.2 * k, 0.15 + 0.2 * k) for k in range(40))
    boxes = write_boxes(tmp_path / "b.json", [(60, 4, 100, 56)] * n_frames)
    out = lipsync(
        clip,
        make_sound(tmp_path / "w.wav", 9.0),
        tmp_path / "o.mp4",
        speaker=str(boxes),
        segments=str(segments),
        **FAST,
    )
    assert [number_of(f) for f in frames_of(out)] == list(range(n_frames))
    assert times_of(out) == pytest.approx([float(k / fps) for k in range(n_frames)], abs=1e-3)
    video_s, sound_s = stream_ends_s(out)
    assert video_s == pytest.approx(float(n_frames / fps), abs=1e-3)
    assert sound_s == pytest.approx(video_s, abs=float(1 / fps))
    with av.open(str(out)) as container:
        decode = [p.dts for p in container.demux(video=0) if p.dts is not None]
        assert all(b > a for a, b in pairwise(decode)), "decode times do not rise across joins"


def test_a_variable_rate_and_a_late_start_keep_every_timestamp(tmp_path: Path, sound: Path) -> None:
    steps = [1, 2, 1, 1, 3, 1, 2, 2, 1, 5] * 3
    pts = [int(200 + 33 * t) for t in np.cumsum([0, *steps[:-1]])]  # milliseconds, from 0.2 s on
    clip = make_clip(
        tmp_path / "vfr.mkv",
        30,
        25,
        pts=pts,
        time_base=Fraction(1, 1000),
        sound_s=2.5,
        options={"bf": "2", "crf": "10"},
    )
    out = lipsync(clip, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 30), segments="0.3-1", **FAST)
    assert times_of(out) == pytest.approx(times_of(clip), abs=1e-3)
    assert times_of(out)[0] == pytest.approx(0.2, abs=1e-3)
    assert [number_of(f) for f in frames_of(out)] == list(range(30))


def test_the_sound_in_the_file_starts_with_the_video_and_keeps_its_rate(clip: Path, tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "w.wav", 1.0, 48000, "stereo")
    out = lipsync(clip, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 50), segments="all", **FAST)
    with av.open(str(out)) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.layout.name) == (48000, "stereo")
        wave = np.concatenate([f.to_ndarray()[0] for f in container.decode(stream)])
    loud = np.flatnonzero(np.abs(wave) > 0.05)
    assert loud[0] < 480 and loud[-1] == pytest.approx(48000, abs=1100)  # then silence up to the end of the video
    assert len(wave) == pytest.approx(96000, abs=1024)


@pytest.mark.parametrize(
    ("fit", "n_frames"), [("silence", 50), ("cut_off", 25), ("loop", 25), ("bounce", 25)], ids=lambda v: str(v)
)
def test_fit_with_shorter_audio(fit: str, n_frames: int, clip: Path, tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "w.wav", 1.0)
    out = lipsync(clip, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 50), segments="all", fit=fit, **FAST)
    assert [number_of(f) for f in frames_of(out)] == list(range(n_frames))


@pytest.mark.parametrize(("fit", "turn"), [("loop", 1), ("bounce", -1)])
def test_fit_with_longer_audio(fit: str, turn: int, clip: Path, tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "w.wav", 3.0)
    out = lipsync(clip, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 50), segments="0.4-1.2", fit=fit, **FAST)
    numbers = [number_of(f) for f in frames_of(out)]
    assert numbers == [*range(50), *list(range(50))[::turn][:25]]
    video_s, sound_s = stream_ends_s(out)
    assert video_s == pytest.approx(3.0, abs=1e-3) and sound_s == pytest.approx(3.0, abs=0.04)


def test_trim_takes_the_stretch_and_segments_count_from_its_start(
    clip: Path, sound: Path, tmp_path: Path, written: list[Frame]
) -> None:
    boxes = boxes_for(tmp_path, 25)
    out = lipsync(clip, sound, tmp_path / "o.mp4", trim="0.4-1.4", segments="0.2-0.6", speaker=boxes, **FAST)
    assert [number_of(f) for f in frames_of(out)] == list(range(10, 35))
    assert times_of(out)[0] == pytest.approx(0.0, abs=1e-3)
    source = frames_of(clip)[10:35]
    assert [not same(a, b) for a, b in zip(source, written, strict=True)] == [5 <= k < 15 for k in range(25)]


def test_the_mouth_is_given_the_sound_of_its_own_time(clip: Path, tmp_path: Path) -> None:
    """The same second of sound, heard at another time, gives the frames of that time the same mel windows."""
    from wav2lip_kit import sync

    heard: list[np.ndarray] = []
    original = sync.LipSyncer.__call__

    def call(self: sync.LipSyncer, mels: np.ndarray, crops: np.ndarray) -> np.ndarray:
        heard.append(mels)
        return original(self, mels, crops)

    rng = np.random.default_rng(1)
    wave = (rng.uniform(-0.3, 0.3, 32000)).astype(np.float32)
    wave[:16000] = 0
    path = tmp_path / "late.wav"
    import soundfile

    soundfile.write(path, wave, 16000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync.LipSyncer, "__call__", call)
        lipsync(clip, path, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 50), segments="all", **FAST)
    mels = np.concatenate(heard)[:, 0]  # (50, 80, 16)
    is_loud = (mels > -3.5).any(axis=(1, 2))
    # A window starts at 80·t − 3.2 and is 16 columns long: the noise from 1.0 s on is first heard at about 0.83 s.
    assert int(np.flatnonzero(is_loud)[0]) == pytest.approx(0.83 * 25, abs=1)
    centre_of_onset = [int((m > -3.5).any(axis=0).argmax()) for m in mels[is_loud][:3]]
    assert centre_of_onset == sorted(centre_of_onset, reverse=True)  # it wanders to the left as time goes on


# ── every kind of input ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_of_frames(tmp_path: Path, sound: Path) -> None:
    folder = tmp_path / "frames of 'a' film"
    folder.mkdir()
    for k in range(12):
        cv2.imwrite(str(folder / f"f{k}.png"), numbered_picture(k))
    out = lipsync(
        folder, sound, tmp_path / "o.mp4", rate="10", speaker=boxes_for(tmp_path, 12), segments="0-0.5", **FAST
    )
    assert [number_of(f) for f in frames_of(out)] == list(range(12))
    assert times_of(out) == pytest.approx([k / 10 for k in range(12)], abs=1e-3)


def test_a_still_image_lasts_as_long_as_the_sound(tmp_path: Path) -> None:
    picture = tmp_path / "portrait.png"
    cv2.imwrite(str(picture), numbered_picture(7))
    sound = make_sound(tmp_path / "w.wav", 1.5)
    out = lipsync(picture, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 38), segments="all", **FAST)
    assert [number_of(f) for f in frames_of(out)] == [7] * 38
    assert json.loads(out.with_suffix(".report.json").read_text())["digital_source_type"].endswith("compositeSynthetic")


@pytest.mark.parametrize(
    ("layout", "rate_hz", "suffix"),
    [
        ("mono", 8000, ".wav"),
        ("stereo", 11025, ".wav"),
        ("5.1", 48000, ".flac"),
        ("mono", 22050, ".mp3"),
        ("stereo", 96000, ".wav"),
    ],
)
def test_sound_of_every_kind(layout: str, rate_hz: int, suffix: str, clip: Path, tmp_path: Path) -> None:
    sound = make_sound(tmp_path / f"w{suffix}", 2.0, rate_hz, layout)
    out = lipsync(clip, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 50), segments="0-0.2", **FAST)
    with av.open(str(out)) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.layout.name) == (rate_hz, layout)
        wave = np.concatenate([f.to_ndarray()[0] for f in container.decode(stream)])
    assert 0.1 < np.abs(wave[rate_hz // 2 : rate_hz]).max() < 0.35
    video_s, sound_s = stream_ends_s(out)
    assert sound_s == pytest.approx(video_s, abs=0.04)


def test_the_sound_of_a_video_over_a_video_without_sound(clip: Path, tmp_path: Path) -> None:
    other = make_clip(tmp_path / "other.mp4", 20, sound_s=0.8)
    assert not probe(clip).has_audio
    out = lipsync(clip, other, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 50), segments="0-0.2", **FAST)
    assert probe(out).has_audio and len(frames_of(out)) == 50


# ── the project folder ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_leaves_the_result_and_nothing_else_but_what_was_asked_for(
    clip: Path, sound: Path, tmp_path: Path
) -> None:
    speaker = boxes_for(tmp_path, 50)
    before = set(tmp_path.iterdir())
    lipsync(clip, sound, tmp_path / "o.mp4", speaker=speaker, segments="all", **FAST)
    assert set(tmp_path.iterdir()) - before == {tmp_path / "o.mp4", tmp_path / "o.report.json"}


def test_marks_made_by_hand_are_kept_and_used(clip: Path, sound: Path, tmp_path: Path, written: list[Frame]) -> None:
    project = Project.create(tmp_path / "job", clip, sound, speaker=boxes_for(tmp_path, 50), **FAST)
    project.segments = Segments([Segment(0.4, 0.8)])
    project.run()
    assert [not same(a, b) for a, b in zip(frames_of(clip), written, strict=True)] == [10 <= k < 20 for k in range(50)]
    again = Project.open(tmp_path / "job")
    assert again.segments == Segments([Segment(0.4, 0.8)]) and again.settings == project.settings
    # the same video again keeps them, another one puts them away
    Project.create(tmp_path / "job", clip, sound, speaker=boxes_for(tmp_path, 50), **FAST)
    assert Project.open(tmp_path / "job").segments == Segments([Segment(0.4, 0.8)])
    Project.create(tmp_path / "job", make_clip(tmp_path / "n.mp4", 30), sound, **FAST)
    assert (tmp_path / "job" / "segments.old.json").is_file()
    with pytest.raises(ProjectError, match="no segments"):
        _ = Project.open(tmp_path / "job").segments


def test_only_what_changed_is_rendered_again(clip: Path, sound: Path, tmp_path: Path, written: list[Frame]) -> None:
    speaker = boxes_for(tmp_path, 50)
    project = Project.create(tmp_path / "job", clip, sound, speaker=speaker, segments="0.4-0.8, 1.2-1.6", **FAST)
    project.run()
    assert len(written) == 50
    project.run()
    assert len(written) == 50, "a second run rendered parts that were there"
    # The first segment grows by a frame: three parts change, the second segment and what follows it do not.
    Project.open(tmp_path / "job", segments="0.4-0.84, 1.2-1.6").run()
    assert len(written) == 50 + 11 + 9
    # Other sound changes what is synced, and leaves the rest.
    Project.create(
        tmp_path / "job",
        clip,
        make_sound(tmp_path / "v.wav", 1.0),
        speaker=speaker,
        segments="0.4-0.84, 1.2-1.6",
        **FAST,
    ).run()
    assert len(written) == 70 + 11 + 10


def test_a_killed_run_goes_on_and_ends_the_same(sound: Path, tmp_path: Path) -> None:
    long = make_clip(tmp_path / "long.mp4", 500, options={"preset": "ultrafast"})
    times = ",".join(f"{0.2 + k}-{0.7 + k}" for k in range(20))
    speaker = boxes_for(tmp_path, 500)
    arguments = [
        long,
        sound,
        "--segments",
        times,
        "--speaker",
        speaker,
        "--weights",
        "demo",
        "--detector",
        "haar",
        "--quiet",
    ]
    command = [sys.executable, "-m", "wav2lip_kit", "run", *map(str, arguments)]
    out, undisturbed = tmp_path / "killed.mp4", tmp_path / "undisturbed.mp4"
    parts = tmp_path / "killed.project" / "segments"
    run = subprocess.Popen([*command, "-o", str(out)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(parts.glob("[0-9]*.mp4")) if parts.is_dir() else []) < 8:
        assert run.poll() is None and time.monotonic() < deadline, "the run ended before it could be killed"
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert not out.exists()
    whole = {p.name: p.stat().st_mtime_ns for p in parts.glob("[0-9]*.mp4")}
    assert 8 <= len(whole) < 41
    assert subprocess.run([*command, "-o", str(undisturbed)], check=False).returncode == 0
    again = subprocess.run([*command, "-o", str(out), "--project", str(parts.parent)], check=False)
    assert again.returncode == 0
    for name, modified in whole.items():
        assert (parts / name).stat().st_mtime_ns == modified, f"{name} was rendered twice"
    assert not list(parts.glob(".*")), "half-written parts are left"
    for a, b in zip(read_frames(probe(out)), read_frames(probe(undisturbed)), strict=True):
        assert a.pts == b.pts and same(a, b)


def test_an_interrupted_render_leaves_no_half_file(clip: Path, sound: Path, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "job", clip, sound, speaker=boxes_for(tmp_path, 50), segments="0.4-0.8", **FAST)
    count = 0
    original = FrameWriter.write

    def write(self: FrameWriter, frame: Frame) -> None:
        nonlocal count
        count += 1
        if count == 15:
            raise KeyboardInterrupt
        original(self, frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrameWriter, "write", write)
        with pytest.raises(KeyboardInterrupt):
            project.run(tmp_path / "o.mp4")
    assert len(list((tmp_path / "job" / "segments").iterdir())) == 1, "the first part is whole, the second is gone"
    assert not (tmp_path / "o.mp4").exists()
    project.run(tmp_path / "o.mp4")
    assert [number_of(f) for f in frames_of(tmp_path / "o.mp4")] == list(range(50))


def test_combine_without_sync_says_what_to_run(clip: Path, sound: Path, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "job", clip, sound, speaker=boxes_for(tmp_path, 50), segments="all", **FAST)
    project.suggest()
    with pytest.raises(ProjectError, match="1 of 1 parts are not rendered yet: run `wav2lip-kit sync"):
        project.combine()


def test_frames_without_the_face_are_left_with_a_notice(
    clip: Path, sound: Path, tmp_path: Path, written: list[Frame]
) -> None:
    boxes = write_boxes(tmp_path / "b.json", [BOX] * 20 + [None] * 30)
    out = lipsync(clip, sound, tmp_path / "o.mp4", speaker=str(boxes), segments="all", **FAST)
    source = frames_of(clip)
    assert [not same(a, b) for a, b in zip(source, written, strict=True)] == [k < 20 for k in range(50)]
    notices = json.loads(out.with_suffix(".report.json").read_text())["notices"]
    assert any("30 of 50 frames in FACE segments show no face" in n and "0:00.8" in n for n in notices)


def test_a_video_without_a_face_gets_the_new_audio_with_a_notice(
    clip: Path, sound: Path, tmp_path: Path, written: list[Frame]
) -> None:
    out = lipsync(clip, sound, tmp_path / "o.mp4", **FAST)
    assert all(same(a, b) for a, b in zip(frames_of(clip), written, strict=True))
    assert stream_ends_s(out)[1] == pytest.approx(min(stream_ends_s(out)[0], probe_audio(sound).duration_s), abs=0.05)
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert report["segments"] == []
    assert any("only gets the new audio" in n and "no face anywhere in talk.mp4" in n for n in report["notices"])


def test_a_person_who_was_picked_and_is_not_there_is_said_before_the_network_runs(
    clip: Path, sound: Path, tmp_path: Path
) -> None:
    with pytest.raises(FaceError, match=r"no face anywhere in talk\.mp4"):
        lipsync(clip, sound, tmp_path / "o.mp4", speaker="person-1", **FAST)
    assert not (tmp_path / "o.mp4").exists() and not (tmp_path / "o.project").exists()


def test_the_result_says_that_it_is_synthetic(clip: Path, sound: Path, tmp_path: Path) -> None:
    out = lipsync(clip, sound, tmp_path / "o.mp4", speaker=boxes_for(tmp_path, 50), segments="0-0.4", **FAST)
    with av.open(str(out)) as container:
        assert "compositeWithTrainedAlgorithmicMedia" in container.metadata["comment"]
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert report["frames"] == 50 and report["frames_synced"] == 10 and report["video"]["name"] == "talk.mp4"
    assert report["settings"]["weights"] == "demo"


def test_an_unknown_setting_is_named(clip: Path, sound: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown setting 'speed': choose from segments, speaker"):
        lipsync(clip, sound, tmp_path / "o.mp4", speed=2)


# ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────────

PEAK = """
import resource, sys
from wav2lip_kit import lipsync
clip, sound, out, boxes = sys.argv[1:]
settings = dict(segments="0-1", fit="loop", weights="demo", detector="haar", crf=45)
lipsync(clip, sound, out, speaker=boxes, progress=False, **settings)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """A 1080×1920 clip looped to five minutes against twenty seconds: within 150 MB."""
    # Ten frames a second, to have five minutes in fewer frames.
    clip = make_clip(tmp_path / "tall.mp4", 50, 10, size=(1080, 1920), options={"preset": "ultrafast", "crf": "35"})
    boxes = write_boxes(tmp_path / "b.json", [(300, 400, 700, 900)] * 50)
    peaks_mb = []
    for seconds in (20, 300):
        sound = make_sound(tmp_path / f"{seconds}.wav", seconds)
        run = [sys.executable, "-c", PEAK, *map(str, (clip, sound, tmp_path / "o.mp4", boxes))]
        answer = subprocess.run(run, capture_output=True, text=True, check=True)
        peaks_mb.append(int(answer.stdout))
        assert probe(tmp_path / "o.mp4").duration_s == pytest.approx(seconds, abs=0.1)
    assert peaks_mb[1] - peaks_mb[0] < 150, f"{peaks_mb} MB"


# ── real clips ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def real(shared_media: Path, shared_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(shared_weights))
    return shared_media


@pytest.mark.slow
def test_a_cutaway_without_a_face_is_left_alone(real: Path, tmp_path: Path, written: list[Frame]) -> None:
    video = real / "video" / "cutaway_noface_22s.mov"
    out = lipsync(video, real / "audio" / "jfk.flac", tmp_path / "o.mp4", segments="auto", weights="demo")
    report = json.loads(out.with_suffix(".report.json").read_text())
    (_, end_s), (start_s, _) = report["segments"]
    assert end_s == pytest.approx(10.6, abs=0.2) and start_s == pytest.approx(14.6, abs=0.2)
    errors = []
    info = probe(video)
    for before, handed, after in zip(read_frames(info), written, read_frames(probe(out)), strict=True):
        if end_s <= info.time_s(before.pts) < start_s:
            assert same(before, handed)
            errors.append(np.square(before.planes[0].astype(np.float32) - after.planes[0]).mean())
    assert len(errors) == pytest.approx(120, abs=12)
    assert psnr_db(float(np.mean(errors))) >= 42


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("vfr_suit_6s.mp4", "LJ001-0001.mp3"),
        ("whgov_hamilton_10s.mp4", "nasa_8k_stereo.mp3"),
        ("debate_two_faces_17s.mp4", "mandarin_48k.wav"),
        ("grid_swiz3n.mpg", "radio_16k_stereo.wav"),
    ],
)
def test_real_clips_keep_their_timestamps_size_and_aspect(name: str, sound: str, real: Path, tmp_path: Path) -> None:
    video = real / "video" / name
    out = lipsync(video, real / "audio" / sound, tmp_path / "o.mp4", weights="demo")
    assert times_of(out) == pytest.approx(times_of(video), abs=1e-3)
    a, b = probe(video), probe(out)
    assert (a.width_px, a.height_px, a.sample_aspect) == (b.width_px, b.height_px, b.sample_aspect)
    video_s, sound_s = stream_ends_s(out)
    assert sound_s == pytest.approx(video_s, abs=float(1 / a.rate))


def test_a_rotated_clip_comes_out_upright(real: Path, tmp_path: Path) -> None:
    video = real / "video" / "nasa_13013_rotated.mp4"
    boxes = write_boxes(tmp_path / "b.json", [(50, 200, 150, 330)] * 17)
    out = lipsync(
        video, real / "audio" / "LJ001-0002.wav", tmp_path / "o.mp4", speaker=str(boxes), segments="0-0.2", **FAST
    )
    info = probe(out)
    assert (info.width_px, info.height_px, info.rotation_deg) == (270, 480, 0)
    with av.open(str(video)) as container:
        stored = list(container.decode(video=0))[-1].to_ndarray()[:270, :480]  # its luma
    upright = frames_of(out)[-1].planes[0]
    assert np.abs(np.rot90(stored, 1).astype(int) - upright).mean() < 2
