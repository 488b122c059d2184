"""The pipeline's threads: order, errors, and an end without anything left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from wav2lip_kit.threads import prefetch


def running() -> int:
    return sum(t.name == "wav2lip_kit-prefetch" for t in threading.enumerate())


def test_items_come_in_order_and_the_thread_ends() -> None:
    assert list(prefetch(range(1000), 4)) == list(range(1000))
    assert running() == 0


def test_an_error_arrives_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("disk full")

    seen = []
    with pytest.raises(OSError, match="disk full"):
        seen.extend(prefetch(items(), 8))
    assert seen == [1, 2] and running() == 0


def test_a_consumer_that_stops_early_stops_the_producer_and_closes_it() -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    stage = prefetch(prefetch(endless(), 2), 2)
    next(stage)
    stage.close()
    assert closed == [True] and running() == 0


def test_it_runs_ahead_but_not_further_than_asked() -> None:
    made = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    stage = prefetch(items(), 3)
    next(stage)
    time.sleep(0.3)
    assert 3 <= len(made) <= 6
    stage.close()
