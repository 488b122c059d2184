"""What the cells of the notebooks call: a folder to work in, the stages, and the result.

Every function says in its cell what it did, and can be run twice. An error is one line in the cell, and the cell still
counts as failed, so that "Run all" stops there. Where videos and audio come from is in `inputs`, what is shown of them
in `figures`.
"""

from __future__ import annotations

import html
import logging
import os
import sys
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import HTML, FileLink, display

from .doctor import examine
from .errors import InputError, Wav2LipKitError, WeightsError
from .figures import (
    moment,
    show_comparison,
    show_preflight,
    show_quality,
    show_result,
    show_segments,
    show_source,
    show_table,
    show_training,
    show_try,
)
from .files import StrPath, link_or_copy, replace_when_whole
from .inputs import example, get_audio, get_video
from .notices import log, notice
from .previews import compare_sides, export_comparison
from .project import Project, report_beside
from .sync import pick_device
from .timing import format_time
from .training import TrainResult, train
from .weights import available_weights, find_weights, named_entry
from .widgets import pick_speaker, pick_timestamps

__all__ = [
    "begin",
    "combine",
    "create_project",
    "example",
    "export",
    "finetune",
    "get_audio",
    "get_video",
    "hand_over",
    "have_weights",
    "in_colab",
    "open_project",
    "pick_speaker",
    "pick_timestamps",
    "show_comparison",
    "show_doctor",
    "show_preflight",
    "show_quality",
    "show_result",
    "show_segments",
    "show_source",
    "show_training",
    "show_try",
    "sync",
]

HOME = "wav2lip_projects"
EXAMPLE_MINUTES = 0.05
DRIVE = Path("/content/drive/MyDrive")
STOPPED = "Stopped. What is finished is kept: run this cell again, and it goes on from there."


# ── the first cell ─────────────────────────────────────────────────────────────────────────────────────────────────


def begin(*, on_drive: bool = False) -> Path:
    """Make errors one line and notices calm, and return the folder that holds the projects.

    Args:
        on_drive: Keep it on Google Drive, which is mounted for that; only in Colab.
    """
    shell = get_ipython()
    if shell is not None and not os.environ.get("WAV2LIP_KIT_DEBUG"):
        shell.set_custom_exc((Wav2LipKitError, KeyboardInterrupt), _tell_error)
    log.handlers = [_Notices()]
    log.propagate = False
    home = Path(HOME)
    if on_drive and in_colab():
        home = _mount_drive() / HOME
    elif on_drive:
        notice("Google Drive is there in Colab only; everything is kept in a folder beside this notebook instead")
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {str(home)!r} ({error.strerror}): start Jupyter elsewhere") from error
    print(f"Projects are kept in {home.resolve()}")
    return home


def in_colab() -> bool:
    return "google.colab" in sys.modules


def _mount_drive() -> Path:
    from google.colab import drive  # type: ignore[import-not-found]

    try:
        drive.mount(str(DRIVE.parent))
    except ValueError as error:  # refused in the dialogue
        raise InputError(f"Google Drive was not mounted ({error}): allow it, or untick on_drive") from error
    return DRIVE


def _tell_error(shell: Any, kind: type, error: BaseException, _trace: Any, tb_offset: int | None = None) -> list[str]:  # noqa: ARG001
    line = STOPPED if isinstance(error, KeyboardInterrupt) else f"\x1b[31m✗\x1b[0m {error}"
    shell._showtraceback(kind, error, [line])  # as IPython shows any error, which marks the cell as failed
    return [line]


