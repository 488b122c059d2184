"""Notices: something was degraded, and the user is told.

A notice is logged at WARNING, so that it shows in a notebook and on the command line without any set-up, and is kept
for the report of the run that caused it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("wav2lip_kit")

# A plain list, not a context variable: notices also come from the reader and writer threads of a run.
_collectors: list[list[str]] = []


def notice(message: str) -> None:
    """Tell the user that something was degraded; once, while a collection is running."""
    if any(message in collected for collected in _collectors):
        return
    for collected in _collectors:
        collected.append(message)
    log.warning(message)


@contextmanager
def collect_notices() -> Iterator[list[str]]:
    """Collect the notices given inside the block, for a report."""
    collected: list[str] = []
    _collectors.append(collected)
    try:
        yield collected
    finally:
        _collectors[:] = [c for c in _collectors if c is not collected]  # two collections may be equal
