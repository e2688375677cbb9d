"""Runs fleets, which are several processes each: hands them ids, and watches from outside.

A fleet starts on an empty queue, and has worked before anything is measured: its consumers are
registered, its connections open, its prefetch found. Then all of its processes are stopped, as by
Ctrl-Z, while its queue is filled, and time runs from the moment when they go on to the last output.
So nobody is measured while ids are still being published, and all processes begin at once.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker

from .broker import FIRST_ID, RabbitMQNode, ServerProcess, wait_for
from .contestants.fleet import Fleet
from .contestants.work import Assignment
from .usage import Usage, look

__all__ = ["Gauge", "RunningFleet", "Window", "broker_process", "fleet_process", "queues"]

_ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 60.0
_PATIENCE_SECONDS = 180.0
_SETTLED_SECONDS = 10.0
_WARM_IDS = 4  # for everyone who works at a time, in the first batch
_WARM_GROWTH = 4
_WARM_SECONDS = 0.4
_DRAMATIQ_SUFFIXES = ("", ".DQ", ".XQ")


@dataclass(frozen=True)
class Window:
    """What was seen between the moment when a fleet may begin and its last output.

    Attributes:
        ids: How many there were.
        seconds: How long that took.
        cpu: Seconds of CPU of the fleet, user and system, of all of its processes.
        broker_cpu: RabbitMQ's.
        busy: The share of all cores that was busy, with whatever it was.
    """

    ids: int
    seconds: float
    cpu: float
    broker_cpu: float
    busy: float

    @property
    def rate(self) -> float:
        """Ids a second."""
        return self.ids / self.seconds

    @property
    def microseconds(self) -> float:
        """The fleet's CPU time of one id."""
        return self.cpu / self.ids * 1e6

    @property
    def broker_microseconds(self) -> float:
        """RabbitMQ's CPU time of one id."""
        return self.broker_cpu / self.ids * 1e6


class Gauge:
    """Counts messages and consumers, over a connection of its own that is soon closed."""

    def __init__(self, node: RabbitMQNode) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(node.url))
        self._channel = self._connection.channel()

    def __enter__(self) -> Gauge:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def messages(self, queue: str) -> int:
        """Return how many messages wait in a queue; none if there is no such queue."""
        answer = self._look(queue)
        return 0 if answer is None else int(answer.message_count)

    def consumers(self, queue: str) -> int:
        """Return how many consumers a queue has; none if there is no such queue."""
        answer = self._look(queue)
        return 0 if answer is None else int(answer.consumer_count)

    def _look(self, queue: str) -> Any:
        try:
            return self._channel.queue_declare(queue, passive=True).method
        except ChannelClosedByBroker:
            self._channel = self._connection.channel()
            return None


