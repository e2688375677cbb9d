"""The queue of the dead, for people: a small blocking client.

Services never use it. The command line looks at parked messages with it, sends them once more and
drops them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker

from ..errors import BrokerAuthenticationError, BrokerError, BrokerUnavailableError
from .amqp import Server, describe, is_refusal
from .parked_walk import ParkedWalk
from .protocol import dead_queue_name

__all__ = ["ParkedQueue"]

_log = logging.getLogger(__name__)

_NOT_FOUND = 404
_BLOCKED_SECONDS = 60
# Nothing is read from the connection while what is printed waits in somebody's pager.
_HEARTBEAT_SECONDS = 600


class ParkedQueue:
    """The messages parked beside an inbound queue.

    A context manager: it connects, and disconnects. For one thread.

    Args:
        server: Where RabbitMQ is, and who logs in.
        inbound: The name of the inbound queue.

    Attributes:
        inbound: The name of the inbound queue.
        name: The name of the queue of the dead.

    Raises:
        BrokerAuthenticationError: RabbitMQ does not let the user in.
        BrokerUnavailableError: RabbitMQ cannot be reached.
    """

    def __init__(self, server: Server, inbound: str) -> None:
        self.inbound = inbound
        self.name = dead_queue_name(inbound)
        self._server = server
        self._place = f"RabbitMQ at {', '.join(server.hosts)}, port {server.port}"
        self._connection: pika.BlockingConnection

    def __enter__(self) -> ParkedQueue:
        self._connection = self._connect()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(AMQPError):  # RabbitMQ puts back by itself what a lost connection had
            if self._connection.is_open:
                self._connection.close()

    @contextmanager
    def walk(self) -> Iterator[ParkedWalk]:
        """Walk past what is parked now.

        Raises:
            BrokerError: RabbitMQ refused, or the connection was lost.
        """
        messages, consumers = self._look(self.name) or (0, 0)
        if consumers:
            _log.warning(
                "queue %r has %d other consumers; messages in their hands are not seen here",
                self.name,
                consumers,
            )
        with self._errors(self.name):
            channel = self._connection.channel()
            with ParkedWalk(channel, self.name, self.inbound, messages) as walk:
                yield walk

    def _connect(self) -> pika.BlockingConnection:
        problem = ""
        for host in self._server.hosts:
            parameters = self._server.parameters(host, f"parked messages of {self.inbound}")
            parameters.heartbeat = _HEARTBEAT_SECONDS
            parameters.blocked_connection_timeout = _BLOCKED_SECONDS
            try:
                return pika.BlockingConnection(parameters)
            except (AMQPError, OSError) as error:
                problem = describe(error)
                if is_refusal(error):
                    raise self._refusal(problem) from None
        raise BrokerUnavailableError(f"{self._place}, cannot be reached: {problem}")

    def _refusal(self, problem: str) -> BrokerError:
        return BrokerAuthenticationError(
            f"{self._place}, refused user {self._server.username!r}: {problem}; check username "
            "and pass of /rabbitmq, and the user's permissions on the vhost /"
        )

    def _look(self, queue: str) -> tuple[int, int] | None:
        """Return a queue's numbers of messages and consumers; ``None`` if it does not exist."""
        with self._errors(queue):
            channel = self._connection.channel()
            try:
                found = channel.queue_declare(queue, passive=True).method
            except ChannelClosedByBroker as error:
                if error.reply_code != _NOT_FOUND:
                    raise
                return None
            channel.close()
            return found.message_count, found.consumer_count

    @contextmanager
    def _errors(self, queue: str) -> Iterator[None]:
        """Turn pika's errors into ours."""
        try:
            yield
        except ChannelClosedByBroker as error:
            raise BrokerError(f"{self._place}, queue {queue!r}: {describe(error)}") from error
        except AMQPError as error:
            raise BrokerUnavailableError(
                f"the connection to {self._place}, was lost: {describe(error)}"
            ) from error
