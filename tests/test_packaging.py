"""What is installed: bounds that Colab satisfies, and a wheel with everything in it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent


def requirements() -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return {canonicalize_name(r.name): r for r in map(Requirement, filter(None, lines))}


def test_every_requirement_gives_its_reason() -> None:
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert line.startswith("#") or re.search(r"#\s*\w+", line), line


def test_requirements_and_package_metadata_agree() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = re.findall(r"^dependencies = \[(.*?)^\]", text, re.S | re.M)[0]
    extras = re.findall(r"^(?:fetch|notebook) = \[(.*?)\]", text, re.S | re.M)
    declared = [Requirement(r) for block in [dependencies, *extras] for r in re.findall(r'"([^"]+)"', block)]
    assert {canonicalize_name(r.name): r.specifier for r in declared} == {
        n: r.specifier for n, r in requirements().items()
    }


def test_colab_keeps_its_own_packages(shared_media: Path) -> None:
    """An install replaces only what a bound refuses: Colab's versions satisfy every bound, of what it has."""
    freeze = shared_media.parent / "colab" / "pip-freeze.gpu.txt"
    rows = (line.partition("==") for line in freeze.read_text().splitlines())
    has = {canonicalize_name(name): Version(version) for name, sign, version in rows if sign}
    assert {"torch", "numpy", "opencv-python", "ipywidgets", "anywidget"} <= has.keys()
    refused = [str(r) for name, r in requirements().items() if name in has and not r.specifier.contains(has[name])]
    assert refused == []
    assert not {"torchvision", "ipython"} & requirements().keys()


@pytest.mark.slow
def test_the_wheel_works_without_the_clone(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import wav2lip_kit, pathlib; from wav2lip_kit.weights import available_weights;"
        "print(pathlib.Path(wav2lip_kit.__file__).parent.parent, len(available_weights()),"
        "wav2lip_kit.data_path('examples/presenter.mp4').is_file(),"
        "wav2lip_kit.data_path('examples/new_words.flac').is_file())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == [str(tmp_path / "site"), "6", "True", "True"]
