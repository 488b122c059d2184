"""The picker in a real JupyterLab in Chromium: it shows, plays, and what is marked there stands in segments.json."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make_clip, make_sound, write_boxes
from test_faces_in_runs import OnPaintedSquares

from wav2lip_kit import Project, data_path
from wav2lip_kit.faces.detectors import Detection, load_detector

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MISSING = [name for name in ("jupyterlab", "playwright", "anywidget") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(
        bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (pip install '.[notebook,browser]')"
    ),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the PATH (apt install chromium)"),
]

TOKEN = "picker-test"
PATIENCE_MS = 180_000
SHOW = """\
from wav2lip_kit import Project, data_path
from wav2lip_kit.faces.detectors import Detection, load_detector
from wav2lip_kit.widgets import pick_timestamps

picker = pick_timestamps(Project.open("job"), progress=False)
picker"""
SHOW_BOTH = """\
from wav2lip_kit import Project
from wav2lip_kit.widgets import pick_speaker, pick_timestamps

project = Project.open("job")
speakers = pick_speaker(project, progress=False)
picker = pick_timestamps(project, "", speakers, progress=False)
display(speakers, picker)"""
WORK = "import time, pathlib\nwhile not pathlib.Path('enough').exists():\n    time.sleep(0.1)"
TELL = "import pathlib; pathlib.Path('told.txt').write_text(f'{picker.segments}|{picker.time_s}|{picker.problem}')"


def write_notebook(path: Path, show: str) -> None:
    cells = [
        {"cell_type": "code", "id": f"c{k}", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
        for k, source in enumerate((show, WORK, TELL))
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook))


class Lab:
    """A JupyterLab server, and one page of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        env = {
            **os.environ,
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
        }
        env |= {
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "spaces"),
        }
        env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent.parent), env.get("PYTHONPATH", "")])
        self.set("notification", {"fetchNews": "false", "checkForUpdates": False})  # no question over the page
        options = [f"--port={self.port}", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]
        root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        self.log = (folder / "lab.log").open("w")
        self.server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser", *options, *root],
            cwd=folder,
            env=env,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        wait_until(self.answers, "JupyterLab does not answer")

    def set(self, name: str, settings: dict[str, Any]) -> None:
        """Write settings of JupyterLab's own extension; a page that is opened later has them."""
        path = self.folder / "settings" / "@jupyterlab" / "apputils-extension" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))

    def answers(self) -> bool:
        assert self.server.poll() is None, (self.folder / "lab.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api?token={TOKEN}", timeout=2):
                return True
        except OSError:
            return False

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token={TOKEN}&reset"

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(20)
        self.log.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def wait_until(is_so: Callable[[], Any], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


class Screen:
    """The picker of one notebook, as a person uses it: `press` keys, `drag` the pointer, look."""

    def __init__(self, lab: Lab, browser: Any, name: str, project: Project, before: str, show: str) -> None:
        self.project = project
        write_notebook(lab.folder / name / "pick.ipynb", show)
        self.page = browser.new_page(viewport={"width": 1440, "height": 1100})
        self.page.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        if before:
            self.page.add_init_script(before)
        self.page.goto(lab.url(f"{name}/pick.ipynb"))
        self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()
        self.run_cell(0)
        self.wait_for_video()

    def run_cell(self, index: int) -> None:
        self.page.evaluate(
            """async (index) => {
                const panel = jupyterapp.shell.currentWidget;
                await panel.sessionContext.ready;
                await panel.sessionContext.session.kernel.info;  // a cell that is run before is dropped in silence
                panel.content.activeCellIndex = index;
                jupyterapp.commands.execute("notebook:run-cell");
            }""",
            index,
        )

    def get(self, testid: str) -> Any:
        return self.page.get_by_test_id(testid)

    def wait_for_video(self) -> None:
        self.get("picker").wait_for(timeout=PATIENCE_MS)
        self.page.wait_for_function("document.querySelector('.w2l-veil').hidden", timeout=PATIENCE_MS)
        self.get("picker").scroll_into_view_if_needed()

    def press(self, *keys: str) -> None:
        self.get("picker").focus()
        for key in keys:
            self.page.keyboard.press(key)

    def go_to(self, frame: int) -> None:
        self.press("Home", *["."] * frame)
        assert self.frame == frame

    @property
    def frame(self) -> int:
        """As the clock says."""
        return int(re.findall(r"frame (\d+)", self.get("clock").inner_text())[0])

    def number_on_screen(self) -> int:
        """The number that `numbered_picture` wrote into the picture that the video element shows, once it stays."""
        before, now = -1, self._number_now()
        while before != now:  # on a busy machine the picture of a seek comes late, and a queued seek begins later still
            self.page.wait_for_timeout(150)
            before, now = now, self._number_now()
        return now

    def _number_now(self) -> int:
        self.page.wait_for_function("!document.querySelector('.w2l-video').seeking")
        return self.page.evaluate(
            """() => new Promise((resolve) => {
                const video = document.querySelector(".w2l-video");
                requestAnimationFrame(() => requestAnimationFrame(() => {
                    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
                    const pen = canvas.getContext("2d");
                    pen.drawImage(video, 0, 0);
                    let number = 0;
                    for (let bit = 0; bit < 12; bit++)
                        if (pen.getImageData(16 * bit + 8, 8, 1, 1).data[0] > 128) number += 1 << bit;
                    resolve(number);
                }));
            })"""
        )

    def ask_python(self) -> list[str]:
        """`picker.segments`, `time_s` and `problem`, as the kernel sees them."""
        told = self.project.folder.parent / "told.txt"
        told.unlink(missing_ok=True)
        self.page.wait_for_timeout(400)  # the time is told when it rests
        self.run_cell(2)
        wait_until(lambda: told.is_file() and told.read_text(), "the kernel did not answer")
        return told.read_text().split("|")

    def drag(self, from_x: float, to_x: float, y: float, *, meanwhile: Any = lambda: None) -> None:
        mouse = self.page.mouse
        mouse.move(from_x, y)
        mouse.down()
        mouse.move((from_x + to_x) / 2, y, steps=4)
        mouse.move(to_x, y, steps=4)
        meanwhile()
        mouse.up()

    def x_of(self, time_s: float) -> float:
        box = self.get("timeline").bounding_box()
        return box["x"] + box["width"] * time_s / self.page.evaluate(
            "Number(document.querySelector('.w2l-inner').dataset.end)"
        )

    def set_theme(self, name: str) -> None:
        self.page.evaluate("(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        is_light = str(name == "JupyterLab Light").lower()
        self.page.wait_for_function(f"document.body.dataset.jpThemeLight === '{is_light}'")
        self.page.wait_for_timeout(500)  # its style sheet is loaded by then

    def middle_of(self, testid: str) -> tuple[float, float]:
        box = self.get(testid).bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def shown(self) -> list[tuple[float, float]]:
        """The segments on screen, by their edges' exact values."""
        starts, ends = (
            [float(e.get_attribute("aria-valuenow")) for e in self.page.locator(f".w2l-segment .w2l-{side}").all()]
            for side in ("start", "end")
        )
        return list(zip(starts, ends, strict=True))

    def saved(self) -> list[tuple[int, int]]:
        """The segments in segments.json, once the badge says so, as first frame and the frame after the last.

        They must be exactly those on screen, and lie exactly on frames.
        """
        self.page.wait_for_function("document.querySelector('.w2l-badge').dataset.state === 'saved'")
        stored = [(s.start_s, s.end_s) for s in self.project.segments]
        assert stored == self.shown()
        tracks = self.project.track(progress=False)
        edges_s = [*tracks.times_s.tolist(), tracks.end_s]
        return [(edges_s.index(start_s), edges_s.index(end_s)) for start_s, end_s in stored]


def open_screen(lab: Lab, browser: Any, name: str, make: Any, *, before: str = "", show: str = SHOW) -> Screen:
    folder = lab.folder / name
    folder.mkdir()
    project = make(folder)
    project.track(detector=NoFaces(), progress=False)  # spares the kernel the search
    return Screen(lab, browser, name, project, before, show)


class NoFaces:
    """Finds nothing, in the name of the detector that the projects here ask for."""

    name = load_detector("haar").name

    def detect(self, pictures_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [[] for _ in pictures_bgr]


def numbered_project(folder: Path) -> Project:
    """100 numbered frames, 25 a second; a face in frames 10 to 29 and 60 to 79, and sound."""
    box = (110, 60, 210, 190)
    boxes = [box if 10 <= k < 30 or 60 <= k < 80 else None for k in range(100)]
    clip = make_clip(folder / "talk.mp4", 100, sound_s=4.0)
    sound = make_sound(folder / "words.wav", 4.0)
    speaker = str(write_boxes(folder / "boxes.json", boxes))
    return Project.create(folder / "job", clip, sound, weights="demo", detector="haar", speaker=speaker)


def test_marks_by_key_and_pointer_agree_with_the_file(lab: Lab, browser: Any) -> None:
    screen = open_screen(lab, browser, "marks", numbered_project)
    page = screen.page

    # It starts with the suggestions, saved.
    assert screen.saved() == [(10, 30), (60, 80)]
    assert page.evaluate("document.querySelector('.w2l').dataset.lmSuppressShortcuts") == "true"

    # Every frame that the clock names is the one on screen.
    for frame in (0, 1, 11, 12, 13, 57, 99):
        screen.press("Home") if frame < 50 else screen.press("End")
        screen.press(*(["."] * frame if frame < 50 else [","] * (99 - frame)))
        assert screen.frame == frame
        assert screen.number_on_screen() == frame

    # It plays: time moves, frames are painted, the clock goes along, and it stops on the frame it shows.
    screen.press("Home", "Space")
    page.wait_for_function("document.querySelector('.w2l-video').currentTime > 0.5")
    screen.press("Space")
    page.wait_for_function("document.querySelector('.w2l-video').paused")
    assert page.evaluate("document.querySelector('.w2l-video').getVideoPlaybackQuality().totalVideoFrames") > 10
    assert page.evaluate("document.querySelector('.w2l-video').webkitAudioDecodedByteCount") > 0
    assert screen.frame > 10
    assert screen.number_on_screen() == screen.frame

    # A segment by keys: frames 85 to 94, both with it.
    screen.go_to(85)
    screen.press("i", *["."] * 9, "o")
    assert screen.saved() == [(10, 30), (60, 80), (85, 95)]

    # Another by dragging over an empty stretch, Alt to not snap.
    y = screen.middle_of("segment-0")[1]
    page.keyboard.down("Alt")
    screen.drag(screen.x_of(1.6), screen.x_of(2.0), y)
    page.keyboard.up("Alt")
    assert screen.saved() == [(10, 30), (40, 50), (60, 80), (85, 95)]

    # An edge is moved; while it is, the video shows the last frame that is still inside.
    x = screen.middle_of("segment-1-end")[0]
    seen: list[int] = []
    screen.drag(x, x + screen.x_of(2.2) - screen.x_of(2.0), y, meanwhile=lambda: seen.append(screen.number_on_screen()))
    assert screen.saved()[1] == (40, 55)
    assert seen == [54]

    # Undone and redone, by key and by button.
    screen.press("Control+z")
    assert screen.saved()[1] == (40, 50)
    screen.press("Control+Shift+z")
    assert screen.saved()[1] == (40, 55)
    screen.get("undo").click()
    assert screen.saved()[1] == (40, 50)

    # A whole bar is moved to what is near: the cutless end of the video stops it.
    x = screen.middle_of("segment-3")[0]
    screen.drag(x, x + 400, y)
    assert screen.saved()[3] == (90, 100)

    # A suggestion that was deleted is accepted again; all of them.
    screen.get("row-0").locator(".w2l-remove").click()
    screen.get("row-1").locator(".w2l-remove").click()
    assert screen.saved() == [(40, 50), (90, 100)]
    screen.press("Home", "a")
    assert screen.saved() == [(10, 30), (40, 50), (90, 100)]
    screen.press("Shift+A")
    assert screen.saved() == [(10, 30), (40, 50), (60, 80), (90, 100)]

    # Split, typed times, an edge by its own keys.
    screen.go_to(20)
    screen.press("b")
    assert screen.saved()[:2] == [(10, 20), (20, 30)]
    screen.get("row-0-start").fill("0:00.21")
    screen.get("row-0-start").press("Enter")
    assert screen.saved()[0] == (5, 20)
    screen.get("segment-0-start").focus()
    page.keyboard.press("ArrowLeft")
    assert screen.saved()[0] == (4, 20)
    screen.get("row-0-start").fill("noon")
    screen.get("row-0-start").press("Enter")
    assert "not a time" in screen.get("told").inner_text()
    assert screen.saved()[0] == (4, 20)

    # Python agrees, and knows where the playhead stands.
    segments_now = screen.saved()
    screen.press("Home", ".", ".", ".")
    segments, time_s, problem = screen.ask_python()
    assert segments == str(screen.project.segments)
    assert [float(time_s), problem] == [0.12, ""]
    assert screen.saved() == segments_now

    # All keys are listed.
    screen.press("?")
    assert screen.get("help-list").is_visible()
    screen.press("Escape")
    assert not screen.get("help-list").is_visible()

    # The page is loaded again: the marks are there, and can be changed.
    before = screen.saved()
    screen.press("Control+s")  # the notebook's own key works from inside the picker
    notebook = screen.project.folder.parent / "pick.ipynb"
    wait_until(lambda: "widget-view+json" in notebook.read_text(), "the notebook was not saved")
    page.reload()
    screen.wait_for_video()
    assert screen.saved() == before
    screen.get("row-0").locator(".w2l-remove").click()
    assert screen.saved() == before[1:]
    assert screen.errors == []
    page.close()


def uneven_project(folder: Path) -> Project:
    """Frames at a variable rate (20 to 100 ms apart) that begin 0.48 s after the sound; only a part of them is used."""
    steps_ms = [(20, 33, 67, 100)[k % 4] for k in range(80)]
    pts = [480 + sum(steps_ms[:k]) for k in range(80)]
    clip = make_clip(folder / "talk.mp4", 80, pts=pts, time_base=Fraction(1, 1000), sound_s=4.0)
    return Project.create(
        folder / "job", clip, make_sound(folder / "w.wav", 4.0), weights="demo", detector="haar", trim="0:01-0:04"
    )


def test_a_variable_rate_a_late_picture_and_a_trim_are_exact(lab: Lab, browser: Any) -> None:
    screen = open_screen(lab, browser, "uneven", uneven_project)
    tracks = screen.project.track(progress=False)
    first = next(k for k in range(80) if 0.48 + sum((0.02, 0.033, 0.067, 0.1)[j % 4] for j in range(k)) >= 1 - 1e-6)
    for frame in (0, 1, 2, 3, 4, 13, 40, tracks.n_frames - 1):
        screen.press("Home")
        screen.press(*["."] * frame)
        assert (screen.frame, screen.number_on_screen()) == (frame, first + frame)
    assert screen.shown() == []  # no face, no suggestion: it is marked by hand all the same
    screen.go_to(5)
    screen.press("i", ".", ".", "o")
    assert screen.saved() == [(5, 8)]
    assert screen.project.segments[0].start_s == tracks.times_s[5]
    screen.page.close()


def test_while_the_kernel_is_busy_marks_wait_and_are_not_lost(lab: Lab, browser: Any) -> None:
    lab.set("kernels-settings", {"commsOverSubshells": "disabled"})  # else it is never busy; Colab's is
    screen = open_screen(lab, browser, "busy", numbered_project)
    lab.set("kernels-settings", {})
    screen.run_cell(1)
    screen.press("Home", "i", ".", "o", ".", ".", "i", "o")
    badge = screen.get("badge")
    screen.page.wait_for_function("document.querySelector('.w2l-badge').textContent.includes('busy')")
    assert badge.get_attribute("data-state") == "waiting"
    assert len(screen.shown()) == 4
    assert len(screen.project.segments) == 2
    (screen.project.folder.parent / "enough").touch()
    assert screen.saved() == [(0, 2), (3, 4), (10, 30), (60, 80)]
    screen.page.close()


def test_without_h264_single_frames_are_shown(lab: Lab, browser: Any) -> None:
    screen = open_screen(
        lab, browser, "still", numbered_project, before="HTMLMediaElement.prototype.canPlayType = () => ''"
    )
    assert "H.264" in screen.get("told").inner_text()
    screen.press("End")
    screen.page.wait_for_function("document.querySelector('.w2l-still').naturalWidth > 0")
    screen.go_to(7)
    screen.press("i", ".", "o")
    assert screen.saved()[0] == (7, 9)
    assert "H.264" in screen.ask_python()[2]
    screen.page.close()


def long_project(folder: Path) -> Project:
    """Ten minutes, 3000 frames."""
    boxes = [(60, 30, 100, 110) if 100 <= k < 400 or 2500 <= k < 2750 else None for k in range(3000)]
    clip = make_clip(folder / "talk.mp4", 3000, 5, size=(192, 108), sound_s=600.0, options={"preset": "ultrafast"})
    speaker = str(write_boxes(folder / "boxes.json", boxes))
    sound = make_sound(folder / "words.wav", 600.0)
    return Project.create(folder / "job", clip, sound, weights="demo", detector="haar", speaker=speaker)


def test_ten_minutes(lab: Lab, browser: Any) -> None:
    screen = open_screen(lab, browser, "long", long_project)
    assert screen.saved() == [(100, 400), (2500, 2750)]
    screen.press("End", *["ArrowLeft"] * 3, ",")
    assert screen.frame == 2983
    assert screen.number_on_screen() == 2983
    screen.press("i", ".", ".", "o", "+", "+", "+", "+", "+", "+", "+", "+", "+", "+")
    assert screen.saved() == [(100, 400), (2500, 2750), (2983, 2986)]
    box = screen.get("segment-2").bounding_box()
    assert box["width"] > 20, "zoomed in, three of 3000 frames can be taken hold of"
    screen.page.close()


def two_people_project(folder: Path) -> Project:
    """A large face in frames 0 to 59, a smaller one in 40 to 99; no sound."""
    pictures = [np.full((240, 320, 3), 60, np.uint8) for _ in range(100)]
    for picture in pictures[:60]:
        picture[60:130, 40:110] = 255
    for picture in pictures[40:]:
        picture[120:160, 220:260] = 255
    clip = make_clip(folder / "talk.mp4", 100, pictures=pictures)
    project = Project.create(
        folder / "job", clip, make_sound(folder / "words.wav", 4.0), weights="demo", detector="haar"
    )
    project.track(detector=OnPaintedSquares(), progress=False)
    return project


def test_a_click_on_a_face_is_followed_by_the_picker_below(lab: Lab, browser: Any) -> None:
    screen = open_screen(lab, browser, "speakers", two_people_project, show=SHOW_BOTH)
    page, project = screen.page, screen.project

    def pressed() -> list[str]:
        page.wait_for_timeout(300)
        return page.locator(".widget-toggle-button.mod-active").all_inner_texts()

    def face_lane_at(time_s: float) -> list[int]:
        """The colour at the bottom of the lane that shows when the speaker's face is there."""
        pixel = """(time_s) => {
            const [canvas, end_s] = [document.querySelector(".w2l canvas"), 4];
            const at = [canvas.width * time_s / end_s, 160 * canvas.height / canvas.clientHeight];
            return [...canvas.getContext("2d").getImageData(...at, 1, 1).data];
        }"""
        return page.evaluate(pixel, time_s)

    assert page.locator(".widget-image").count() == 2 and pressed() == ["person-1"]
    assert screen.saved() == [(0, 60)]
    face, ground = face_lane_at(0.5), face_lane_at(3.5)
    assert face != ground
    page.get_by_role("button", name="person-2").click()
    wait_until(lambda: Project.open(project.folder).settings.speaker == "person-2", "the click is not stored")
    page.wait_for_function("document.querySelector('[data-testid=suggestion-0]').title.startsWith('0:01.6')")
    assert screen.saved() == [(40, 100)] and pressed() == ["person-2"]
    assert [face_lane_at(0.5), face_lane_at(3.5)] == [ground, face], "the lane shows who was chosen before"

    # A second click on who is chosen changes nothing; marks made by hand stay, and only the suggestions change.
    page.get_by_role("button", name="person-2").click()
    assert pressed() == ["person-2"]
    screen.get("row-0").locator(".w2l-remove").click()
    screen.press("Home", "i", *["."] * 4, "o")
    assert screen.saved() == [(0, 5)]
    page.get_by_role("button", name="person-1").click()
    page.wait_for_function("document.querySelector('[data-testid=suggestion-0]').title.startsWith('0:00')")
    assert screen.saved() == [(0, 5)] and pressed() == ["person-1"]
    assert screen.errors == []
    page.close()


def presenter_project(folder: Path) -> Project:
    """The bundled example, its face where it is seen."""
    faces = [k for k in range(300) if 30 <= k < 130 or k >= 190]
    boxes = {k: (300 + 8 * np.sin(k / 9), 120, 560, 440 + 20 * np.sin(k / 14)) for k in faces}
    speaker = str(write_boxes(folder / "boxes.json", [boxes.get(k) for k in range(300)]))
    video, audio = data_path("examples/presenter.mp4"), data_path("examples/new_words.flac")
    return Project.create(folder / "job", video, audio, weights="demo", detector="haar", speaker=speaker)


CONTRASTS = """(testids) => {
    const luminance = (color) => {
        const parts = color.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255);
        const [r, g, b] = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        const color = getComputedStyle(element).backgroundColor;
        return /, 0\\)$|transparent/.test(color) ? ground(element.parentElement) : color;
    };
    return testids.map((id) => {
        const element = document.querySelector(`[data-testid="${id}"]`);
        const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))].sort();
        return [id, (b + 0.05) / (a + 0.05)];
    });
}"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_it_is_readable_in_both_themes(lab: Lab, browser: Any, theme: str) -> None:
    """Text has the contrast that WCAG 2.1 asks for (1.4.3). With PICKER_SCREENSHOTS=DIR the pictures are kept there."""
    screen = open_screen(lab, browser, f"look{theme}", presenter_project)
    screen.set_theme(f"JupyterLab {theme}")
    screen.get("row-1").locator(".w2l-remove").click()
    screen.go_to(112)
    screen.get("told").evaluate("element => element.scrollIntoView({ block: 'nearest' })")
    ids = ["told", "totals", "badge", "clock", "in", "play", "row-0-start", "segment-0"]
    for name, contrast in screen.page.evaluate(CONTRASTS, ids):
        assert contrast >= 4.5, f"{name} has a contrast of {contrast:.1f} only in the theme {theme}"
    if folder := os.environ.get("PICKER_SCREENSHOTS"):
        screen.number_on_screen()  # the frame is there
        screen.get("picker").screenshot(path=Path(folder) / f"picker-{theme.lower()}.png")
    screen.page.close()
