"""The notebooks: as their sources say, cleared, small; run top to bottom twice, in a kernel without a network."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STEPS = ["01_setup", "02_download", "03_pick_timestamps", "04_sync", "05_combine"]
NO_NETWORK = """
import socket
connect = socket.socket.connect
def refuse(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network in this test: {address}")
    return connect(self, address)
socket.socket.connect = refuse
"""


def test_all_seven_are_there_and_agree_with_their_sources() -> None:
    assert [p.stem for p in NOTEBOOKS] == [*STEPS, "06_finetune", "lipsync_in_one"]
    check = [sys.executable, ROOT / "scripts" / "build_notebooks.py", "--check"]
    answer = subprocess.run(check, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cleared_small_and_plain(path: Path) -> None:
    assert path.stat().st_size < 100_000
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    first, *cells = notebook.cells
    assert re.match(r"# .+\n\[!\[Open in Colab\]", first.source) and "**takes**" in first.source
    assert "T4" in first.source or "needs no GPU" in first.source
    for cell in cells:
        if cell.cell_type != "code":
            continue
        assert not cell.outputs and cell.execution_count is None
        assert cell.source.startswith("#@title ")
        if cell.source.startswith("#@title Setup"):
            assert "%pip install" in cell.source
            continue
        tree = ast.parse(cell.source)
        assert not [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.Lambda))]
        assert len(tree.body) <= 8, cell.source


def test_one_notebook_asks_for_nothing_twice() -> None:
    """A value that a form sets twice would silently undo what the user typed above."""
    for path in NOTEBOOKS:
        code = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
        fields = re.findall(r"^(\w+) = .*#@param", code, re.M)
        assert fields and len(set(fields)) == len(fields), path.stem


def test_the_address_of_the_repository_stands_everywhere_the_same() -> None:
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    address = re.findall(r'^Repository = "https://github.com/(.*)"$', metadata, re.M)
    assert len(address) == 1
    for path in [*NOTEBOOKS, ROOT / "README.md"]:
        found = re.findall(r"github(?:\.com)?/([\w.-]+/wav2lip_kit)\b", path.read_text(encoding="utf-8"))
        assert found and set(found) == set(address), path
    for path in [*(ROOT / "notebooks" / "src").glob("*.py"), *(ROOT / "wav2lip_kit").rglob("*.py")]:
        assert address[0] not in path.read_text(encoding="utf-8"), path


# ── running them ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def kernel_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to start kernels in, which reach nothing outside this machine."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_NETWORK)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{ROOT}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("WAV2LIP_KIT_WEIGHTS", raising=False)
    monkeypatch.delenv("WAV2LIP_KIT_DEBUG", raising=False)
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def run(name: str, folder: Path) -> str:
    """Run a notebook top to bottom and return its outputs as text."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
    return json.dumps([cell.outputs for cell in notebook.cells if cell.cell_type == "code"], ensure_ascii=False)


@pytest.mark.slow
def test_the_five_steps_share_one_project_and_run_twice(kernel_folder: Path) -> None:
    first = "".join(run(name, kernel_folder) for name in STEPS)
    assert "begins with the bundled example" not in first  # each found the project of the one before
    assert "demo weights are used instead" in first
    project = kernel_folder / "wav2lip_projects" / "my_dub"
    final = (project / "final_video.mp4").read_bytes()
    parts = {p: p.stat().st_mtime_ns for p in (project / "segments").iterdir()}
    assert (project / "comparison.gif").stat().st_size < 4_000_000
    second = "".join(run(name, kernel_folder) for name in STEPS)
    assert {p: p.stat().st_mtime_ns for p in (project / "segments").iterdir()} == parts  # nothing was rendered again
    assert (project / "final_video.mp4").read_bytes() == final
    assert max(len(first), len(second)) < 8_000_000


@pytest.mark.slow
def test_in_one_runs_twice(kernel_folder: Path) -> None:
    for _ in range(2):
        said = run("lipsync_in_one", kernel_folder)
        assert "final_video.mp4" in said and "outside the mouths" in said and len(said) < 4_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["03_pick_timestamps", "05_combine"])
def test_a_step_without_a_project_begins_with_the_example(name: str, kernel_folder: Path) -> None:
    assert "begins with the bundled example" in run(name, kernel_folder)
    project = kernel_folder / "wav2lip_projects" / "my_dub"
    assert (project / "segments.json").is_file() and (project / "final_video.mp4").is_file() == (name == "05_combine")


@pytest.mark.slow
def test_fine_tuning_runs_twice(kernel_folder: Path) -> None:
    for _ in range(2):
        said = run("06_finetune", kernel_folder)
        assert "with the wrong sound" in said and "my_weights.safetensors" in said


@pytest.mark.slow
def test_a_wrong_input_is_one_line_and_stops_run_all(kernel_folder: Path) -> None:
    (kernel_folder / "notes.mp4").write_text("only text")
    setup = "from wav2lip_kit import notebook as nb\nhome = nb.begin()\nvideo, audio = nb.example()"
    wrong = {
        "nb.get_video(home, 'gone.mp4')": "no such video",
        "nb.get_video(home, 'notes.mp4')": "no video or audio file",
        "nb.get_video(home, 'http://127.0.0.1:9/talk.mp4')": "cannot fetch",
        "nb.get_video(home, upload=True)": "nothing has come in yet",
        "nb.get_audio(home, record=True)": "nothing has come in yet",
        "nb.create_project(home, 'a', video, audio, trim='0:08-0:02')": "did you mean 0:02-0:08",
        "nb.create_project(home, 'a/b', video, audio)": "no project name",
        "nb.have_weights('wave2lip')": "wave2lip",
        "nb.show_try(nb.create_project(home, 'b', video, audio, weights='demo'), '9:59')": "choose a time before",
        "raise KeyboardInterrupt": "run this cell again, and it goes on",
    }
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in [setup, *wrong]])
    where = {"metadata": {"path": str(kernel_folder)}}
    NotebookClient(notebook, timeout=300, allow_errors=True, resources=where).execute()
    for cell, text in zip(notebook.cells[1:], wrong.values(), strict=True):
        (error,) = [output for output in cell.outputs if output.output_type == "error"]
        (line,) = error.traceback
        assert text in line and "\n" not in line, cell.source
