"""The command line: its commands, its forms, its exit status, and what it prints where."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from conftest import noise_pictures, write_video, write_wave

import wav2lip_kit
from wav2lip_kit import cli, doctor, project, weights
from wav2lip_kit.errors import RunError
from wav2lip_kit.frames import read_frames
from wav2lip_kit.media import probe

N = 8
BOX = [8, 8, 56, 56]
JOB = ["--speaker", "boxes.json", "--segments", "0.08-0.24", "--weights", "demo", "--detector", "haar"]
COMMANDS = ("run", "track", "suggest", "sync", "combine", "weights", "metrics", "doctor", "demo")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with talk.mp4 (0.32 s), words.wav, and boxes.json that says where the face is."""
    write_video(tmp_path / "talk.mp4", noise_pictures(N))
    write_wave(tmp_path / "words.wav", 0.32)
    (tmp_path / "boxes.json").write_text(json.dumps([BOX] * N))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WAV2LIP_KIT_DEBUG", raising=False)
    return tmp_path


def in_a_process(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m wav2lip_kit …`, or `python -c CODE`."""
    return subprocess.run(
        [sys.executable, *(["-c", code] if code else ["-m", "wav2lip_kit", *arguments])],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent), "PYTHONIOENCODING": "utf-8"},
        timeout=60,
        check=False,
    )


def packets(path: Path, kind: str) -> list[tuple[int | None, int | None, bytes]]:
    """Time stamps and content of every packet of one kind."""
    with av.open(str(path)) as container:
        stream = container.streams.best(kind)
        return [(p.pts, p.dts, bytes(p)) for p in container.demux(stream) if p.size]


def same_content(a: Path, b: Path) -> bool:
    return all(packets(a, kind) == packets(b, kind) != [] for kind in ("video", "audio"))


# ── importing and asking ───────────────────────────────────────────────────────────────────────────────────────────


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import wav2lip_kit; t = time.perf_counter() - t\n"
        "heavy = {'torch', 'numpy', 'cv2', 'av', 'librosa', 'scipy', 'skimage', 'tqdm'} & set(sys.modules)\n"
        "print(t, *sorted(heavy))"
    )
    answers = [in_a_process(code=code).stdout.split() for _ in range(3)]
    assert answers[0][1:] == []
    assert min(float(answer[0]) for answer in answers) < 0.2


@pytest.mark.parametrize("command", ["--help", *(f"{c} --help" for c in COMMANDS), "--version", "run --fit"])
def test_what_needs_no_work_loads_no_torch(command: str) -> None:
    code = (
        "import sys; from wav2lip_kit.cli import main\n"
        f"try: main({command.split()!r})\n"
        "except SystemExit: pass\n"
        "print('HEAVY', *sorted({'torch', 'numpy', 'cv2', 'av'} & set(sys.modules)))"
    )
    assert in_a_process(code=code).stdout.splitlines()[-1].split() == ["HEAVY"]


def test_public_names_are_there() -> None:
    for name in ("Project", "Segment", "Segments", "LipSyncer", "lipsync"):
        assert getattr(wav2lip_kit, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Projekt'"):
        _ = wav2lip_kit.Projekt


def test_version_and_help_from_a_shell() -> None:
    version = in_a_process("--version")
    assert (version.returncode, version.stdout) == (0, f"wav2lip-kit {wav2lip_kit.__version__}\n")
    text = in_a_process("--help")
    assert text.returncode == 0
    assert [command for command in COMMANDS if f"\n    {command} " not in text.stdout] == []
    assert "wav2lip-kit run talk.mp4 new_words.wav -o dubbed.mp4" in text.stdout


def test_every_setting_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    options = [f"--{name.replace('_', '-')}" for name in project.Settings.__dataclass_fields__]
    assert [option for option in options if option not in text] == []


def test_defaults_in_the_help_are_the_settings_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    defaults = project.Settings()
    for name in ("speaker", "fit", "weights", "detector", "device", "paste", "crf"):
        described = text[text.rindex(f"--{name} ") :]
        assert f"(default: {getattr(defaults, name)}" in described[: described.index(" --", 1) + 1 or None], name


# ── run ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_run_leaves_the_result_and_its_report_only(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name for path in work.iterdir()}
    assert cli.main(["run", "talk.mp4", "words.wav", "-o", "out.mp4", *JOB]) == 0
    assert {path.name for path in work.iterdir()} - before == {"out.mp4", "out.report.json"}
    printed = capsys.readouterr()
    assert printed.out == "out.mp4\n"
    report = json.loads((work / "out.report.json").read_text())
    assert (report["frames"], report["frames_synced"]) == (N, 4)
    source, result = ([f.planes[0] * 1.0 for f in read_frames(probe(p))] for p in ("talk.mp4", "out.mp4"))
    changes = [abs(a - b).max() > 60 for a, b in zip(source, result, strict=True)]
    assert changes == [False] * 2 + [True] * 4 + [False] * 2


@pytest.mark.usefixtures("work")
def test_positions_and_options_agree() -> None:
    forms = [
        ["talk.mp4", "words.wav", "-o", "out0.mp4"],
        ["--video", "talk.mp4", "--audio", "words.wav", "--output", "out1.mp4"],
        ["--audio", "words.wav", "talk.mp4", "-o", "out2.mp4"],
        ["--output", "out3.mp4", "--video", "talk.mp4", "words.wav"],
    ]
    for form in forms:
        assert cli.main(["run", *form, *JOB, "--quiet"]) == 0
    for number in (1, 2, 3):
        assert same_content(Path("out0.mp4"), Path(f"out{number}.mp4"))


@pytest.mark.usefixtures("work")
def test_without_output_the_result_is_final_video(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "talk.mp4", "words.wav", *JOB]) == 0
    assert capsys.readouterr().out == "final_video.mp4\n"
    assert Path("final_video.mp4").is_file()
    assert not Path("final_video.project").exists()


@pytest.mark.usefixtures("work")
def test_stage_by_stage_gives_the_same_as_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "talk.mp4", "words.wav", "-o", "once.mp4", *JOB, "--quiet"]) == 0
    assert cli.main(["track", "--project", "job", "--video", "talk.mp4", "--audio", "words.wav", *JOB]) == 0
    assert capsys.readouterr().out == f"{N} frames, 0 cuts, 0 tracks of 0 people\n"
    assert cli.main(["suggest", "--project", "job"]) == 0
    assert capsys.readouterr().out.split() == ["0:00.08-0:00.24"]
    assert cli.main(["sync", "--project", "job"]) == 0
    assert "3 parts in" in capsys.readouterr().out
    assert cli.main(["combine", "--project", "job", "-o", "staged.mp4"]) == 0
    assert capsys.readouterr().out == "staged.mp4\n"
    assert same_content(Path("once.mp4"), Path("staged.mp4"))
    reports = [json.loads(Path(f"{name}.report.json").read_text()) for name in ("once", "staged")]
    for report in reports:
        del report["made_at"]
        report["notices"].sort()
    assert reports[0] == reports[1]


@pytest.mark.usefixtures("work")
def test_a_project_is_taken_up_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "talk.mp4", "words.wav", "--project", "job", *JOB, "--quiet"]) == 0
    first = Path("job/final_video.mp4")
    kept = packets(first, "video")
    first.unlink()
    Path("talk.mp4").unlink()  # the project has all it needs

    def work_again(*_: object, **__: object) -> None:
        raise AssertionError("done work was done again")

    monkeypatch.setattr(project, "track_faces", work_again)
    monkeypatch.setattr(project, "render", work_again)
    assert cli.main(["run", "--project", "job"]) == 0
    assert capsys.readouterr().out.strip() == str(first)
    assert packets(first, "video") == kept


@pytest.mark.parametrize("name", ["two words", 'it\'s "quoted"', "Привет 你好 é", "-dash", "100%", "a;b&c $HOME #1"])
def test_paths_of_every_kind(work: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = work / name
    folder.mkdir()
    video, audio, boxes = folder / f"{name} video.mp4", folder / f"{name} audio.wav", folder / f"{name}.json"
    for source, path in (("talk.mp4", video), ("words.wav", audio), ("boxes.json", boxes)):
        shutil.move(source, path)
    out = folder / f"{name} out.mp4"
    options = ["--segments", "0.08-0.24", "--weights", "demo", "--detector", "haar", f"--speaker={boxes}"]
    assert cli.main(["run", str(video), str(audio), "-o", str(out), *options]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert probe(out).name == out.name
    assert json.loads(out.with_suffix(".report.json").read_text(encoding="utf-8"))["video"]["name"] == video.name


def test_paths_of_every_kind_from_a_shell(work: Path) -> None:
    """In a process of its own, where names go through the terminal's encoding."""
    folder = work / "Käse & 你好 it's"
    folder.mkdir()
    for name in ("talk.mp4", "words.wav", "boxes.json"):
        shutil.move(name, folder / name)
    speaker = [*JOB[2:], "--speaker", str(folder / "boxes.json")]
    done = in_a_process(
        "run", str(folder / "talk.mp4"), str(folder / "words.wav"), "-o", str(folder / "öut.mp4"), *speaker
    )
    assert (done.returncode, done.stdout) == (0, f"{folder / 'öut.mp4'}\n"), done.stderr
    assert (folder / "öut.mp4").is_file()
    assert "sync: 100%" in done.stderr  # the bar goes to stderr, the path alone to stdout


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("command", ["run", "track", "suggest", "sync", "combine"])
def test_quiet_is_quiet(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = ["--video", "talk.mp4", "--audio", "words.wav", "--project", "job", *JOB]
    if command == "combine":
        assert cli.main(["track", *inputs, "--quiet"]) == 0
        assert cli.main(["suggest", "--project", "job", "--quiet"]) == 0
        assert cli.main(["sync", "--project", "job", "--quiet"]) == 0
    elif command == "sync":
        assert cli.main(["suggest", *inputs, "--quiet"]) == 0
    capsys.readouterr()
    assert cli.main([command, *inputs, "--quiet"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line for line in printed.err.splitlines() if not line.startswith("notice: ")] == []


# ── failures ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _raises(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RunError("cannot write the video: No space left on device; is the disk full?"), "is the disk full?"),
        (OSError(5, "Input/output error", "talk.mp4"), "Input/output error: 'talk.mp4' (WAV2LIP_KIT_DEBUG=1"),
        (ValueError("two\nlines"), "ValueError: two lines (WAV2LIP_KIT_DEBUG=1"),
        (MemoryError(), "MemoryError"),
        (KeyboardInterrupt(), "the same command goes on where it stopped"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_failure_half_way_is_one_line_and_the_next_run_goes_on(
    error: BaseException, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "talk.mp4", "words.wav", "-o", "out.mp4", *JOB, "--quiet"]
    with monkeypatch.context() as patched:
        patched.setattr(project, "combine_parts", _raises(error))
        assert cli.main(command) == 1
    printed = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in printed if line and not line.startswith("notice: ")]  # ^C is followed by a new line
    assert len(lines) == 1, lines
    assert words in lines[0]
    assert not Path("out.mp4").exists()
    assert Path("out.project").is_dir()

    monkeypatch.setattr(project, "render", _raises(AssertionError("a part was rendered twice")))
    assert cli.main(command) == 0
    assert Path("out.mp4").is_file()
    assert not Path("out.project").exists()


@pytest.mark.usefixtures("work")
def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAV2LIP_KIT_DEBUG", "1")
    with pytest.raises(project.InputError, match=r"missing\.mp4"):
        cli.main(["run", "missing.mp4", "words.wav", "-o", "out.mp4"])


def test_notices_are_shown_once_and_only_ours(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wave(work / "long.wav", 1.0)
    assert cli.main(["run", "talk.mp4", "long.wav", "-o", "out.mp4", *JOB, "--quiet"]) == 0
    shown = capsys.readouterr().err.splitlines()
    longer = "notice: the audio (0:01.0) is longer than the video (0:00.3)"
    assert sum(line.startswith(longer) for line in shown) == 1
    assert cli.log.handlers == []  # main leaves no handler behind


# ── weights and doctor ─────────────────────────────────────────────────────────────────────────────────────────────


def test_weights_list_names_all_and_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "weights_folders", lambda: (tmp_path,))
    assert cli.main(["weights", "list"]) == 0
    text = capsys.readouterr().out
    for entry in weights.available_weights():
        line = next(line for line in text.splitlines() if line.startswith(f"{entry.name} "))
        assert line.endswith("not here")
        assert f"Licence: {entry.licence}." in text


def test_weights_list_and_verify_find_what_is_there(
    shared_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "weights_folders", lambda: (tmp_path,))
    path = tmp_path / "retinaface_mobilenet0.25.pth"
    shutil.copyfile(shared_weights / path.name, path)
    assert cli.main(["weights", "list"]) == 0
    assert f"here: {path}" in capsys.readouterr().out
    assert cli.main(["weights", "verify", "retinaface"]) == 0
    assert capsys.readouterr().out == f"retinaface: {path} is whole\n"
    assert cli.main(["weights", "fetch", "retinaface"]) == 0  # there already
    assert capsys.readouterr().out == f"{path}\n"

    stat = path.stat()
    with path.open("r+b") as file:  # one byte rots on the disk, size and time as before
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert cli.main(["weights", "verify", "retinaface"]) == 2
    assert "has the sha256" in capsys.readouterr().err


def test_doctor_has_a_row_for_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith(("ok ", "NO "))]
    parts = [row.split()[1] for row in rows]
    generators = [e.name for e in weights.available_weights() if e.kind == "generator"]
    assert parts == ["python", "packages", "fetch", "notebook", "device", "encoder", *generators, "detector", "disk"]
    for row in rows:
        if row.startswith("NO "):
            assert lines[lines.index(row) + 1].strip().startswith("→ "), row
    assert any("libx264" in row for row in rows)


def test_doctor_names_the_next_step_for_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "weights_folders", lambda: (tmp_path,))
    monkeypatch.setitem(doctor.EXTRAS, "fetch", ("no-such-package", "av"))
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "NO  wav2lip      not here" in text
    assert "→ wav2lip-kit weights fetch wav2lip (436 MB)" in text
    assert "→ wav2lip-kit weights fetch retinaface" in text
    assert "no-such-package missing" in text
    assert "→ pip install no-such-package\n" in text


def test_doctor_says_what_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it could not be imported
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "NO  device       ModuleNotFoundError" in text
    assert "ok  encoder" in text


def test_doctor_knows_opencv_by_all_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name != "opencv-contrib-python-headless":
            raise doctor.PackageNotFoundError(name)
        return "4.12.0"

    monkeypatch.setattr(doctor, "version", version)
    assert doctor._version("opencv-python") == "4.12.0"
    assert doctor._version("numpy") is None
