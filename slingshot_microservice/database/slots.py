"""Taking turns at what there is too little of."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Slots"]


class Slots:
    """A number of places, given to those who want one in the order in which they asked.

    A semaphore lets whoever has just given its place back take it again before those who wait
    have woken up; with requests that follow each other closely these would wait for ever.

    Args:
        count: How many places there are.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Lock] = deque()  # each is released when its turn has come

    def take(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for a place; return whether it was had."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=timeout):
            return True
        with self._lock:
            if turn not in self._waiting:  # it came at the last moment
                return True
            self._waiting.remove(turn)
            return False

    def give(self) -> None:
        """Give a place back: to who has waited longest, if anybody waits."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
