"""A thread that processes one request after another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..broker.protocol import Broker
from ..errors import Reject, Retry
from .gate import Gate
from .outcome import failure_of, log_excuse, log_failure

__all__ = ["Worker"]

_log = logging.getLogger(__name__)


class Worker:
    """Takes deliveries from the broker until there are no more.

    Args:
        name: What the thread is called.
        broker: Where deliveries come from.
        run: Takes one delivery (epoch, tag, id) through its steps.
        gate: Says when no request should be begun; shared by all workers of a service.
        on_failure: Called with the error when the worker itself has failed, which is a bug.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        run: Callable[[int, int, int], None],
        gate: Gate,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._broker = broker
        self._run = run
        self._gate = gate
        self._on_failure = on_failure
        self._stopping = False
        self._started = False  # the thread has an ident a little before it is alive
        # A daemon, so that a request that never ends cannot keep the program from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._started = True

    def stop(self) -> None:
        """Begin no further request; what was not begun is handed back."""
        self._stopping = True
        self._gate.stop()

    def has_died(self) -> bool:
        """Whether it works no more, although nobody has stopped it."""
        return self._started and not self._thread.is_alive() and not self._stopping

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the end; return whether it has come."""
        if self._started:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            receive, run, gate = self._broker.receiver().receive, self._run, self._gate
            while (work := receive()) is not None:
                epoch, (tag, request, _) = work
                if self._stopping or gate.is_closed:
                    self._broker.hand_back(epoch, tag, request)
                    continue
                try:
                    run(epoch, tag, request)
                except BaseException as error:  # noqa: BLE001  # even SystemExit must not lose the id
                    self._settle(epoch, tag, request, error)
                else:
                    gate.succeeded(request)
        except BaseException as error:  # noqa: BLE001  # reported: a silent thread is worse
            _log.critical("the worker has died: %r", error, exc_info=True)
            self._on_failure(error)

    def _settle(self, epoch: int, tag: int, request: int, error: BaseException) -> None:
        """See to a request that failed: another try that counts or does not, or the end."""
        said_so = isinstance(error, (Reject, Retry))
        if not said_so and self._gate.excuses(request, error):
            log_excuse(request, error)
            self._broker.hand_back(epoch, tag, request)
        else:
            failure = failure_of(error)
            log_failure(request, error, failure)
            self._broker.fail(epoch, tag, request, failure)
