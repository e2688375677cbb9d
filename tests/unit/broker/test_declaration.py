"""Declaring queues at a broker that refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from slingshot_microservice.broker.declaration import QueueDeclaration
from slingshot_microservice.broker.queues import QueueSpec
from slingshot_microservice.errors import BrokerError

MANY = 1_000  # steps after which it never ends


class RefusingConnection:
    """Has no queues, and makes those whose arguments it takes."""

    is_open = True

    def __init__(self, takes: Callable[[dict[str, Any]], bool]) -> None:
        self.takes = takes
        self.made: list[dict[str, Any]] = []
        self.pending: list[Callable[[], None]] = []

    def channel(self, *, on_open_callback: Callable[[Any], None]) -> None:
        self.pending.append(lambda: on_open_callback(RefusingChannel(self)))


class RefusingChannel:
    """One channel of it."""

    is_open = True

    def __init__(self, connection: RefusingConnection) -> None:
        self._connection = connection
        self._on_close: Callable[[Any, Exception], None]

    def add_on_close_callback(self, callback: Callable[[Any, Exception], None]) -> None:
        self._on_close = callback

    def close(self) -> None:
        self.is_open = False

    def queue_declare(
        self, _queue: str, *, passive: bool, durable: bool, arguments: Any, callback: Any
    ) -> None:
        connection = self._connection
        if not passive and connection.takes(arguments):
            connection.made.append(arguments)
            connection.pending.append(lambda: callback(None))
            return
        self.is_open = False
        code, text = (404, "NOT_FOUND") if passive else (406, "queue limit in vhost is reached")
        reason = ChannelClosedByBroker(code, text)
        connection.pending.append(lambda: self._on_close(self, reason))


@pytest.fixture
def declare() -> Callable[..., tuple[RefusingConnection, list[str]]]:
    def run(
        spec: QueueSpec, takes: Callable[[dict[str, Any]], bool]
    ) -> tuple[RefusingConnection, list[str]]:
        connection: Any = RefusingConnection(takes)
        outcome: list[str] = []

        def refused(_queue: str, error: BrokerError) -> None:
            outcome.append(str(error))

        QueueDeclaration(connection, [spec], lambda: outcome.append("done"), refused)
        for _ in range(MANY):
            if not connection.pending:
                break
            connection.pending.pop(0)()
        assert not connection.pending, "it never ends"
        return connection, outcome

    return run


def test_the_first_arguments_that_are_taken_are_used(declare: Any) -> None:
    spec = QueueSpec("q", ({"new": 1}, {"old": 1}, {}))
    connection, outcome = declare(spec, lambda arguments: "new" not in arguments)
    assert (connection.made, outcome) == ([{"old": 1}], ["done"])


def test_a_queue_that_cannot_be_made_in_any_way_is_an_error(declare: Any) -> None:
    _, outcome = declare(QueueSpec("q", ({"new": 1}, {})), lambda _arguments: False)
    assert outcome == ["queue 'q' cannot be had: 406 queue limit in vhost is reached"]