class RunningFleet:
    """A fleet that runs, with two queues of its own.

    Args:
        node: The broker.
        broker: Its process id.
        fleet: Whose processes.
        assignment: What they do.
    """

    def __init__(
        self, node: RabbitMQNode, broker: int, fleet: Fleet, assignment: Assignment
    ) -> None:
        self._node = node
        self._broker = broker
        self._fleet = fleet
        self._assignment = assignment
        self._stack = ExitStack()
        self._process: ServerProcess
        self.sent = 0

    def __enter__(self) -> RunningFleet:
        with self._stack:
            self._stack.enter_context(queues(self._node, self._fleet, self._assignment))
            self._process = self._stack.enter_context(fleet_process(self._fleet, self._assignment))
            inbound, count = self._assignment.inbound, self._assignment.processes
            with Gauge(self._node) as gauge:
                self._process.wait_until(lambda: gauge.consumers(inbound) == count, _START_SECONDS)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(exc_type, exc, traceback)

    def warm_up(self) -> float:
        """Let it work until it has found its pace; return that, in ids a second."""
        count = _WARM_IDS * self._assignment.processes * self._assignment.at_once
        self.pass_through(count)  # opens what is opened when it is first needed
        while (window := self.pass_through(count)).seconds < _WARM_SECONDS:
            count *= _WARM_GROWTH
        return window.rate

    def watch(self, count: int, seconds: float) -> Window:
        """Hand it ids at once, more and more until the last comes out after half of the time."""
        while (window := self.pass_through(max(1, count))).seconds < seconds / 2:
            count *= 2
        return window

    def pass_through(self, count: int) -> Window:
        """Hand it so many ids at once, and wait until all are in its outbound queue.

        Raises:
            RuntimeError: They never were, or others than these; the error has its last words.
        """
        outbound = self._assignment.outbound
        ids = range(FIRST_ID + self.sent, FIRST_ID + self.sent + count)
        self.sent += count
        bodies = [self._fleet.body(self._assignment, id) for id in ids]
        with Gauge(self._node) as gauge:
            self._process.signal_all(signal.SIGSTOP)
            try:
                self._node.publish(self._assignment.inbound, bodies)
                before, began = self._look(), time.perf_counter()
            finally:
                self._process.signal_all(signal.SIGCONT)
            self._wait(lambda: gauge.messages(outbound) >= count)
            seconds, used = time.perf_counter() - began, self._look().since(before)
        self._check(ids)
        busy = used.busy / used.all if used.all else 0.0
        return Window(count, seconds, used.fleet, used.broker, busy)

    def _look(self) -> Usage:
        return look(self._process.pid, self._broker)

    def _wait(self, done: Callable[[], bool]) -> None:
        try:
            self._process.wait_until(done, _PATIENCE_SECONDS)
        except RuntimeError as error:
            raise RuntimeError(f"{self._fleet.name} did not do all of its work: {error}") from None

    def _check(self, ids: Sequence[int]) -> None:
        outbound = self._assignment.outbound
        came = sorted(map(self._fleet.id_of, self._node.drain(outbound, len(ids))))
        if came != list(ids) or self._node.depth(outbound):
            raise RuntimeError(f"{self._fleet.name} has put out other ids than it was sent")


@contextmanager
def fleet_process(fleet: Fleet, assignment: Assignment) -> Iterator[ServerProcess]:
    """Start a fleet; in the end stop it as a service manager would, and see it end well."""
    with tempfile.TemporaryDirectory(prefix="slingshot-bench-") as name:
        folder = Path(name)
        ours = "SLINGSHOT_"  # options of whoever measures
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        environment = {
            **inherited,
            "PYTHONPATH": str(_ROOT),
            "SLINGSHOT_LOG_LEVEL": "WARNING",
            **assignment.environment(),
            **fleet.prepare(assignment, folder),
        }
        process = ServerProcess(
            fleet.command(assignment), folder / "fleet.log", environment=environment
        )
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        process.end(signal.SIGTERM)
        if process.exit_code:
            raise RuntimeError(
                f"{fleet.name} ended with {process.exit_code}:\n{process.log_tail()}"
            )


@contextmanager
def queues(node: RabbitMQNode, fleet: Fleet, assignment: Assignment) -> Iterator[None]:
    """Have two empty queues; in the end see that none of the ids was left, and remove them.

    Raises:
        RuntimeError: Some were.
    """
    both = assignment.inbound, assignment.outbound
    _delete(node, both)
    if not fleet.declares:
        for queue in both:
            node.declare(queue)
    yield
    try:
        what = f"{assignment.inbound} to have nothing left"
        wait_for(lambda: node.depth(assignment.inbound) == 0, _SETTLED_SECONDS, what)
    except TimeoutError as error:
        raise RuntimeError(f"{fleet.name} did not do all of its work: {error}") from None
    _delete(node, both)


def broker_process(node: RabbitMQNode) -> int:
    """Return RabbitMQ's process id."""
    return int(node.control("eval", "list_to_integer(os:getpid())."))


def _delete(node: RabbitMQNode, names: Sequence[str]) -> None:
    for queue in names:
        for suffix in _DRAMATIQ_SUFFIXES:
            node.delete(queue + suffix)
