"""Where the video and the new audio of a notebook come from: a link, a path, an upload, the microphone, the example.

An upload or a recording needs a person. The cell that asks for one shows a button and stops there; run again, it takes
what came in last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as w
from IPython.display import display

from . import data_path
from .audio import probe_audio
from .errors import InputError
from .files import replace_when_whole
from .media import probe
from .sources import fetch_audio, fetch_video
from .timing import format_time


def example() -> tuple[Path, Path]:
    """The video and the new audio that come along."""
    return data_path("examples/presenter.mp4"), data_path("examples/new_words.flac")


def get_video(home: Path, source: str = "", *, upload: bool = False, cookies: str = "") -> Path:
    """The video to work on, and a line about it.

    Args:
        home: Of `notebook.begin`; what is fetched or uploaded is kept in it.
        source: A link, or the path of a file or of a folder of frames; empty for the bundled example.
        upload: Ask for a file of the user's own machine instead.
        cookies: A cookies.txt, for sites that refuse a cloud machine.

    Raises:
        InputError: If it is not to be had, or is no video.
    """
    path = _get(home, "video", fetch_video, source, cookies, upload=upload)
    print(probe(path))
    return path


def get_audio(home: Path, source: str = "", *, upload: bool = False, record: bool = False, cookies: str = "") -> Path:
    """The new audio, and a line about it. As `get_video`; `record` takes it from the microphone.

    Raises:
        InputError: If it is not to be had, or has no sound.
    """
    if record:
        path = _recorded(home / "recordings")
        fetch_audio(path)
    else:
        path = _get(home, "audio", fetch_audio, source, cookies, upload=upload)
    info = probe_audio(path)
    print(f"{info.name}: {info.rate_hz} Hz, {info.layout}, {format_time(info.duration_s, decimals=1)}")
    return path


def _get(home: Path, kind: str, fetch: Callable[..., Path], source: str, cookies: str, *, upload: bool) -> Path:
    if upload:
        return fetch(_uploaded(home / f"uploaded_{kind}", kind))
    return fetch(
        source.strip() or example()[kind != "video"], home / f"fetched_{kind}", cookies=cookies.strip() or None
    )


# ── uploads ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _uploaded(folder: Path, kind: str) -> Path:
    folder.mkdir(exist_ok=True)
    if "google.colab" in sys.modules:
        from google.colab import files  # type: ignore[import-not-found]

        for name, data in files.upload().items():  # waits for the person
            _keep(folder, name, data)
    else:
        kinds = f"{kind}/*,image/*" if kind == "video" else "audio/*,video/*"
        button = w.FileUpload(accept=kinds, multiple=False, description=f"Choose the {kind}")
        button.observe(lambda change: _take(folder, change["new"]), names="value")
        display(button)
    return _newest(
        folder, "choose a file with the button above (or put its path into the form), wait until it is there"
    )


def _take(folder: Path, value: Any) -> None:
    """Keep what FileUpload holds: {name: {"content"}} in ipywidgets 7, a tuple of {"name", "content"} since 8."""
    items = value.items() if isinstance(value, dict) else ((item["name"], item) for item in value)
    for name, item in items:
        _keep(folder, name, bytes(item["content"]))


def _keep(folder: Path, name: str, data: bytes) -> None:
    with replace_when_whole(folder / Path(name).name) as part:
        part.write_bytes(data)


def _newest(folder: Path, what_to_do: str) -> Path:
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if not files:
        raise InputError(f"nothing has come in yet: {what_to_do}, and run this cell again")
    return max(files, key=lambda path: path.stat().st_mtime)


# ── the microphone ─────────────────────────────────────────────────────────────────────────────────────────────────


def _recorded(folder: Path) -> Path:
    try:
        from .widgets.recorder import Recorder
    except ImportError as error:
        raise InputError(
            f"recording needs anywidget ({error}): run `pip install anywidget`, or upload a file"
        ) from error
    folder.mkdir(exist_ok=True)
    display(Recorder(folder))
    return _newest(folder, "press Record, speak, press Stop")
