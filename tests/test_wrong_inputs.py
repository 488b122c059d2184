"""Whatever is wrong with the input: one line that names it and the next step, status 2, soon; nothing is left."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import noise_pictures, write_video, write_wave

from wav2lip_kit import cli, project, weights

RETINAFACE_BYTES = 1_789_735


class Mischief:
    """Unpickled by a careless reader, it would make a folder."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("mischief",)


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two good files, talk.mp4 (0.4 s) and words.wav, and everything that can be wrong."""
    folder = tmp_path_factory.mktemp("kit")
    talk = write_video(folder / "talk.mp4", noise_pictures(10))
    write_wave(folder / "words.wav", 0.4)
    write_wave(folder / "no_samples.wav", 0)
    (folder / "text.mp4").write_text("This is a letter, not a video.\n" * 20)
    (folder / "empty.mp4").touch()
    (folder / "no_frames.avi").write_bytes(_avi_without_frames(folder))
    for name, codec in (("cut.mp4", "libx264"), ("cut.avi", "mpeg4")):
        whole = write_video(folder / f"whole_{name}", noise_pictures(100), codec=codec)
        (folder / name).write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
        whole.unlink()
    (folder / "no_images").mkdir()
    (folder / "no_images" / "notes.txt").write_text("nothing to see")
    (folder / "two_sizes").mkdir()
    for index, side_px in enumerate((64, 64, 80)):
        cv2.imwrite(str(folder / "two_sizes" / f"{index}.png"), np.full((side_px, side_px, 3), 90, np.uint8))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (folder / "page.pth").write_text("<!DOCTYPE html><html><body>Quota exceeded</body></html>")
    (folder / "code.pth").write_bytes(pickle.dumps({"state_dict": Mischief()}, protocol=2))
    (folder / "cut.pth").write_bytes(b"PK\x03\x04" + bytes(range(256)) * 50)
    (folder / "wav2lip.pth").write_bytes(b"\x80\x02}q\x00." * 10)  # found under its name, by size not the published one
    (folder / "retinaface_mobilenet0.25.pth").write_bytes(bytes(RETINAFACE_BYTES))  # the right size, but only zeros
    (folder / "few_boxes.json").write_text(json.dumps([[10, 10, 50, 50]] * 3))
    (folder / "odd_boxes.json").write_text('{"box": 1}')
    (folder / "all_boxes.json").write_text(json.dumps([[10, 10, 50, 50]] * 10))
    (folder / "odd_segments.json").write_text('{"segments": [')
    (folder / "photos").mkdir()
    shutil.copy(talk, folder / "photos" / "source.mp4")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "project.json").write_text('["a list of another program"]')
    return folder


def _avi_without_frames(folder: Path) -> bytes:
    """An AVI whose index and frames are cut out, and whose header says so."""
    whole = write_video(folder / "x.avi", noise_pictures(3), codec="mpeg4")
    data = bytearray(whole.read_bytes())
    whole.unlink()
    header = data.index(b"avih") + 8
    data[header + 16 : header + 20] = bytes(4)
    stream = data.index(b"strh") + 8
    data[stream + 32 : stream + 36] = bytes(4)
    movi = data.index(b"movi")
    data[movi - 4 : movi] = (4).to_bytes(4, "little")
    del data[movi + 4 :]
    data[4:8] = (len(data) - 8).to_bytes(4, "little")
    return bytes(data)


@pytest.fixture
def work(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the kit as the working directory; no weights but those of the kit where a test asks for them."""
    folder = tmp_path / "work"
    shutil.copytree(kit, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("WAV2LIP_KIT_WEIGHTS", raising=False)
    monkeypatch.delenv("WAV2LIP_KIT_DEBUG", raising=False)
    return folder


def everything_in(folder: Path) -> dict[str, str]:
    """Every path below, with the hash of what the file holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@dataclass(frozen=True)
class Wrong:
    """A command line, and words that its error must have: the value that is wrong, and the next step."""

    name: str
    command: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


def run(arguments: str, *words: str, name: str = "") -> Wrong:
    """`run … -o out.mp4` with the demo weights, unless the arguments say otherwise."""
    command = f"run {arguments}"
    command += "" if " -o " in command else " -o out.mp4"
    command += "" if "--weights" in command else " --weights demo"
    return Wrong(name or arguments, command, words)


BEFORE_ANY_WORK = [
    # the video
    run("missing.mp4 words.wav", "'missing.mp4'", "no such video", "spelling"),
    run("https://example.org/talk.mp4 words.wav", "'https:/", "no such video"),
    run("text.mp4 words.wav", "'text.mp4'", "no video or audio file", "convert it"),
    run("empty.mp4 words.wav", "'empty.mp4'", "empty (0 bytes)", "export it again"),
    run("cut.mp4 words.wav", "'cut.mp4'", "cut off", "download or export it again"),
    run("cut.avi words.wav", "'cut.avi'", "cut off", "should last 0:04", "download or export it again"),
    run("no_frames.avi words.wav", "no_frames.avi", "export it again"),
    run("words.wav words.wav", "'words.wav'", "has no video stream (it holds: audio)", "give a video"),
    run("no_images words.wav", "'no_images'", "no frames in folder", ".png"),
    run("broken.png words.wav", "'broken.png'", "no readable image", "save it again"),
    # the audio
    run("talk.mp4 missing.wav", "'missing.wav'", "no such file", "spelling"),
    run("talk.mp4 no_images", "'no_images' is a folder", "give a file"),
    run("talk.mp4 text.mp4", "'text.mp4'", "no video or audio file"),
    run("talk.mp4 empty.mp4", "'empty.mp4'", "empty (0 bytes)"),
    run("talk.mp4 talk.mp4", "'talk.mp4'", "has no sound (it holds: video)", "give an audio file"),
    run("talk.mp4 no_samples.wav", "'no_samples.wav'", "0 samples", "give another audio file"),
    # segments
    run("talk.mp4 words.wav --segments 0:01-0:00", "0:01-0:00 ends before it starts", "did you mean 0:00-0:01"),
    run("talk.mp4 words.wav --segments 0.1-0.1", "0:00.1-0:00.1 is empty", "after the start"),
    run("talk.mp4 words.wav --segments 0-0.2,0.1-0.3", "0:00-0:00.2 and 0:00.1-0:00.3 overlap", "make them one"),
    run("talk.mp4 words.wav --segments 0:31-1:00", "0:31-1:00 reaches past the end", "up to 0:00.4"),
    run("talk.mp4 words.wav --segments 0:61-1:99", "'0:61' is not a time", "below 60"),
    run("talk.mp4 words.wav --segments 0:10", "'0:10' is not a range", "such as 0:31-1:00"),
    run("talk.mp4 words.wav --segments everywhere", "'everywhere'", "auto, all", "or a file"),
    run("talk.mp4 words.wav --segments missing.csv", "missing.csv", "check the name"),
    run("talk.mp4 words.wav --segments odd_segments.json", "odd_segments.json"),
    run("talk.mp4 words.wav --segments ,", "no segment in ','", "0:31-1:00"),
    # weights
    run("talk.mp4 words.wav --weights wav3lip", "'wav3lip'", "choose wav2lip, wav2lip_gan, demo"),
    run("talk.mp4 words.wav --weights missing.pth", "'missing.pth'", "existing file", "wav2lip_gan"),
    run("talk.mp4 words.wav --weights no_images", "'no_images' is a folder", "checkpoint file in it"),
    run("talk.mp4 words.wav --weights retinaface", "'retinaface'", "no generator", "choose one of wav2lip"),
    run("talk.mp4 words.wav --weights cut.pth", "'cut.pth'", "cut off", "weights fetch"),
    run("talk.mp4 words.wav --weights page.pth", "'page.pth'", "a web page (HTML)", "weights fetch"),
    run("talk.mp4 words.wav --weights code.pth", "'code.pth'", "would run code", "mkdir", "refused", "weights fetch"),
    run("talk.mp4 words.wav --weights talk.mp4", "'talk.mp4'", "no known format", "weights fetch"),
    # the output
    run("talk.mp4 words.wav -o missing/out.mp4", "missing' does not exist", "make it first"),
    run("talk.mp4 words.wav -o text.mp4/out.mp4", "text.mp4' does not exist", "choose another"),
    run("talk.mp4 words.wav -o /proc/out.mp4", "cannot write into folder '/proc'", "choose another for 'out.mp4'"),
    run("talk.mp4 words.wav -o out.avi", "'out.avi' must end in .mp4", "'out.mp4'"),
    run("talk.mp4 words.wav -o out", "'out' must end in .mp4", "'out.mp4'"),
    run("talk.mp4 words.wav -o no_images", "'no_images' is a folder", "final_video.mp4"),
    run("talk.mp4 words.wav -o talk.mp4", "'talk.mp4' is the input itself", "choose another name"),
    run(
        "talk.mp4 words.wav -o ./photos/../talk.mp4", "is the input itself", name="output is the input by another path"
    ),
    # choices and numbers
    run("talk.mp4 words.wav --speaker loudest", "'loudest'", "choose largest, talking, person-1"),
    run("talk.mp4 words.wav --speaker 50,50,10,10", "'50,50,10,10' is empty", "X0 < X1"),
    run("talk.mp4 words.wav --speaker 10,10@soon", "'soon' is not a time", "1:09"),
    run("talk.mp4 words.wav --speaker odd_boxes.json", "odd_boxes.json", "a JSON list"),
    run("talk.mp4 words.wav --detector eyes", "'eyes'", "choose auto, retinaface, yunet, haar"),
    run("talk.mp4 words.wav --detector page.pth", "'page.pth'", "weights fetch retinaface"),
    run("talk.mp4 words.wav --fit stretch", "'stretch'", "choose silence, cut_off, loop, bounce"),
    run("talk.mp4 words.wav --device tpu", "'tpu'", "choose auto, cpu, cuda"),
    run("talk.mp4 words.wav --paste head", "'head'", "choose mouth, box"),
    run("talk.mp4 words.wav --trim 0:02-0:02", "0:02-0:02 is empty", "after the start"),
    run("talk.mp4 words.wav --trim 1:00-2:00", "1:00", "talk.mp4 ends at 0:00.4", "earlier start"),
    run("talk.mp4 words.wav --trim half", "'half' is not a range of times", "such as 0:31-1:00"),
    run("talk.mp4 words.wav --trim-audio 1:00-2:00", "words.wav", "1:00", "0:00.4"),
    run("talk.mp4 words.wav --rate 0", "'0' is not a frame rate", "above 0"),
    run("talk.mp4 words.wav --rate fast", "'fast' is not a frame rate", "29.97"),
    run("talk.mp4 words.wav --crf 99", "crf 99 is out of range", "0 (lossless) to 51"),
    run("talk.mp4 words.wav --crf best", "--crf", "'best'", "run --help"),
    run("talk.mp4 words.wav --shift-ms 99999", "99999 ms", "-2000 to 2000"),
    run("talk.mp4 words.wav --shift-ms nan", "nan ms", "-2000 to 2000"),
    # the project folder
    Wrong("no project", "combine --project no_images", ("no project in 'no_images'", "--video and --audio")),
    Wrong("project missing", "track --project missing", ("no project in 'missing'", "--video and --audio")),
    Wrong("foreign project", "sync --project foreign", ("foreign/project.json'", "new folder")),
    Wrong("broken project", "sync --project text.mp4", ("text.mp4", "--video and --audio")),
    run("talk.mp4 words.wav --project photos", "'photos' is not empty and holds no project", "give a new"),
    run("talk.mp4 words.wav --project text.mp4", "'text.mp4' is a file", "give a new"),
    run("talk.mp4 words.wav --project missing/job", "missing' does not exist", "make it first"),
    Wrong(
        "new project, unknown detector",
        "track --project job --video talk.mp4 --audio words.wav --detector eyes",
        ("'eyes'", "choose auto, retinaface"),
    ),
    Wrong(
        "new project, wrong weights",
        "run talk.mp4 words.wav --project job --weights page.pth",
        ("'page.pth'", "a web page (HTML)"),
    ),
    # the command line itself
    Wrong("no command", "", ("COMMAND", "wav2lip-kit --help")),
    Wrong("unknown command", "dub talk.mp4", ("'dub'", "run", "wav2lip-kit --help")),
    Wrong("run without inputs", "run", ("VIDEO", "AUDIO", "run --help")),
    Wrong("run without audio", "run talk.mp4", ("VIDEO", "AUDIO", "run --help")),
    Wrong("run, one input too many", "run talk.mp4 words.wav --audio words.wav", ("'words.wav'", "run --help")),
    Wrong("run, three inputs", "run talk.mp4 words.wav more.wav", ("more.wav", "--help")),
    Wrong("unknown option", "run talk.mp4 words.wav --faster", ("--faster", "--help")),
    Wrong("option without value", "run talk.mp4 words.wav --fit", ("--fit", "run --help")),
    Wrong("stage without project", "sync", ("--project DIR", "folder")),
    Wrong("stage with video only", "track --project job --video talk.mp4", ("--video and --audio together",)),
    Wrong("combine, wrong output", "combine --project job -o out.avi", ("'out.avi' must end in .mp4",)),
    Wrong("weights without action", "weights", ("list|fetch|verify", "weights --help")),
    Wrong("fetch without name", "weights fetch", ("NAME", "weights fetch --help")),
    Wrong("fetch unknown", "weights fetch wav3lip", ("'wav3lip'", "choose wav2lip")),
    Wrong("fetch offline", "weights fetch wav2lip_gan", ("'wav2lip_gan'", "OFFLINE", "--weights demo")),
    Wrong("verify absent", "weights verify wav2lip_gan", ("'wav2lip_gan'", "weights fetch wav2lip_gan")),
    Wrong("metrics of nothing", "metrics talk.mp4 missing.mp4", ("'missing.mp4'", "spelling")),
    Wrong("metrics of sound", "metrics talk.mp4 words.wav", ("'words.wav'", "no video stream")),
    Wrong(
        "metrics, no report",
        "metrics talk.mp4 talk.mp4 --report few_boxes.json",
        ("few_boxes.json", "leave --report out"),
    ),
    Wrong("demo into nowhere", "demo -o missing/demo", ("missing' does not exist", "make it first")),
]


def fails_in_one_line(command: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with status 2, one error line with these words, and leaves the folder as it was."""
    before = everything_in(Path())
    status = cli.main(shlex.split(command))
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if not line.startswith("notice: ")]
    assert len(errors) == 1, printed.err
    assert errors[0].startswith("wav2lip-kit: error: ")
    assert [word for word in words if word not in errors[0]] == [], errors[0]
    assert status == 2
    assert printed.out == ""
    assert everything_in(Path()) == before


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for faces, the first long stage, must not begin."""

    def begin(*_: object, **__: object) -> None:
        raise AssertionError("a long stage was begun")

    monkeypatch.setattr(project, "track_faces", begin)


@pytest.mark.usefixtures("work", "no_work")
@pytest.mark.parametrize("wrong", BEFORE_ANY_WORK, ids=str)
def test_is_refused_before_any_work(wrong: Wrong, capsys: pytest.CaptureFixture[str]) -> None:
    fails_in_one_line(wrong.command, wrong.words, capsys)


AFTER_LOOKING = [
    run(
        "talk.mp4 words.wav --quiet --speaker person-1",
        "no face anywhere in talk.mp4 (10 frames",
        "--detector",
        name="no face",
    ),
    run("talk.mp4 words.wav --quiet --speaker 10,10@0", "no face anywhere", "--detector", name="no face at a point"),
    run("talk.mp4 words.wav --quiet --speaker few_boxes.json", "3 boxes", "10 frames", "one box or null for each"),
    run("two_sizes words.wav --quiet", "'2.png' is 80×80", "64×64", "one size"),
]


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("wrong", AFTER_LOOKING, ids=str)
def test_is_refused_after_looking_for_faces(wrong: Wrong, capsys: pytest.CaptureFixture[str]) -> None:
    fails_in_one_line(wrong.command + " --detector haar", wrong.words, capsys)


@pytest.mark.usefixtures("work", "no_work")
def test_code_in_a_checkpoint_is_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    pickle.loads(Path("code.pth").read_bytes())
    assert Path("mischief").is_dir(), "the pickle is harmless, so this test shows nothing"
    Path("mischief").rmdir()
    fails_in_one_line("run talk.mp4 words.wav -o out.mp4 --weights code.pth", ("would run code",), capsys)


@pytest.mark.usefixtures("no_work")
def test_named_weights_that_differ_from_the_published_are_refused(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = weights.data_path("weights")  # the demo weights lie there
    monkeypatch.setattr(weights, "weights_folders", lambda: (work, clone))
    words = ("wav2lip.pth' has 60 bytes, expected 435807851", "delete it", "weights fetch wav2lip", "--weights demo")
    fails_in_one_line("run talk.mp4 words.wav -o out.mp4", words, capsys)
    words = ("retinaface_mobilenet0.25.pth' has the sha256", "expected 2979b33ff", "delete it", "--detector haar")
    fails_in_one_line("run talk.mp4 words.wav -o out.mp4 --weights demo --detector retinaface", words, capsys)


@pytest.mark.usefixtures("no_work")
def test_weights_that_cannot_be_had_name_both_ways_on(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "weights_folders", lambda: (work / "photos",))
    words = ("'wav2lip'", "OFFLINE", "by hand", "weights fetch", "--weights demo")
    fails_in_one_line("run talk.mp4 words.wav -o out.mp4", words, capsys)


@pytest.mark.usefixtures("work", "no_work")
def test_cuda_without_a_gpu(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ("device 'cuda' is not there", "--device cpu")
    fails_in_one_line("run talk.mp4 words.wav -o out.mp4 --weights demo --device cuda", words, capsys)


@pytest.mark.usefixtures("work", "no_work")
def test_a_full_disk_is_seen_before_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(project.shutil, "disk_usage", lambda _: usage._replace(free=3_000_000))
    words = ("only 3 MB are free", "needs about 50 MB", "--project")
    fails_in_one_line("run talk.mp4 words.wav -o out.mp4 --weights demo", words, capsys)


@pytest.mark.usefixtures("work", "no_work")
@pytest.mark.parametrize("name", ["truncated_result_voice.mp4", "truncated_result.avi"])
def test_real_truncated_videos(name: str, shared_media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shared_media / "broken" / name
    words = (name, "is cut off", "download or export it again")
    fails_in_one_line(shlex.join(["run", str(path), "words.wav", "-o", "out.mp4", "--weights", "demo"]), words, capsys)


@pytest.mark.usefixtures("work", "no_work")
def test_real_truncated_checkpoint(shared_media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shared_media / "broken" / "truncated_wav2lip_gan.pth"
    command = shlex.join(["run", "talk.mp4", "words.wav", "-o", "out.mp4", "--weights", str(path)])
    fails_in_one_line(command, (path.name, "1835008 bytes", "cut off", "weights fetch"), capsys)


@pytest.mark.usefixtures("work", "no_work")
def test_an_output_linked_to_the_projects_source_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A project holds its source as a hard link, so that writing over the original is writing over the source."""
    project.Project.create("job", "talk.mp4", "words.wav", weights="demo")
    fails_in_one_line("combine --project job -o talk.mp4", ("'talk.mp4' is the input itself",), capsys)
    fails_in_one_line("run --project job -o talk.mp4", ("'talk.mp4' is the input itself",), capsys)


