"""Fetching a video or audio to work on: from a path, YouTube and other sites (yt-dlp), or Google Drive (gdown).

Only fetch what you have the rights to.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from .audio import probe_audio
from .errors import InputError, MediaError
from .files import StrPath
from .media import probe

_DRIVE = re.compile(r"https?://(?:drive|docs)\.google\.com/")
_SILENT = logging.getLogger("wav2lip_kit.yt_dlp")
"""Takes what yt-dlp would print: what matters of it is in the error."""
_SILENT.disabled = True
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def fetch_video(source: str | StrPath, folder: StrPath = ".", *, cookies: StrPath | None = None) -> Path:
    """Have a video on this machine, and make sure that it is one.

    Args:
        source: A path (returned as it is), a link to Google Drive, or any address that yt-dlp knows.
        folder: Where to put what is fetched; made when it is not there.
        cookies: A cookies.txt exported from a browser, for sites that refuse a cloud machine.

    Returns:
        The file, or the folder of frames.

    Raises:
        InputError: If it cannot be fetched, in one line with the next step.
        MediaError: If what is there is no video.
    """
    path = _fetch(source, Path(folder), "video", cookies)
    probe(path)
    return path


def fetch_audio(source: str | StrPath, folder: StrPath = ".", *, cookies: StrPath | None = None) -> Path:
    """Have audio on this machine, and make sure that it has sound. As `fetch_video`; a video with sound will do.

    Raises:
        InputError: If it cannot be fetched.
        MediaError: If what is there has no sound.
    """
    path = _fetch(source, Path(folder), "audio", cookies)
    probe_audio(path)
    return path


def _fetch(source: str | StrPath, folder: Path, kind: str, cookies: StrPath | None) -> Path:
    address = str(source)
    if not re.match(r"https?://", address):
        path = Path(source)
        if not path.exists():
            raise MediaError(
                f"no such {kind}: {address!r}; check the spelling, or give a link that begins with https://"
            )
        return path
    if cookies is not None and not Path(cookies).is_file():
        raise InputError(f"no such cookies file: {str(cookies)!r}; export cookies.txt from your browser")
    folder.mkdir(parents=True, exist_ok=True)
    return _from_drive(address, folder) if _DRIVE.match(address) else _from_site(address, folder, kind, cookies)


def _from_drive(address: str, folder: Path) -> Path:
    try:
        import gdown
    except ImportError as error:
        raise InputError("Google Drive needs gdown: run `pip install gdown`, or download the file by hand") from error
    file_id = re.search(r"(?:/d/|[?&]id=)([-\w]{10,})", address)
    if file_id is None:
        raise InputError(f"{address!r} is no link to one file on Google Drive: use its Share ▸ Copy link")
    share = "share it with 'anyone with the link', or download it by hand; popular files are refused for a day"
    try:
        # A folder, ending in a separator, keeps the name that the file has on Drive.
        found = gdown.download(id=file_id[1], output=f"{folder}/", quiet=False)
    except Exception as error:  # gdown raises its own, requests' and plain ones
        raise InputError(f"Google Drive did not give {address!r} ({_one_line(error)}): {share}") from error
    if found is None:
        raise InputError(f"Google Drive did not give {address!r}: {share}")
    return Path(str(found))


def _from_site(address: str, folder: Path, kind: str, cookies: StrPath | None) -> Path:
    try:
        from yt_dlp import YoutubeDL
        from yt_dlp.utils import DownloadError
    except ImportError as error:
        raise InputError("links need yt-dlp: run `pip install yt-dlp`, or download the file by hand") from error
    options: Any = {
        # One file that needs no joining comes first: no ffmpeg is needed then.
        "format": "b[ext=mp4]/b/bv*+ba" if kind == "video" else "ba/b",
        "outtmpl": str(folder / "%(title).80B [%(id)s].%(ext)s"),
        "noplaylist": True,
        "quiet": True,
        "logger": _SILENT,
        "retries": 3,
    }
    if cookies is not None:
        options["cookiefile"] = str(cookies)
    try:
        with YoutubeDL(options) as downloader:
            info = downloader.extract_info(address)
            downloads = info.get("requested_downloads") or []
            return Path(downloads[0]["filepath"] if downloads else downloader.prepare_filename(info))
    except DownloadError as error:
        raise InputError(f"cannot fetch {address!r}: {_one_line(error)}; {_advice(str(error))}") from error


def _advice(said: str) -> str:
    if "not a bot" in said or "Sign in" in said or "403" in said:
        return (
            "the site refuses this machine, as many do with cloud machines: export cookies.txt from a browser where "
            "you are signed in and give it as cookies, or download the video at home and upload it"
        )
    return "check that the link opens in a browser, or download the file by hand and give its path"


def _one_line(error: BaseException) -> str:
    return " ".join(_COLOURS.sub("", str(error)).removeprefix("ERROR: ").split())[:200]
