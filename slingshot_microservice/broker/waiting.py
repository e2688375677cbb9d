"""A connection to RabbitMQ for one thread that asks, and waits for the answer.

pika's own blocking connection waits for the confirm of each message before it sends the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pika

from ..errors import BrokerAuthenticationError, BrokerError, BrokerUnavailableError
from .amqp import Channel, ChannelClosedByBroker, IOLoop, Server, describe, is_refusal

__all__ = ["WaitingChannel", "WaitingConnection"]

_ANSWER_SECONDS = 60.0
_REPETITIONS = 3  # of the answer that a queue is empty and has no consumers
_PAUSE_SECONDS = 0.1
# While what is printed waits in somebody's pager, nothing is read from the connection.
_HEARTBEAT_SECONDS = 600


class WaitingConnection:
    """A connection. It is open when it is made.

    Args:
        server: Where RabbitMQ is, and who logs in. Its hosts are tried in turn, once each.
        name: What the connection is called in RabbitMQ's own listings.

    Attributes:
        place: Where RabbitMQ is, for messages.

    Raises:
        BrokerAuthenticationError: RabbitMQ does not let the user in.
        BrokerUnavailableError: RabbitMQ cannot be reached.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.place = f"RabbitMQ at {', '.join(server.hosts)}, port {server.port}"
        self._loop = IOLoop()
        self._loop.activate_poller()
        self._lost: BaseException | None = None
        self._open = False
        self._connection: pika.SelectConnection
        for host in server.hosts:
            self._connect(server, host, name)
            if self._open:
                return
        self._loop.close()
        raise self._failure(server)

    def channel(self) -> WaitingChannel:
        """Open a channel.

        Raises:
            BrokerError: The connection was lost.
        """
        opened: list[Channel] = []
        self._connection.channel(on_open_callback=opened.append)
        self.wait(lambda: opened)
        return WaitingChannel(self, opened[0])

    def wait(self, ready: Callable[[], object], seconds: float = _ANSWER_SECONDS) -> bool:
        """Serve the connection until something is ready.

        Args:
            ready: Asked again whenever something came in.
            seconds: After which to give up.

        Returns:
            Whether it is ready.

        Raises:
            BrokerUnavailableError: The connection was lost.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self._lost is not None:
                raise self.lost(self._lost)
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._poll(left)
        return True

    def lost(self, reason: BaseException) -> BrokerError:
        """Return the error of a connection that is gone."""
        return BrokerUnavailableError(
            f"the connection to {self.place}, was lost: {describe(reason)}"
        )

    def close(self) -> None:
        """Disconnect, if that has not happened already."""
        if self._connection.is_open:
            self._connection.close()
        deadline = time.monotonic() + _ANSWER_SECONDS
        while self._lost is None and time.monotonic() < deadline:
            self._poll(_ANSWER_SECONDS)
        self._loop.close()

    def _connect(self, server: Server, host: str, name: str) -> None:
        parameters = server.parameters(host, name)
        parameters.heartbeat = _HEARTBEAT_SECONDS
        parameters.blocked_connection_timeout = _ANSWER_SECONDS
        self._lost = None
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
            custom_ioloop=self._loop,
        )
        while self._lost is None and not self._open:  # pika bounds every step of it
            self._poll(_ANSWER_SECONDS)

    def _poll(self, seconds: float) -> None:
        timer = self._loop.call_later(seconds, _wake)
        self._loop.poll()
        self._loop.process_timeouts()
        self._loop.remove_timeout(timer)

    def _on_open(self, _connection: object) -> None:
        self._open = True

    def _on_lost(self, _connection: object, reason: BaseException) -> None:
        self._lost = reason

    def _failure(self, server: Server) -> BrokerError:
        assert self._lost is not None
        problem = describe(self._lost)
        if is_refusal(self._lost):
            return BrokerAuthenticationError(
                f"{self.place}, refused user {server.username!r}: {problem}; check username and "
                "pass of /rabbitmq, and the user's permissions on the vhost /"
            )
        return BrokerUnavailableError(f"{self.place}, cannot be reached: {problem}")


class WaitingChannel:
    """A channel of a `WaitingConnection`."""

    def __init__(self, connection: WaitingConnection, channel: Channel) -> None:
        self._pika = channel
        self._connection = connection
        self._closed: BaseException | None = None
        channel.add_on_close_callback(self._on_close)

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._closed is None

    @property
    def pika(self) -> Channel:
        """The channel as pika has it, for what needs no answer.

        Raises:
            ChannelClosedByBroker: The broker has refused what was asked of it.
            BrokerUnavailableError: The connection was lost.
        """
        # It may have been closed by what came in together with messages that are still looked at.
        self._raise_if_closed()
        return self._pika

    def ask(self, request: Callable[..., object], *arguments: object, **options: object) -> Any:
        """Call a method of the channel, and return the broker's answer to it.

        Args:
            request: A method of ``self.pika`` that takes a ``callback``.
            arguments: What it is called with.
            options: What it is called with by name.

        Raises:
            BrokerError: As `wait`, or there was no answer in time.
        """
        answers: list[Any] = []
        request(*arguments, **options, callback=answers.append)
        if not self.wait(lambda: answers):
            raise BrokerUnavailableError(f"{self._connection.place}, does not answer")
        return answers[0].method

    def count(self, queue: str) -> tuple[int, int]:
        """Return how many messages wait in a queue, and how many consumers it has.

        RabbitMQ answers 0 and 0 for a quorum queue that does not tell it within a quarter of a
        second (``rabbit_quorum_queue:stat/1``), so that is believed only when it is repeated.

        Raises:
            ChannelClosedByBroker: There is no such queue, or it may not be asked about.
            BrokerError: As `ask`.
        """
        found = self.ask(self.pika.queue_declare, queue, passive=True)
        for _ in range(_REPETITIONS):
            if found.message_count or found.consumer_count:
                break
            self.wait(lambda: False, _PAUSE_SECONDS)
            found = self.ask(self.pika.queue_declare, queue, passive=True)
        return found.message_count, found.consumer_count

    def wait(self, ready: Callable[[], object], seconds: float = _ANSWER_SECONDS) -> bool:
        """Serve the connection until something is ready; return whether it is after ``seconds``.

        Raises:
            ChannelClosedByBroker: The broker refused what was asked of it.
            BrokerUnavailableError: The connection was lost.
        """
        done = self._connection.wait(lambda: ready() or self._closed, seconds)
        if not ready():
            self._raise_if_closed()
        return done

    def close(self) -> None:
        """Close it, if it is open."""
        if self.is_open:
            self._pika.close()
            self._connection.wait(lambda: self._closed)

    def _raise_if_closed(self) -> None:
        if isinstance(self._closed, ChannelClosedByBroker):
            raise self._closed
        if self._closed is not None:
            raise self._connection.lost(self._closed)

    def _on_close(self, _channel: object, reason: BaseException) -> None:
        self._closed = reason


def _wake() -> None:
    """Do nothing, but have a wait for the network end."""
