"""How long a message waits that can only be given back to its queue."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from ..backoff import pauses

__all__ = ["RequeuePauses"]

_REMEMBERED = 10_000  # ids; the longest forgotten starts over with a short pause


class RequeuePauses:
    """Pauses that grow with every failure, of one id and of all in a row.

    A request that fails on its own must not spin, and when everything fails (the database is
    away), a full queue must not be run through at full speed. Used by one thread at a time.

    Args:
        first: Seconds of the first pause.
        limit: Seconds that pauses grow to.
    """

    def __init__(self, first: float, limit: float) -> None:
        self._first = first
        self._limit = limit
        self._by_request: OrderedDict[int, Iterator[float]] = OrderedDict()
        self._in_a_row: Iterator[float] | None = None

    def failed(self, request: int) -> float:
        """Return the seconds that ``request``, which has just failed, is to wait."""
        own = self._by_request.pop(request, None) or self._new()
        self._by_request[request] = own
        if len(self._by_request) > _REMEMBERED:
            self._by_request.popitem(last=False)
        if self._in_a_row is None:
            self._in_a_row = self._new()
        return max(next(own), next(self._in_a_row))

    def relax(self) -> None:
        """Note that something has succeeded."""
        self._in_a_row = None

    def _new(self) -> Iterator[float]:
        return pauses(self._first, self._limit)
