"""Taking no work while something that all of it needs is away."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ..backoff import pauses
from ..broker.protocol import Broker

__all__ = ["Gate", "Need"]

_log = logging.getLogger(__name__)

_EXCUSES = 2  # of one request in a row, while what it finds away is there after all
_REMEMBERED = 10_000  # requests; the longest forgotten gets its excuses anew


class Need(NamedTuple):
    """Something without which no request can be processed.

    Attributes:
        name: What the log calls it.
        is_missed_in: Tells whether an error says that it is away.
        probe: Asks it for an answer, given such an error; raises while there is none.
    """

    name: str
    is_missed_in: Callable[[BaseException], bool]
    probe: Callable[[BaseException], object]


class Gate:
    """Lets requests through while all that they need is there. Shared by a service's workers.

    A request that finds a need away is excused: its run does not count. If the need does not
    answer a probe either, the gate closes until it does: the broker pauses, and one thread probes
    with growing pauses. If it does answer, the request is tried again at once. It is excused so
    only twice in a row, because what no other request finds away is perhaps never there for it.

    Args:
        name: What the probing thread is called after.
        broker: What takes no messages while the gate is closed.
        needs: What requests need.
        first_pause: Seconds before the first probe of a closed gate; doubles.
        longest_pause: Seconds that this grows to.
        on_failure: Called with the error when probing itself has failed, which is a bug.

    Attributes:
        is_closed: Whether something is away, so that no request should be begun.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        needs: Sequence[Need],
        *,
        first_pause: float,
        longest_pause: float,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._name = name
        self._broker = broker
        self._needs = needs
        self._pauses = (first_pause, longest_pause)
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._closed: dict[str, float] = {}  # since when, by the name of what is away
        self.is_closed = False  # kept beside it, because every request asks
        self._probing = {need.name: threading.Lock() for need in needs}
        self._stopped = threading.Event()
        self._excused: OrderedDict[int, int] = OrderedDict()  # how often in a row, by request
        self._excuses_in_a_row: Iterator[float] | None = None

    def excuses(self, request: int, error: BaseException) -> bool:
        """Tell whether ``request`` failed because something is away; if so, see that it pauses.

        When this returns true the broker takes no more messages, or may go on at once.
        """
        for cause in _chain(error):
            for need in self._needs:
                if need.is_missed_in(cause):
                    return self._is_away(need, cause, request) or self._excuse(need, request)
        return False

    def succeeded(self, request: int) -> None:
        """Note that ``request`` was processed."""
        if self._excuses_in_a_row is not None or request in self._excused:
            with self._lock:
                self._excuses_in_a_row = None
                self._excused.pop(request, None)

    def stop(self) -> None:
        """End the probing."""
        self._stopped.set()

    def _is_away(self, need: Need, error: BaseException, request: int) -> bool:
        """Probe a need, and close the gate if it is away."""
        with self._probing[need.name]:
            if need.name not in self._closed:
                trouble = _probe(need, error)
                if trouble is None:
                    return False
                self._close(need, error, trouble)
        with self._lock:
            self._excused.pop(request, None)
        return True

    def _excuse(self, need: Need, request: int) -> bool:
        """Excuse a request that found away what is there, unless it was excused too often."""
        with self._lock:
            times = self._excused.pop(request, 0) + 1
            self._excused[request] = times
            if len(self._excused) > _REMEMBERED:
                self._excused.popitem(last=False)
            pause = self._pause_after_excuse()
        self._stopped.wait(pause)
        return times <= _EXCUSES

    def _pause_after_excuse(self) -> float:
        """Return 0 for the first in a row; where no request succeeds any more, slow down."""
        if self._excuses_in_a_row is None:
            self._excuses_in_a_row = pauses(*self._pauses)
            return 0
        return next(self._excuses_in_a_row)

    def _close(self, need: Need, error: BaseException, trouble: Exception) -> None:
        _log.warning("the %s is away; no work is taken until it is back: %s", need.name, trouble)
        # Paused first: what is handed back must not be delivered again at once.
        self._broker.pause(_reason(need))
        with self._lock:
            self._closed[need.name] = time.monotonic()
            self.is_closed = True
        threading.Thread(
            target=self._keep, args=(need, error, trouble), name=f"{self._name}-gate", daemon=True
        ).start()

    def _open(self, need: Need) -> None:
        with self._probing[need.name]:  # so that it is not closed again before the broker goes on
            with self._lock:
                seconds = time.monotonic() - self._closed.pop(need.name)
                self.is_closed = bool(self._closed)
            _log.warning("the %s is back after %.1f s; work is taken again", need.name, seconds)
            self._broker.resume(_reason(need))

    # What follows runs on the probing thread.

    def _keep(self, need: Need, error: BaseException, trouble: Exception) -> None:
        try:
            said = str(trouble)
            for pause in pauses(*self._pauses):
                if self._stopped.wait(pause):
                    return
                now = _probe(need, error)
                if now is None:
                    break
                if str(now) != said:
                    said = str(now)
                    _log.warning("the %s is still away: %s", need.name, said)
            self._open(need)
        except BaseException as failure:  # noqa: BLE001  # reported: a silent thread is worse
            _log.critical("probing the %s has failed: %r", need.name, failure, exc_info=True)
            self._on_failure(failure)


def _reason(need: Need) -> str:
    return f"the {need.name} is away"


def _probe(need: Need, error: BaseException) -> Exception | None:
    """Return what keeps a need from answering, or None."""
    try:
        need.probe(error)
    except Exception as trouble:  # noqa: BLE001  # whatever it is, there was no answer
        return trouble
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it was raised from or while handling, and the members of groups."""
    seen: set[int] = set()
    left = [error]
    while left:
        error = left.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        if error.__cause__ is not None:
            left.append(error.__cause__)
        elif error.__context__ is not None and not error.__suppress_context__:
            left.append(error.__context__)
        members = None
        with suppress(Exception):  # a user's error may have a property of this name that fails
            members = getattr(error, "exceptions", None)
        if isinstance(members, tuple):  # Python 3.10 knows no type of groups
            left += [each for each in members if isinstance(each, BaseException)]
