"""Work that goes on side by side: one stage of a pipeline in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
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

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                queue.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def run() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    break
            put(_END)
        except BaseException as error:
            put(_Raised(error))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    thread = Thread(target=run, daemon=True, name="wav2lip_kit-prefetch")
    thread.start()
    try:
        while (item := queue.get()) is not _END:
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        stopped.set()
        while True:
            try:
                queue.get_nowait()
            except Empty:
                break
        thread.join()


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error
