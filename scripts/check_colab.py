"""Make sure that an install on Google Colab replaces nothing of Colab's, and that all it adds exists for its Python.

    python scripts/check_colab.py        exit status 0: as it should be, 1: not, 3: no package index can be reached

Colab's packages (constraints/colab.txt) are entered into an empty environment by name and version only, so that pip
takes them for installed; then pip says what it would install for requirements.txt, and what of that exists for Python
3.13. Nothing is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYTHON = "3.13"
UNREACHABLE = "(from versions: none)"
"""What pip says of a package that it cannot look up anywhere."""
KEPT = ("torch", "torchvision", "numpy", "opencv-python", "ipython")


def main() -> int:
    """Print what would be installed; returns the exit status."""
    has = colab_packages()
    missing = [name for name in KEPT if name not in has]
    if missing:
        return _fail(f"constraints/colab.txt lacks {', '.join(missing)}")
    with TemporaryDirectory() as folder:
        python = _environment(Path(folder), has)
        added, said = _would_install(["--python", str(python)], ["-r", str(ROOT / "requirements.txt")])
        if added is None:
            return _unreachable_or_fail(said)
        replaced = [f"{name} {has[name]} by {number}" for name, number in added.items() if name in has]
        if replaced:
            return _fail(f"an install on Colab would replace {', '.join(replaced)}")
        exact = [f"{name}=={number}" for name, number in added.items()]
        target = ["--no-deps", "--ignore-installed", "--only-binary=:all:", "--python-version", PYTHON]
        found, said = _would_install([], [*target, "--target", folder, *exact])
        if found is None:
            return _fail(f"not all of {', '.join(exact)} exist for Python {PYTHON}: {said}")
    print(f"Colab keeps its {len(has)} packages; it gets {', '.join(exact)}")
    return 0


def colab_packages() -> dict[str, str]:
    """Name and version of what Colab has."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints" / "colab.txt").read_text().splitlines())
    pins = [Requirement(line) for line in lines if line]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def _environment(folder: Path, has: dict[str, str]) -> Path:
    """An empty environment in which pip finds these packages; returns its Python."""
    environment = folder / "colab"
    venv.create(environment, with_pip=False)
    paths = {"base": str(environment), "platbase": str(environment)}
    site = Path(sysconfig.get_path("purelib", "venv", paths))
    for name, number in has.items():
        info = site / f"{name.replace('-', '_')}-{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    return Path(sysconfig.get_path("scripts", "venv", paths)) / Path(sys.executable).name


def _would_install(before: list[str], after: list[str]) -> tuple[dict[str, str] | None, str]:
    """What pip would install, by name; None and what pip said if it cannot tell."""
    pip = [sys.executable, "-m", "pip", *before, "install", "--quiet", "--dry-run", "--report", "-", *after]
    answer = subprocess.run(pip, capture_output=True, text=True, check=False)
    if answer.returncode:
        return None, answer.stderr.strip()
    packages = [item["metadata"] for item in json.loads(answer.stdout)["install"]]
    return {canonicalize_name(package["name"]): package["version"] for package in packages}, ""


def _unreachable_or_fail(said: str) -> int:
    if UNREACHABLE in said:
        print(f"skipped, no package index can be reached: {said.splitlines()[-1]}")
        return 3
    return _fail(said)


def _fail(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
