"""Being stopped by SIGTERM and SIGINT, and asked by SIGUSR1 what is going on."""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["StopEvent", "show_stacks_on_signal", "stop_on_signals"]

_STANDARD_ERROR = 2
_DRAINED_BYTES = 4096
_RUNG = b"\0"  # which is the number of no signal


class StopEvent(threading.Event):
    """An event that a signal handler may set.

    The handler runs on the main thread, perhaps in the middle of ``wait``: there the lock of an
    ordinary event is held, and ``set`` would wait for itself. A simple queue has no such lock.

    A signal that comes at the very moment at which the main thread begins to wait for a lock does
    not wake it, and its handler is not run until something else does. So the main thread waits
    for bytes instead: Python writes one for every signal, and ``set`` one for every other thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lock = threading.RLock()  # which a handler may take again
        self._alarm: _Alarm | None = None  # while the main thread waits

    def is_set(self) -> bool:
        """Whether the event is set."""
        return not self._queue.empty()

    def set(self) -> None:
        """Set the event; all that wait for it go on."""
        self._queue.put(None)
        with self._lock:
            if self._alarm is not None:
                self._alarm.ring()

    def clear(self) -> None:
        """Make the event as it was before it was set."""
        while not self._queue.empty():
            self._queue.get()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, or for ``timeout`` seconds; return whether it is set."""
        if threading.current_thread() is threading.main_thread():
            return self._wait_for_alarm(timeout)
        try:
            self._queue.get(timeout=timeout if timeout is None else max(0.0, timeout))
        except queue.Empty:
            return False
        self.set()  # for whoever else waits, now or later
        return True

    def _wait_for_alarm(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        with _Alarm() as alarm, self._rung_by_others(alarm):
            while not self.is_set():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                alarm.wait(left)
        return True

    @contextmanager
    def _rung_by_others(self, alarm: _Alarm) -> Iterator[None]:
        previous, self._alarm = self._alarm, alarm
        try:
            yield
        finally:
            with self._lock:  # nobody rings it any more when it is closed
                self._alarm = previous


class _Alarm:
    """Wakes the main thread when a signal comes, or when it is rung. For the main thread only."""

    def __init__(self) -> None:
        import socket  # not when the package is imported, which is to be cheap

        self._ear, self._bell = socket.socketpair()
        self._bell.setblocking(False)
        self._previous = -1

    def __enter__(self) -> _Alarm:
        self._previous = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *exc_info: object) -> None:
        signal.set_wakeup_fd(self._previous)
        self.wait(0)  # a signal that came after the last wait is news to the program's own
        self._bell.close()
        self._ear.close()

    def ring(self) -> None:
        """Wake it up; from any thread."""
        with suppress(BlockingIOError):  # it has been rung often enough
            self._bell.send(_RUNG)

    def wait(self, timeout: float | None) -> None:
        """Return when it is or was rung, when a signal has come, or after ``timeout`` seconds."""
        self._ear.settimeout(timeout)
        with suppress(TimeoutError, BlockingIOError):
            numbers = self._ear.recv(_DRAINED_BYTES).replace(_RUNG, b"")
            if numbers and self._previous >= 0:  # the program has a descriptor of its own
                with suppress(OSError):
                    os.write(self._previous, numbers)


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
