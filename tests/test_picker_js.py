"""The picker's JavaScript: its time and interval logic on the cases that `test_segments` runs in Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = sorted((Path(__file__).parent / "js").glob("*.test.mjs"))


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on the PATH (apt install nodejs, 20 or newer)")
def test_times_intervals_and_keys() -> None:
    assert TESTS
    run = subprocess.run(["node", "--test", *TESTS], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "# fail 0" in run.stdout or "fail 0" in run.stdout
