"""Make notebooks/*.ipynb from notebooks/src/*.py, and write the repository's address where readers meet it.

    python scripts/build_notebooks.py                                          after a change in notebooks/src
    python scripts/build_notebooks.py --check                                  exit status 1 if something is out of date
    python scripts/build_notebooks.py --repository https://github.com/you/wav2lip_kit     where it is published

The address is kept in one place, `[project.urls] Repository` of pyproject.toml. From there it goes into the badges and
setup cells of the notebooks, and into the badges of the README.

A source is a percent script, as Jupytext reads it. A line `# include NAME / TITLE` stands for the cell of another
source that has this title, so that a cell that several notebooks share is written once.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import jupytext
from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "notebooks" / "src"
ADDRESS = re.compile(r'^Repository = "(.*)"$', re.M)
INCLUDE = re.compile(r"^(?:# )?include (\w+) / (.+)$", re.M)
COLAB = "https://colab.research.google.com/github/"
README_BADGE = re.compile(re.escape(COLAB) + r"[\w.-]+/[\w.-]+/")


def main() -> int:
    """Write what is out of date; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", metavar="URL", help="set the address first")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    if options.repository:
        if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", options.repository):
            parser.error("an address looks like https://github.com/you/wav2lip_kit; Colab opens notebooks from GitHub")
        metadata = ROOT / "pyproject.toml"
        text = ADDRESS.sub(f'Repository = "{options.repository}"', metadata.read_text(encoding="utf-8"))
        metadata.write_text(text, encoding="utf-8")
    changed = [path for path, text in built().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in changed:
        print(path.relative_to(ROOT), "is out of date" if options.check else "written")
        if not options.check:
            path.write_text(built()[path], encoding="utf-8")
    return 1 if options.check and changed else 0


def repository() -> str:
    """The one address."""
    found = ADDRESS.search((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if found is None:
        sys.exit("no [project.urls] Repository in pyproject.toml")
    return found[1]


def built() -> dict[Path, str]:
    """Every file that is made here, and the text it should have."""
    address = repository()
    owner_and_name = address.removeprefix("https://github.com/")
    sources = {path.stem: jupytext.read(path, fmt="py:percent") for path in sorted(SOURCES.glob("*.py"))}
    files = {}
    for name, source in sources.items():
        if name.startswith("_"):
            continue
        notebook = ROOT / "notebooks" / f"{name}.ipynb"
        badge = f"{COLAB}{owner_and_name}/blob/main/notebooks/{name}.ipynb"
        cells = [_cell(cell, index, sources) for index, cell in enumerate(source.cells)]
        for cell in cells:
            cell.source = cell.source.replace("(BADGE)", f"({badge})").replace("REPOSITORY", address)
        files[notebook] = json.dumps(_notebook(cells), indent=1, ensure_ascii=False) + "\n"
    readme = ROOT / "README.md"
    files[readme] = README_BADGE.sub(f"{COLAB}{owner_and_name}/", readme.read_text(encoding="utf-8"))
    return files


def _cell(cell: NotebookNode, index: int, sources: dict[str, NotebookNode]) -> NotebookNode:
    """The cell as it stands in the notebook: includes replaced, commented magics alive, an id that does not change."""
    metadata = dict(cell.metadata)

    def included(match: re.Match[str]) -> str:
        found = _titled(sources, match[1], match[2])
        metadata.update(found.metadata)
        return found.source

    source = INCLUDE.sub(included, cell.source)
    if cell.cell_type == "code":
        source = re.sub(r"^( *)# (%pip )", r"\1\2", source, flags=re.M)
    return NotebookNode(cell, id=f"cell-{index:02d}", source=source, metadata=metadata)


def _titled(sources: dict[str, NotebookNode], name: str, title: str) -> NotebookNode:
    for cell in sources[name].cells:
        if re.search(rf"^(?:#@title |#+ |\[!\[){re.escape(title)}(?: \{{|\]|$)", cell.source, re.M):
            return cell
    sys.exit(f"notebooks/src/{name}.py has no cell with the title {title!r}")


def _notebook(cells: list[NotebookNode]) -> dict:
    """In the form that Jupyter and Colab write: no outputs, no times, a GPU asked for."""
    return {
        "cells": [
            {
                "cell_type": cell.cell_type,
                **({"execution_count": None} if cell.cell_type == "code" else {}),
                "id": cell.id,
                "metadata": cell.metadata,
                **({"outputs": []} if cell.cell_type == "code" else {}),
                "source": cell.source.splitlines(keepends=True),
            }
            for cell in cells
        ],
        "metadata": {
            "accelerator": "GPU",
            "colab": {"gpuType": "T4", "provenance": []},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


if __name__ == "__main__":
    sys.exit(main())
