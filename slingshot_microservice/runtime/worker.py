"""A thread that processes one request after another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..broker.protocol import Batch, Broker, Failure
from ..errors import SlingshotError

__all__ = ["Worker"]

_log = logging.getLogger(__name__)


class Worker:
    """Takes deliveries from the broker until there are no more.

    Args:
        name: What the thread is called.
        broker: Where deliveries come from.
        run: Takes one delivery (epoch, tag, id) through its steps.
        on_failure: Called with the error when the worker itself has failed, which is a bug.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        run: Callable[[int, int, int], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._broker = broker
        self._run = run
        self._on_failure = on_failure
        self._stopping = False
        # A daemon, so that a request that never ends cannot keep the program from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further request; what was received and not begun is handed back."""
        self._stopping = True

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the end; return whether it has come."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while (batch := self._broker.receive()) is not None:
                self._work_on(batch)
        except BaseException as error:  # noqa: BLE001  # reported: a silent thread is worse
            _log.critical("the worker has died: %r", error, exc_info=True)
            self._on_failure(error)

    def _work_on(self, batch: Batch) -> None:
        epoch = batch.epoch
        for tag, request, _ in batch.deliveries:
            if self._stopping:
                self._broker.hand_back(epoch, tag, request)
            elif self._broker.begin(epoch, tag, request):
                self._work_on_one(epoch, tag, request)

    def _work_on_one(self, epoch: int, tag: int, request: int) -> None:
        try:
            self._run(epoch, tag, request)
        except BaseException as error:  # noqa: BLE001  # even SystemExit must not lose the id
            _log_failure(request, error)
            failure = Failure("failed", type(error).__name__, _describe(error))
            self._broker.fail(epoch, tag, request, failure)


def _log_failure(request: int, error: BaseException) -> None:
    """Say what failed: ours in one line, the user's with its stack."""
    ours = isinstance(error, SlingshotError)
    text = str(error) if ours else _describe(error)
    _log.error("request %d failed: %s", request, text, exc_info=None if ours else error)


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as unprintable:  # noqa: BLE001  # the error is the user's, and so is its text
        return f"{type(error).__name__}, whose text fails: {type(unprintable).__name__}"
