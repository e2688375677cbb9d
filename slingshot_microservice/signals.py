"""Being stopped by SIGTERM and SIGINT, and asked by SIGUSR1 what is going on."""

from __future__ import annotations

import faulthandler
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopEvent", "show_stacks_on_signal", "stop_on_signals"]

# A signal that comes at the very moment at which the main thread begins to wait does not wake it:
# it is then heard after this, which costs some microseconds each time.
_LOOK_SECONDS = 0.5

_STANDARD_ERROR = 2


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
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LOOK_SECONDS if deadline is None else deadline - time.monotonic()
            try:
                self._queue.get(timeout=max(0.0, min(left, _LOOK_SECONDS)))
            except queue.Empty:
                if left <= 0:
                    return False
            else:
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
            # Python's own handler would not be heard before a wait is over; and a shell starts
            # with SIGINT ignored what runs in the background.
            ends = handler in (signal.SIG_IGN, signal.default_int_handler)
            signal.signal(number, signal.SIG_DFL if ends else handler)
        stop.set()

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


@contextmanager
def show_stacks_on_signal() -> Iterator[None]:
    """Write every thread's stack to standard error on SIGUSR1; it does not disturb what runs.

    On any other thread than the main one, and where there is no such signal, nothing is done.
    """
    here = threading.current_thread() is threading.main_thread()
    if not here or not hasattr(faulthandler, "register"):
        yield
        return
    # The descriptor itself: sys.stderr may have been replaced by what has none.
    faulthandler.register(signal.SIGUSR1, file=_STANDARD_ERROR, all_threads=True, chain=False)
    try:
        yield
    finally:
        faulthandler.unregister(signal.SIGUSR1)
