"""Fine-tuning: what is refused, what is learned from and what is held out, interruptions, the result."""

from __future__ import annotations

import csv
import shutil
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import make_clip
from conftest import noise_pictures, write_video
from safetensors import safe_open
from safetensors.torch import save_file

from wav2lip_kit import LipSyncer, training, training_data
from wav2lip_kit.checkpoints import load_generator
from wav2lip_kit.cli import main
from wav2lip_kit.errors import InputError
from wav2lip_kit.faces.detectors import load_detector
from wav2lip_kit.model import Wav2Lip
from wav2lip_kit.training import train
from wav2lip_kit.training_data import Clip, find_videos, prepare_clips

PRESENTER = Path(__file__).parent.parent / "examples" / "presenter.mp4"


@pytest.fixture(scope="session")
def material(tmp_path_factory) -> Path:
    """A folder in which the presenter's crops are prepared."""
    folder = tmp_path_factory.mktemp("material")
    prepare_clips([PRESENTER], folder, load_detector("haar"), progress=False)
    return folder


@pytest.fixture
def folder(material, tmp_path) -> Path:
    return shutil.copytree(material, tmp_path / "folder")


@pytest.fixture(scope="session")
def clip(material) -> Clip:
    return prepare_clips([PRESENTER], material, load_detector("haar"), progress=False)[0][0]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """An untrained generator that learns fast."""
    torch.manual_seed(0)
    tensors = {k: t for k, t in Wav2Lip(1 / 32).state_dict().items() if t.is_floating_point()}
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(tensors, path, metadata={"licence": "a licence of its own"})
    return path


def learn(out: Path, folder: Path, init: Path | str, minutes: float = 0.1) -> training.TrainResult:
    return train(
        PRESENTER, out, init=str(init), folder=folder, minutes=minutes, detector="haar", device="cpu", progress=False
    )


# ── material ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_to_learn_from_is_told_with_the_next_step(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no such folder.*--videos"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no video in.*\.mp4"):
        find_videos(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "sound_s", "reason"),
    [(1, 1.0, "bad.mp4 is too short: it lasts 1.0 s"), (4, None, "bad.mp4 has no sound"), (4, 4.0, "shows no face")],
)
def test_bad_material_is_refused_with_its_reason(tmp_path, seconds, sound_s, reason) -> None:
    bad = make_clip(tmp_path / "bad.mp4", seconds * 10, 10, pictures=noise_pictures(3, (320, 240)), sound_s=sound_s)
    with pytest.raises(InputError, match=reason):
        prepare_clips([bad], tmp_path, load_detector("haar"), progress=False)


def test_a_bad_video_does_not_stop_the_good_ones(tmp_path, folder, caplog) -> None:
    silent = write_video(tmp_path / "silent.mp4", noise_pictures(100))
    clips, _ = prepare_clips([silent, PRESENTER], folder, load_detector("haar"), progress=False)
    assert [c.name for c in clips] == ["presenter.mp4"]
    assert "left out: silent.mp4 has no sound" in caplog.text


def test_material_is_cut_once(folder, monkeypatch) -> None:
    monkeypatch.setattr(training_data, "track_faces", lambda *_, **__: pytest.fail("searched for faces again"))
    prepare_clips([PRESENTER], folder, load_detector("haar"), progress=False)


def test_held_out_frames_are_never_learned_from(clip) -> None:
    assert 0 < clip.n_train < clip.held_out < len(clip.times_s)
    assert clip.times_s[clip.held_out] - clip.times_s[clip.n_train - 1] >= 0.2  # a mel window's length
    rng = np.random.default_rng(0)
    targets = rng.integers(clip.n_train, size=500)
    references = clip.references(rng, targets)
    assert references.min() >= 0
    assert references.max() < clip.n_train
    apart_s = np.abs(clip.times_s[references] - clip.times_s[targets])
    assert (apart_s > 0.1).mean() > 0.95
    assert np.median(apart_s) < 4.0  # the same pose; a gap without a face may lie between


def test_crops_and_windows_are_those_of_a_run(clip) -> None:
    """What is learned from must be what the network meets at work."""
    assert clip.crops_bgr.shape == (len(clip.times_s), 96, 96, 3)
    assert clip.windows(np.array([10, 11])).shape == (2, 1, 80, 16)
    crops = np.array(clip.crops_bgr[:60])
    made = LipSyncer.from_pretrained("demo", device="cpu")(clip.windows(np.arange(60)), crops)
    right = np.abs(made.astype(float) - crops)[:, 52:90, 20:76].mean()
    late = LipSyncer.from_pretrained("demo", device="cpu")(clip.windows(np.arange(15, 75)), crops)
    assert right < np.abs(late.astype(float) - crops)[:, 52:90, 20:76].mean()


