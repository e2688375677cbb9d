"""One running service: opened, started and stopped in the right order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..backoff import pauses
from ..broker.protocol import Broker
from ..errors import DatabaseUnavailableError, DrainTimeoutError
from ..files import FileAccess, ObjectStore
from ..options import Options
from ..typing import ProcessFn, StartupFn
from .gate import Gate
from .needs import needs_of
from .request import RequestRunner, Routes
from .worker import Worker

if TYPE_CHECKING:
    from ..database import Database, DatabaseSession

__all__ = ["Definition", "Service", "Surroundings"]

_log = logging.getLogger(__name__)

_WORKER_END_SECONDS = 5.0
_STARTING = "starting"
_STOPPING = "stopping"


@dataclass(frozen=True)
class Definition:
    """What the user said of a service.

    Attributes:
        name: The name that the configuration knows it by.
        process: Processes one request.
        startup: Runs once before the first request.
        options: Its tunables.
    """

    name: str
    process: ProcessFn
    startup: StartupFn | None
    options: Options


@dataclass(frozen=True)
class Surroundings:
    """What the configuration gives a service to work with.

    Attributes:
        broker: Where ids come from and go to.
        routes: Which queues a case's outputs go to.
        database: Where connections come from.
        store: Where files come from and go to.
        resolve_bucket: Turns a key of the configuration into a bucket's name.
        check_configuration: Asks the configuration for an answer; raises when there is none.
    """

    broker: Broker
    routes: Routes
    database: Database
    store: ObjectStore
    resolve_bucket: Callable[[str], str]
    check_configuration: Callable[[], object]


class Service:
    """A service with everything that it needs.

    Args:
        definition: What the user said.
        surroundings: What the configuration said.
        on_failure: Called, on any thread, when the service cannot go on.
    """

    def __init__(
        self,
        definition: Definition,
        surroundings: Surroundings,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._definition = definition
        self._around = surroundings
        name, threads = definition.name, definition.options.threads
        gate = self._gate(on_failure)
        self._sessions = [surroundings.database.session() for _ in range(threads)]
        self._runners = [self._runner(session) for session in self._sessions]
        self._workers = [
            Worker(
                name if threads == 1 else f"{name}-{number}",
                surroundings.broker,
                runner.run,
                gate,
                on_failure,
            )
            for number, runner in enumerate(self._runners, 1)
        ]
        self._stage: str | None = _STARTING  # None while requests are taken

    def open(self, sleep: Callable[[float], object] = time.sleep) -> None:
        """Reach everything that is needed, and run ``startup``.

        Args:
            sleep: Waits between attempts, in seconds. What it raises ends them.

        Raises:
            DatabaseError: PostgreSQL refused, or could not be reached in time.
            BrokerError: RabbitMQ refused, or could not be reached in time.
            BaseException: Whatever ``startup`` raises.
        """
        with self._abandoned_on_error():
            self._wait_for_database(sleep)
            self._around.broker.open(sleep)
            if self._definition.startup is not None:
                self._runners[0].run_startup(self._definition.startup)

    def start(self) -> None:
        """Begin to take requests.

        Raises:
            BrokerError: The inbound queue cannot be consumed.
        """
        with self._abandoned_on_error():
            for worker in self._workers:
                worker.start()
            self._around.broker.consume()
            self._stage = None

    def stop(self) -> None:
        """Take no more requests, finish what runs, and let go of everything.

        Raises:
            DrainTimeoutError: A request was still running after ``drain_timeout``. Its message
                goes back to the queue, like all that is not settled.
        """
        seconds = self._definition.options.drain_timeout
        deadline = time.monotonic() + seconds
        self._stage = _STOPPING
        self._stop_workers()
        drained = self._join_workers(seconds)
        settled = self._around.broker.close(max(0.0, deadline - time.monotonic()))
        if drained:
            self._let_go()
        else:
            raise DrainTimeoutError(
                f"a request of {self._definition.name!r} was still running {seconds:.0f} s after "
                "the stop; it is handed back to its queue (option drain_timeout)"
            )
        if not settled:
            _log.warning("stopped before every message was settled: those are delivered again")

    def trouble(self) -> str | None:
        """Say in one line why no requests are taken; None while they are. Any thread may ask."""
        return self._stage or self._around.broker.trouble()

    def fault(self) -> str | None:
        """Say in one line which thread has died that should live. Any thread may ask."""
        if self._stage == _STOPPING:
            return None
        if self._around.broker.has_died():
            return "the I/O thread has died"
        if any(worker.has_died() for worker in self._workers):
            return "a worker has died"
        return None

    @contextmanager
    def _abandoned_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._stage = _STOPPING
            self._stop_workers()
            self._around.broker.close(0)
            self._join_workers(_WORKER_END_SECONDS)
            self._let_go()
            raise

    def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._around.broker.cancel()

    def _join_workers(self, seconds: float) -> bool:
        """Wait for the end of all workers; return whether it has come in time."""
        deadline = time.monotonic() + seconds
        return all([w.join(max(0.0, deadline - time.monotonic())) for w in self._workers])

    def _let_go(self) -> None:
        for runner in self._runners:
            runner.close()
        for session in self._sessions:
            session.close()
        self._around.database.close()
        self._around.store.close()

    def _runner(self, session: DatabaseSession) -> RequestRunner:
        around = self._around
        return RequestRunner(
            self._definition.process,
            routes=around.routes,
            access=FileAccess(around.store, around.resolve_bucket),
            session=session,
            broker=around.broker,
        )

    def _gate(self, on_failure: Callable[[BaseException], None]) -> Gate:
        around, options = self._around, self._definition.options
        return Gate(
            self._definition.name,
            around.broker,
            needs_of(around.store, around.database, around.check_configuration),
            first_pause=options.retry_pause,
            longest_pause=options.retry_pause_limit,
            on_failure=on_failure,
        )

    def _wait_for_database(self, sleep: Callable[[float], object]) -> None:
        options = self._definition.options
        deadline = time.monotonic() + options.startup_timeout
        for pause in pauses(options.reconnect_pause, options.reconnect_pause_limit):
            try:
                self._around.database.check()
                return
            except DatabaseUnavailableError as error:
                left = deadline - time.monotonic()
                if left <= pause:
                    raise
                _log.warning("%s; trying again in %.1f s", error, pause)
            sleep(pause)
