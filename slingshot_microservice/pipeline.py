"""Several services in one process, on one sys-map."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from .broker.memory import MemoryQueues
from .errors import UsageError
from .microservice import Microservice
from .sysmap.models import MemoryBrokerSettings, SystemMap

if TYPE_CHECKING:
    from .runtime.service import Service

__all__ = ["Pipeline"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1  # how soon somebody who waits for idle queues learns of a failed service


class Pipeline:
    """Runs services together; they share one sys-map, and one set of queues if those are embedded.

    As a context manager it starts the services and stops them in the end. What the services'
    own ``config_host`` says is not asked.

    Args:
        services: The services; each name once.
        system_map: The configuration of all of them. Closing it is up to the caller.

    Attributes:
        queues: The queues, if the sys-map's broker is ``memory``; else they stay empty.

    Raises:
        UsageError: There is no service, or two have the same name.
    """

    def __init__(self, services: Sequence[Microservice], system_map: SystemMap) -> None:
        _check_names([service.name for service in services])
        self.queues = MemoryQueues()
        self._definitions = [service.definition for service in services]
        self._system_map = system_map
        self._opened: list[Service] = []
        self._started = False
        self._stop = threading.Event()
        self._failure: BaseException | None = None

    def open(self) -> None:
        """Connect every service to what it needs, and run its ``startup``.

        Raises:
            ConfigurationError: The sys-map cannot be used, or a secret cannot be had.
            BrokerError: RabbitMQ refused, or could not be reached in time.
            DatabaseError: The database likewise.
            BaseException: Whatever a ``startup`` raises. The services that were open are stopped.
        """
        from .wiring import build_service

        try:
            for definition in self._definitions:
                service = build_service(definition, self._system_map, self.queues, self._fail)
                service.open()
                self._opened.append(service)
        except BaseException:
            self._stop_quietly()
            raise

    def start(self) -> None:
        """Let every service take requests; `open` them first if that was not done.

        Raises:
            BrokerError: An inbound queue cannot be consumed. All services are stopped.
            BaseException: As `open`.
        """
        if not self._opened:
            self.open()
        try:
            for service in self._opened:
                service.start()
        except BaseException:
            self._stop_quietly()
            raise
        self._started = True

    def stop(self) -> None:
        """Stop all services at the same time; those that are stopped already do not mind.

        Every one is stopped, whatever becomes of the others.

        Raises:
            DrainTimeoutError: A request was still running after its service's ``drain_timeout``.
            BaseException: The error of a service that failed while it ran. Of several errors
                the first is raised, and the others are logged.
        """
        errors = self._stop_all()
        failure, self._failure = self._failure, None
        if failure is not None:
            errors.insert(0, failure)
        _log_errors(errors[1:])
        if errors:
            raise errors[0]

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop`` is set or a service fails, then stop all.

        Args:
            stop: May be set by any thread or by a signal handler; set here when a service fails.

        Raises:
            BaseException: As `start` and `stop`.
        """
        if not self._started:
            self.start()
        # In this order, so that a failure at this very moment is seen either here or there.
        self._stop = stop
        try:
            if self._failure is None:
                stop.wait()
        except BaseException:
            self._stop_quietly()
            raise
        self.stop()

    def wait_until_idle(self, timeout: float | None = None) -> bool:
        """Wait until no service has a request in its queue or in hand.

        Args:
            timeout: Seconds to wait; ``None`` for as long as it takes.

        Returns:
            Whether that was reached. A request that keeps failing is never done with.

        Raises:
            UsageError: The queues are RabbitMQ's, which others may fill at any time.
            BaseException: The error of a service that failed meanwhile. All are stopped.
        """
        if not isinstance(self._system_map.broker(), MemoryBrokerSettings):
            raise UsageError(
                'only queues in memory can be waited for: this needs rabbitmq = "memory" in '
                f"{self._system_map.source}"
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._failure is None:
            left = _LOOK_SECONDS if deadline is None else deadline - time.monotonic()
            if self.queues.wait_until_idle(max(0.0, min(left, _LOOK_SECONDS))):
                return True
            if left <= 0:
                return False
        self.stop()
        raise AssertionError("stop() raises the failure")

    def __enter__(self) -> Pipeline:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            self.stop()
        else:
            self._stop_quietly()

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._stop.set()

    def _stop_quietly(self) -> None:
        _log_errors(self._stop_all())

    def _stop_all(self) -> list[BaseException]:
        """Stop what is open, and return the errors of that."""
        services, self._opened = self._opened, []
        self._started = False
        errors: list[BaseException] = []
        # Daemons, so that a second Ctrl-C need not wait until what runs has been drained.
        threads = [
            threading.Thread(target=_stop_one, args=(service, errors), daemon=True)
            for service in services
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return errors


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise UsageError("a pipeline needs at least one service")
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{names.count(name)} services are named {name!r}; give each a name of its own"
            )


def _stop_one(service: Service, errors: list[BaseException]) -> None:
    try:
        service.stop()
    except BaseException as error:  # noqa: BLE001  # raised or logged by whoever stops
        errors.append(error)


def _log_errors(errors: Iterable[BaseException]) -> None:
    for error in errors:
        _log.error("%s", error or repr(error))
