"""Which requests this process has in hand, and which it had."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..hotpath import Delivery, Publish
from .protocol import Failure

__all__ = ["InHand", "LateResults", "RecentIds"]


class _Arrival(NamedTuple):
    time: float
    last_tag: int
    deliveries: Sequence[Delivery]


class InHand:
    """What came in and is not settled, as it came, with the time. I/O thread only."""

    def __init__(self) -> None:
        self._arrivals: deque[_Arrival] = deque()

    def add(self, last_tag: int, deliveries: Sequence[Delivery]) -> None:
        """Note that ``deliveries``, of tags up to ``last_tag``, came in now."""
        self._arrivals.append(_Arrival(time.monotonic(), last_tag, deliveries))

    def drop(self, oldest_open: int) -> None:
        """Forget what is settled: everything before that delivery tag, or, with 0, all."""
        arrivals = self._arrivals
        while arrivals and (not oldest_open or arrivals[0].last_tag < oldest_open):
            arrivals.popleft()

    def clear(self) -> list[int]:
        """Forget everything, and return the ids of it."""
        ids = [id for arrival in self._arrivals for _, id, _ in arrival.deliveries]
        self._arrivals.clear()
        return ids

    def find(self, tag: int) -> int | None:
        """Return the id of a delivery that is open."""
        found = (d[1] for arrival in self._arrivals for d in arrival.deliveries if d[0] == tag)
        return next(found, None)

    @property
    def span(self) -> int:
        """How many deliveries have come in since the oldest that is in hand, with its batch."""
        arrivals = self._arrivals
        return arrivals[-1].last_tag - arrivals[0].deliveries[0][0] + 1 if arrivals else 0

    @property
    def seconds(self) -> float:
        """How long the oldest has been in hand."""
        return time.monotonic() - self._arrivals[0].time if self._arrivals else 0.0


class RecentIds:
    """Ids that this process had in hand and gave back, or lost with a channel.

    It is alive: so when they come again, no worker has died of them.

    Args:
        limit: Ids to remember; the longest known is forgotten first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ids: OrderedDict[int, None] = OrderedDict()

    def __contains__(self, id: int) -> bool:
        return id in self._ids

    def add(self, ids: Iterable[int]) -> None:
        """Remember some more."""
        for id in ids:
            self._ids[id] = None
            self._ids.move_to_end(id)
        while len(self._ids) > self._limit:
            self._ids.popitem(last=False)


class LateResults:
    """What came of runs that outlasted their channel, until their messages come again.

    That is at once: the message is waiting already, or goes to the first who consumes. What does
    not come soon was given to somebody else, and another message may have the same id.

    Args:
        limit: Outputs to keep; a run that brings more than fit is repeated.
        seconds: For how long to keep them.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._count = 0
        self._results: dict[int, tuple[float, Sequence[Publish] | Failure]] = {}
        self._lock = threading.Lock()

    def put(self, id: int, publishes: Sequence[Publish] | Failure) -> None:
        """Keep what came of a run of ``id``, outputs or a failure; of two runs the later's."""
        with self._lock:
            self._drop(id)
            self._drop_old()
            if self._count + len(publishes) + 1 <= self._limit:
                self._count += len(publishes) + 1
                self._results[id] = time.monotonic(), publishes

    def take(self, id: int) -> Sequence[Publish] | Failure | None:
        """Return what came of a run of ``id``, once; None if there was none lately."""
        if not self._results:
            return None
        with self._lock:
            self._drop_old()
            return self._drop(id)

    def _drop(self, id: int) -> Sequence[Publish] | Failure | None:
        _, publishes = self._results.pop(id, (0.0, None))
        if publishes is not None:
            self._count -= len(publishes) + 1
        return publishes

    def _drop_old(self) -> None:
        oldest = time.monotonic() - self._seconds
        for id, (since, _) in list(self._results.items()):  # in the order in which they were put
            if since >= oldest:
                break
            self._drop(id)
