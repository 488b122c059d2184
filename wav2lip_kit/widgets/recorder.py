"""The microphone in a notebook: a button that records in the browser, and the file that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from ..files import replace_when_whole


class Recorder(anywidget.AnyWidget):
    """Record with the browser's microphone; each recording becomes a file `NUMBER.webm` (or what the browser makes).

    Attributes:
        saved: Name of the last file that was saved; empty before.
    """

    _esm = Path(__file__).parent / "recorder.mjs"

    saved = t.Unicode("").tag(sync=True)

    def __init__(self, folder: Path) -> None:
        """`folder` must exist."""
        super().__init__()
        self._folder = folder
        self._chunks: list[bytes] = []
        self.on_msg(self._take)

    def _take(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        """One chunk of a recording; it comes in pieces because servers refuse large messages."""
        if message["index"] == 0:
            self._chunks = []
        self._chunks.append(bytes(buffers[0]))
        if message["index"] + 1 == message["count"]:
            number = 1 + max((int(p.stem) for p in self._folder.glob("*.*") if p.stem.isdigit()), default=0)
            path = self._folder / f"{number:03d}.{'mp4' if 'mp4' in message['type'] else 'webm'}"
            with replace_when_whole(path) as part:
                part.write_bytes(b"".join(self._chunks))
            self.saved = path.name