@pytest.mark.slow
def test_sound_that_is_late_or_of_somebody_else(tmp_path, shared_media, shared_weights, monkeypatch) -> None:
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(shared_weights))
    detector, videos = load_detector("retinaface"), shared_media / "video"
    right = videos / "debate_voice_right.mp4"  # the person who is seen the most
    assert len(prepare_clips([right], tmp_path, detector, progress=False)[0]) == 1
    with pytest.raises(InputError, match=r"debate_voice_left\.mp4: the mouth does not follow the sound"):
        prepare_clips([videos / "debate_voice_left.mp4"], tmp_path, detector, progress=False)
    late = tmp_path / "late.mp4"
    with av.open(str(right)) as source, av.open(str(late), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in (source.streams.video[0], source.streams.audio[0])}
        for packet in source.demux(list(source.streams.video[:1]) + list(source.streams.audio[:1])):
            if packet.dts is not None:
                if packet.stream.type == "audio":
                    packet.pts += round(0.4 / packet.time_base)
                    packet.dts += round(0.4 / packet.time_base)
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    with pytest.raises(InputError, match=r"late\.mp4: the sound is about 0\.\d s late"):
        prepare_clips([late], tmp_path, detector, progress=False)


# ── learning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_learning_lowers_the_error_and_leaves_usable_weights(tmp_path, folder, tiny) -> None:
    result = learn(tmp_path / "mine.safetensors", folder, tiny, minutes=0.3)
    assert result.error_after < 0.95 * result.error_before
    assert load_generator(result.path).width == 1 / 32
    with safe_open(result.path, "np") as file:
        about = file.metadata()
    assert about["licence"] == "a licence of its own"  # what is made from weights is no freer than they are
    with result.curves.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["mouth_error"]) == pytest.approx(result.error_before)
    assert min(float(row["mouth_error"]) for row in rows) == pytest.approx(result.error_after)


def test_an_interrupted_run_goes_on(tmp_path, folder, tiny, monkeypatch) -> None:
    out, step = tmp_path / "mine.safetensors", training._Run._step

    def interrupted(run, everywhere):
        if run.state.step == 2:
            raise KeyboardInterrupt
        return step(run, everywhere)

    monkeypatch.setattr(training._Run, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn(out, folder, tiny, minutes=0.3)
    assert not out.exists()
    seen = []
    monkeypatch.setattr(training._Run, "_step", lambda run, e: (seen.append(run.state.step), step(run, e))[1])
    result = learn(out, folder, tiny, minutes=0.3)
    assert seen[0] == 2
    assert result.steps == seen[-1] + 1
    assert out.exists()


def test_a_finished_run_is_not_repeated(tmp_path, folder, tiny, monkeypatch) -> None:
    first = learn(tmp_path / "a.safetensors", folder, tiny, minutes=0.03)
    monkeypatch.setattr(training._Run, "_step", lambda *_: pytest.fail("learned on"))
    second = learn(tmp_path / "b.safetensors", folder, tiny, minutes=0.03)
    assert second.error_after == first.error_after
    a, b = (load_generator(r.path).state_dict() for r in (first, second))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_that_gets_nowhere_stops_early(tmp_path, folder, tiny, monkeypatch) -> None:
    def step(run, _):
        run.state.step += 1
        time.sleep(0.01)
        return 0.0

    monkeypatch.setattr(training._Run, "_step", step)
    result = learn(tmp_path / "a.safetensors", folder, tiny, minutes=0.2)
    assert result.steps > training.WARM_STEPS
    assert result.minutes < 0.15
    assert result.error_after == result.error_before


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--videos", "nowhere", "-o", "a.safetensors"], "no such folder: 'nowhere'"),
        (["--videos", str(PRESENTER), "-o", "a.pth"], "ends in .safetensors"),
        (["--videos", str(PRESENTER), "-o", "no/a.safetensors"], "in a folder that exists"),
        (["--videos", str(PRESENTER), "-o", "a.safetensors", "--minutes", "0"], "minutes are 0"),
        (["--videos", str(PRESENTER), "-o", "a.safetensors", "--init", "nothing"], "nothing"),
        (["--videos", str(PRESENTER)], "--output"),
    ],
)
def test_wrong_inputs_end_in_one_line(tmp_path, monkeypatch, capsys, options, says) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *options]) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_on_the_demo_weights(tmp_path, folder, capsys) -> None:
    out = tmp_path / "presenter.safetensors"
    options = ["--folder", str(folder), "--init", "demo", "--minutes", "0.3", "--detector", "haar", "--device", "cpu"]
    assert main(["train", "--videos", str(PRESENTER), "-o", str(out), *options]) == 0
    assert str(out) in capsys.readouterr().out
    with safe_open(out, "np") as file:
        assert file.metadata()["licence"].startswith("MIT")
