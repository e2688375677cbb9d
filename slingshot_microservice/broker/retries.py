"""What becomes of a message whose run failed: another try later, or the queue of the dead."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .protocol import Failure

__all__ = ["Again", "History", "Parked", "RetryPolicy", "wait_of"]

ATTEMPTS_HEADER = "slingshot-attempts"
DEATHS_HEADER = "slingshot-deaths"
FIRST_TIME_HEADER = "slingshot-first-time"
LAST_TIME_HEADER = "slingshot-last-time"

# A queue of its own for every wait would be one for every number that a `process` makes up, and a
# queue whose wait may be changed could not be declared again. So waits end in these queues, and a
# message that is to wait for less than its queue's wait says so itself.
_WAITS = (
    *(100, 200, 500),
    *(1_000, 2_000, 5_000, 10_000, 20_000, 30_000),
    *(60_000, 120_000, 300_000, 600_000, 1_200_000, 1_800_000),
    *(3_600_000, 7_200_000, 21_600_000, 43_200_000, 86_400_000),
    *(172_800_000, 345_600_000, 604_800_000, 1_209_600_000, 2_419_200_000),
)
_JITTER = 0.2


@dataclass(frozen=True)
class History:
    """What happened to a request before.

    Attributes:
        attempts: Runs of it that have failed.
        first_time: When the first of them failed, in seconds since 1970; 0 without any.
        last_time: When the last of them failed.
        deaths: Workers that have died with it in hand, since it came under suspicion; -1 if it
            never did.
    """

    attempts: int = 0
    first_time: int = 0
    last_time: int = 0
    deaths: int = -1

    @classmethod
    def of(cls, headers: Mapping[str, object]) -> History:
        """Read it from a message's headers, which anybody may have written."""
        return cls(
            attempts=_count(headers, ATTEMPTS_HEADER, 0),
            first_time=_count(headers, FIRST_TIME_HEADER, 0),
            last_time=_count(headers, LAST_TIME_HEADER, 0),
            deaths=_count(headers, DEATHS_HEADER, -1),
        )

    @property
    def headers(self) -> dict[str, object]:
        """The headers that say all this to whoever gets the message next."""
        headers: dict[str, object] = {}
        if self.attempts:
            headers[ATTEMPTS_HEADER] = self.attempts
            headers[FIRST_TIME_HEADER] = self.first_time
            headers[LAST_TIME_HEADER] = self.last_time
        if self.deaths >= 0:
            headers[DEATHS_HEADER] = self.deaths
        return headers

    def after_failure(self) -> History:
        """Return it with one more failed run; as that came to its end, no suspicion is left."""
        now = int(time.time())
        return History(self.attempts + 1, self.first_time or now, now)

    def after_death(self) -> History:
        """Return it with one more worker that died."""
        return History(self.attempts, self.first_time, self.last_time, self.deaths + 1)


class Again(NamedTuple):
    """Another try.

    Attributes:
        history: What the message is to say of itself.
        delay: Seconds before it.
    """

    history: History
    delay: float


class Parked(NamedTuple):
    """No other try.

    Attributes:
        history: What the message is to say of itself.
        reason: One word for it, to filter by.
    """

    history: History
    reason: str


class RetryPolicy:
    """Says what becomes of a failed request.

    Args:
        attempts: Runs before a request is parked, at least 1.
        delays: Seconds before the second run, the third, and so on; the last is repeated.
        deaths: Workers that may die with a request under suspicion before it is parked.
    """

    def __init__(self, *, attempts: int, delays: tuple[float, ...], deaths: int) -> None:
        self._attempts = attempts
        self._delays = delays
        self._deaths = deaths

    @property
    def waits(self) -> list[int]:
        """The waits, in milliseconds, whose queues will be needed."""
        needed = self._delays[: max(0, self._attempts - 1)]
        return sorted({wait_of(delay) for delay in needed})

    def after_failure(self, history: History, failure: Failure) -> Again | Parked:
        """Decide after a run has failed."""
        history = history.after_failure()
        if failure.reason != "failed":
            return Parked(history, failure.reason)
        if history.attempts >= self._attempts:
            return Parked(history, "failed")
        if failure.after is not None:
            return Again(history, failure.after)
        delay = self._delays[min(history.attempts, len(self._delays)) - 1]
        # What failed together is not to come back together.
        return Again(history, delay * random.uniform(1 - _JITTER, 1))  # noqa: S311  # no secret

    def after_death(self, history: History) -> Again | Parked:
        """Decide after a worker has died with a message under suspicion in hand."""
        history = history.after_death()
        if history.deaths >= self._deaths:
            return Parked(history, "worker-died")
        return Again(history, 0.0)


def wait_of(delay: float) -> int:
    """Return the milliseconds of the shortest wait that is not under ``delay`` seconds.

    A longer one than there is becomes the longest, four weeks.
    """
    milliseconds = math.ceil(min(delay * 1_000, _WAITS[-1]))
    return next(wait for wait in _WAITS if wait >= milliseconds)


def _count(headers: Mapping[str, object], name: str, default: int) -> int:
    value = headers.get(name)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 2**53 else default  # type: ignore[operator,return-value]
