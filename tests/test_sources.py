"""Fetching: routing by address, yt-dlp against a server on this machine, and the lines a user reads when it fails."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import gdown
import pytest
from clips import make_clip, make_sound

from wav2lip_kit import fetch_audio, fetch_video
from wav2lip_kit.errors import InputError, MediaError

DRIVE_ID = "1aBcDeFgHiJkLmNoPqRsTuVwXyZ012345"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server on this machine and the folder it serves."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    clip, sound = make_clip(tmp_path / "a.mp4", 5), make_sound(tmp_path / "a.wav", 0.5)
    assert fetch_video(clip) == clip and fetch_audio(sound) == sound


def test_a_link_is_fetched_with_yt_dlp_and_checked(site: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = site
    make_clip(folder / "talk.mp4", 12, sound_s=0.4)
    found = fetch_video(f"{address}/talk.mp4", tmp_path / "got")
    assert found.parent == tmp_path / "got" and found.read_bytes() == (folder / "talk.mp4").read_bytes()
    make_sound(folder / "words.mp3", 0.5)
    assert fetch_audio(f"{address}/words.mp3", tmp_path / "got").suffix == ".mp3"


@pytest.mark.parametrize("name", ["missing.mp4", "page.html"])
def test_a_link_that_gives_no_video_is_one_line(name: str, site: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = site
    (folder / "page.html").write_text("<html><body>nothing here</body></html>")
    with pytest.raises(InputError, match=name) as caught:
        fetch_video(f"{address}/{name}", tmp_path / "got")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert "opens in a browser" in str(caught.value)


def test_a_refusal_of_cloud_machines_names_cookies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import yt_dlp

    def refuse(*_: object, **__: object) -> None:
        raise yt_dlp.utils.DownloadError("ERROR: [youtube] abc: Sign in to confirm you're not a bot. Use --cookies")

    monkeypatch.setattr(yt_dlp.YoutubeDL, "extract_info", refuse)
    with pytest.raises(InputError, match=r"refuses this machine.*cookies\.txt.*upload it"):
        fetch_video("https://www.youtube.com/watch?v=abcdefghijk", tmp_path)


def test_drive_links_go_to_gdown_by_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 5)
    asked = []

    def download(**arguments: object) -> str | None:
        asked.append(arguments["id"])
        return str(clip) if len(asked) < 3 else None

    monkeypatch.setattr(gdown, "download", download)
    for link in (
        f"file/d/{DRIVE_ID}/view?usp=sharing",
        f"uc?id={DRIVE_ID}",
    ):
        assert fetch_video(f"https://drive.google.com/{link}", tmp_path / "got") == clip
    assert asked == [DRIVE_ID] * 2
    with pytest.raises(InputError, match="anyone with the link"):
        fetch_video(f"https://drive.google.com/uc?id={DRIVE_ID}", tmp_path / "got")
    with pytest.raises(InputError, match="no link to one file"):
        fetch_video("https://drive.google.com/drive/my-drive", tmp_path / "got")


def test_what_is_not_there_and_what_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"no such video: .*gone\.mp4.*https"):
        fetch_video(tmp_path / "gone.mp4")
    with pytest.raises(InputError, match="no such cookies file"):
        fetch_video("https://example.org/x", tmp_path, cookies=tmp_path / "none.txt")
    (tmp_path / "notes.mp4").write_text("only text")
    with pytest.raises(MediaError, match=r"notes\.mp4"):
        fetch_video(tmp_path / "notes.mp4")
