"""How many messages to hold, found by measuring how long requests take."""

from __future__ import annotations

import math

__all__ = ["PREFETCH_MAX", "PrefetchTuner"]

PREFETCH_MAX = 512
"""Of one consumer. RabbitMQ's guide finds no gain above 300; a quorum queue allows 2,000."""

_SPAN_SECONDS = 0.15  # of work that waits in hand, for each worker
_ENOUGH_REQUESTS = 16  # for a mean, each worker's
_ENOUGH_SECONDS = 0.1  # likewise, of requests that are not so many
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 10.0
_CLOCK_SECONDS = 1e-6  # what a clock may not tell from nothing
_OLD = 0.25  # what earlier measurements count for, at each new one


class PrefetchTuner:
    """Aims at a fixed span of work in hand, so that no idle replica waits for what we hoard.

    A worker of a service that takes microseconds has hundreds of messages waiting, one whose
    requests take a second a single one. RabbitMQ takes another prefetch only for a new consumer,
    so it changes rarely, and by powers of two: after each change it stays as it is for twice as
    long as after the one before, up to ten seconds.

    Args:
        workers: How many requests are processed at the same time.

    Attributes:
        prefetch: What it is now.
        limit: What it may grow to.
        next_look: When, in seconds, the next `look` can change anything.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._least = _power_of_two(2 * workers)
        self._busy = self._ended = 0.0  # at the last look
        self._seconds = self._requests = 0.0  # that the mean is of; what is old counts for less
        self._pause = _FIRST_PAUSE_SECONDS
        self.limit = max(PREFETCH_MAX, self._least)
        self.prefetch = self._least
        self.next_look = 0.0

    @property
    def mean_seconds(self) -> float:
        """How long a request takes, as far as that is known."""
        return max(_CLOCK_SECONDS, self._seconds) / self._requests if self._requests else 0.0

    def look(self, now: float, busy_seconds: float, ended: int, running: int) -> bool:
        """Take a measurement into account; return whether the prefetch is another one now.

        Args:
            now: The time, in seconds of any clock that does not jump.
            busy_seconds: What all workers have spent on requests until now.
            ended: How many requests have ended until now.
            running: How many are running. Where none has ended since the last look, they say how
                long requests take at least.
        """
        busy, count = busy_seconds - self._busy, ended - self._ended
        if count < _ENOUGH_REQUESTS * self._workers and busy < _ENOUGH_SECONDS * self._workers:
            return False
        self._busy, self._ended = busy_seconds, ended
        self._seconds = self._seconds * _OLD + busy
        self._requests = self._requests * _OLD + (count or max(1, running))
        self.next_look = now + self._pause
        wanted = self._workers * (1 + max(1.0, _SPAN_SECONDS / self.mean_seconds))
        if self.prefetch / 2 < wanted < self.prefetch * 2:
            return False
        prefetch = min(max(_power_of_two(wanted), self._least), self.limit)
        if prefetch == self.prefetch:
            return False
        self.prefetch = prefetch
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return True


def _power_of_two(number: float) -> int:
    """Return the power of two that is nearest to a number, and not less than 2."""
    return 1 << max(1, round(math.log2(number)))