@pytest.mark.usefixtures("work")
def test_faces_found_in_a_chosen_project_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """They may have taken an hour; the next try, with other segments, has them already."""
    command = "run talk.mp4 words.wav --project job --weights demo --detector haar --quiet --speaker person-1"
    assert cli.main(shlex.split(command)) == 2
    assert "no face anywhere" in capsys.readouterr().err
    assert len(list(Path("job").glob("tracks-*.npz"))) == 1


FROM_A_SHELL = [
    run("missing.mp4 words.wav", "'missing.mp4'"),
    run("talk.mp4 words.wav --segments 0:31-1:00", "up to 0:00.4"),
    run("talk.mp4 words.wav --weights code.pth", "would run code"),
    run("talk.mp4 words.wav --quiet --detector haar --speaker person-1", "no face anywhere"),
]


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("wrong", FROM_A_SHELL, ids=str)
def test_from_a_shell(wrong: Wrong) -> None:
    """The same in a process of its own: nothing that Python or a library prints stands beside the one line."""
    before = everything_in(Path())
    done = subprocess.run(
        [sys.executable, "-m", "wav2lip_kit", *shlex.split(wrong.command)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent)},
        timeout=60,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if not line.startswith("notice: ")]
    assert len(errors) == 1, done.stderr
    assert [word for word in wrong.words if word not in errors[0]] == [], errors[0]
    assert done.returncode == 2
    assert done.stdout == ""
    assert everything_in(Path()) == before
