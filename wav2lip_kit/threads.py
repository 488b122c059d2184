"""Work that goes on side by side: one stage of a pipeline in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")

_END = object()


def prefetch(items: Iterable[T], depth: int) -> Iterator[T]:
    """Iterate `items` in a thread that runs up to `depth` items ahead.

    An error in the thread is raised here, in its place. When the consumer stops early, the thread is stopped and
    `items` is closed before this generator ends, so that no file stays open behind it.
    """
    queue: Queue[Any] = Queue(max(1, depth))
    stopped = Event()
    thread = Thread(target=_feed, args=(items, queue, stopped), daemon=True, name="wav2lip_kit-prefetch")
    thread.start()
    try:
        while (item := queue.get()) is not _END:
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        stopped.set()
        thread.join()


@dataclass(frozen=True)
class _Raised:
    error: BaseException


def _feed(items: Iterable[Any], queue: Queue[Any], stopped: Event) -> None:
    iterator = iter(items)
    try:
        for item in iterator:
            if not _put(queue, item, stopped):
                return
        _put(queue, _END, stopped)
    except BaseException as error:
        _put(queue, _Raised(error), stopped)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def _put(queue: Queue[Any], item: Any, stopped: Event) -> bool:
    """Wait for room in the queue; False when nobody will take the item any more."""
    while not stopped.is_set():
        try:
            queue.put(item, timeout=0.1)
            return True
        except Full:
            continue
    return False
