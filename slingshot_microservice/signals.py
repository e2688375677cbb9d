"""Being stopped by SIGTERM and SIGINT."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopEvent", "stop_on_signals"]


class StopEvent(threading.Event):
    """An event that a signal handler may set.

    The handler runs on the main thread, perhaps in the middle of ``wait``: there the lock of an
    ordinary event is held, and ``set`` would wait for itself. A simple queue has no such lock.
    """

    def __init__(self) -> None:
        super().__init__()
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def is_set(self) -> bool:
        """Whether the event is set."""
        return not self._queue.empty()

    def set(self) -> None:
        """Set the event; all that wait for it go on."""
        self._queue.put(None)

    def clear(self) -> None:
        """Make the event as it was before it was set."""
        while not self._queue.empty():
            self._queue.get()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, or for ``timeout`` seconds; return whether it is set."""
        try:
            self._queue.get(timeout=timeout)
        except queue.Empty:
            return False
        self._queue.put(None)  # for whoever else waits, now or later
        return True


@contextmanager
def stop_on_signals(stop: StopEvent) -> Iterator[None]:
    """Set ``stop`` on SIGTERM or SIGINT; the second of them ends the program at once.

    On any other thread than the main one, where Python allows no handlers, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(_number: int, _frame: FrameType | None) -> None:
        for number, handler in previous.items():
            # A shell starts what runs in the background with SIGINT ignored; the second ends it.
            signal.signal(number, signal.SIG_DFL if handler is signal.SIG_IGN else handler)
        stop.set()

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()