class _Notices(logging.Handler):
    """Shows each notice once, as a calm line under the cell."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._shown:
            self._shown.add(text)
            style = "border-left:3px solid #d9a400;padding:2px 10px;margin:4px 0;max-width:860px;line-height:1.45"
            display(HTML(f'<div style="{style}"><b>Note</b> {html.escape(text)}</div>'))


# ── setup ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def have_weights(name: str) -> str:
    """Have weights on this machine, and return their name; `demo`, with a notice, where published ones can't be had.

    Raises:
        WeightsError: If there are no weights of this name, or a checkpoint that was given cannot be used.
    """
    try:
        path = find_weights(name)
    except WeightsError as error:
        entry = named_entry(name)
        if entry is None or not entry.mirrors:
            raise
        notice(f"{error}. The demo weights are used instead: they are made for drawn faces, a filmed one looks poor")
        return "demo"
    print(f"Weights {name}: {path.stat().st_size / 1e6:.0f} MB")
    return name


def show_doctor(weights: str = "wav2lip") -> HTML:
    """What is here and what is missing, with the next step for each; of the weights only the chosen ones count."""
    others = {entry.name for entry in available_weights()} - {weights}
    rows = []
    for check in examine():
        if check.name in others and not check.is_ok:
            continue
        sign, colour = ("✓", "#2e9e5b") if check.is_ok else ("✗", "#d64545")
        step = check.next_step
        if step.startswith(("pip ", "wav2lip-kit ")):
            step = f"run in a new cell: !{step}"
        below = f'<div style="opacity:.75">→ {html.escape(step)}</div>' if step else ""
        sign = f'<b style="color:{colour}">{sign}</b>'
        rows.append([sign, html.escape(check.name), html.escape(check.found) + below])
    return show_table(rows)


# ── projects ───────────────────────────────────────────────────────────────────────────────────────────────────────


def create_project(home: Path, name: str, video: StrPath, audio: StrPath, **settings: Any) -> Project:
    """`Project.create` in the folder of projects, and a line that says what is in it."""
    project = Project.create(_project_folder(home, name), video, audio, **settings)
    sound = f"{project.audio.name}: {format_time(project.audio.duration_s, decimals=1)}"
    print(f"Project {name}\n  video  {project.video}\n  audio  {sound}")
    return project


def open_project(home: Path, name: str, **settings: Any) -> Project:
    """Come back to a project; begins one with the bundled example where there is none of this name."""
    folder = _project_folder(home, name)
    if not (folder / "project.json").is_file():
        notice(
            f"there is no project {name!r} in {str(home)!r} yet, so it begins with the bundled example. For a video of "
            "your own run 02_download first, with the same project name (and on Drive both times, in Colab)"
        )
        return create_project(home, name, *example(), **{"weights": "demo", **settings})  # made for its drawn face
    project = Project.open(folder, **settings)
    print(f"Project {name}: {project.video}")
    return project


def _project_folder(home: Path, name: str) -> Path:
    if not name or Path(name).name != name:
        raise InputError(f"{name!r} is no project name: give one word such as 'my_dub', without slashes")
    return home / name


# ── stages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def sync(project: Project) -> None:
    """Render what is not there yet. Interrupt it at any time: running it again goes on."""
    if pick_device(project.settings.device) == "cpu":
        notice("no GPU here: it works, but slowly. In Colab choose Runtime ▸ Change runtime type ▸ T4 GPU")
    tracks = project.track()
    if not project.segments_path.is_file():
        project.suggest(tracks)
    parts = project.sync(tracks=tracks)
    print(f"All {len(parts)} parts are there. Segments: {project.segments}")


def combine(project: Project) -> Path:
    """Join all parts and the new audio to final_video.mp4; parts that are missing are rendered first."""
    sync(project)
    final = project.combine()
    print(f"{final.resolve()}  ({final.stat().st_size / 1e6:.1f} MB)")
    return final


def finetune(home: Path, videos: str = "", *, init: str, minutes: float) -> TrainResult:
    """Teach weights one person's mouth: my_weights.safetensors in `home`. Interrupt it at any time, as `sync`.

    Args:
        home: Of `begin`.
        videos: A folder of videos, or one; empty for the bundled example, from which it learns for seconds only.
        init: The weights to start from.
        minutes: How long to learn.
    """
    result = train(
        videos.strip() or example()[0],
        home / "my_weights.safetensors",
        init=init,
        folder=home / "finetune",
        minutes=minutes if videos.strip() else EXAMPLE_MINUTES,
    )
    print(f"{result.path.resolve()}  ({result.path.stat().st_size / 1e6:.0f} MB)")
    return result


# ── the result ─────────────────────────────────────────────────────────────────────────────────────────────────────


def export(project: Project, kind: str, *, at: str = "", seconds: float = 4.0) -> Path | None:
    """Write comparison.gif or comparison.mp4 beside the result, from a time such as `0:35` on.

    Args:
        project: With a result.
        kind: `gif`, `mp4`, or `none`.
        at: When it begins; with the first segment when empty.
        seconds: How long.
    """
    if kind == "none":
        return None
    side_by_side = compare_sides(project, moment(project, at))
    out = export_comparison(side_by_side, project.folder / f"comparison.{kind}", duration_s=seconds)
    print(f"{out.resolve()}  ({out.stat().st_size / 1e6:.1f} MB)")
    return out


def hand_over(path: Path, *, download: bool = False, to_drive: bool = False) -> None:
    """Give a file to the user: as a link, as a download of the browser, as a copy on Google Drive.

    Args:
        path: The file; the report of a result goes with it to Drive.
        download: Have the browser save it at once; in Colab only, elsewhere the link does.
        to_drive: Copy it to the folder of projects on Drive, which is mounted for that; in Colab only.
    """
    if to_drive and not in_colab():
        notice("Google Drive is there in Colab only; the file stays where it is")
    elif to_drive:
        folder = _mount_drive() / HOME
        folder.mkdir(exist_ok=True)
        name = f"{path.parent.name}_{path.name}"
        report = path.parent / "report.json"
        for source, target in ((path, folder / name), (report, report_beside(folder / name))):
            if source.is_file():
                with replace_when_whole(target) as part:
                    link_or_copy(source, part)
        print(f"Copied to Google Drive: {HOME}/{name}")
    if not in_colab():
        display(FileLink(path, result_html_prefix="Open or save: "))
    elif download:
        from google.colab import files  # type: ignore[import-not-found]

        files.download(str(path))
    else:
        print("Tick `download` and run this cell again, or take it from the folder symbol at the left")
