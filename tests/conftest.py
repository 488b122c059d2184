"""Shared fixtures: the real test material (skipped where it is absent) and small synthetic media."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEDIA = Path(os.environ.get("WAV2LIP_KIT_MEDIA", ROOT.parent / "shared" / "media"))


def _shared(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} folder: set WAV2LIP_KIT_MEDIA to the folder of real test media")
    return folder


@pytest.fixture(scope="session")
def shared_media() -> Path:
    return _shared(MEDIA)


@pytest.fixture(scope="session")
def shared_goldens() -> Path:
    return _shared(MEDIA.parent / "goldens")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    return _shared(MEDIA.parent / "weights")
