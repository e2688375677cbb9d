"""The queue of the dead, for people: what lies in it, and how it gets out again.

Services never use it; the command line does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from ..broker.amqp import ChannelClosedByBroker, Server, describe
from ..broker.protocol import dead_queue_name
from ..broker.waiting import WaitingConnection
from ..errors import BrokerError
from .holdings import Holdings
from .walk import ParkedWalk

__all__ = ["ParkedQueue"]

_log = logging.getLogger(__name__)

_NOT_FOUND = 404


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
        self._connection: WaitingConnection

    def __enter__(self) -> ParkedQueue:
        name = f"parked messages of {self.inbound}"
        self._connection = WaitingConnection(self._server, name)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    @contextmanager
    def walk(self) -> Iterator[ParkedWalk]:
        """Walk past what is parked now; nothing is, if there is no such queue.

        Raises:
            BrokerError: RabbitMQ refused, or the connection was lost.
        """
        try:
            messages, consumers = self._look()
            channel, looking = self._connection.channel(), self._connection.channel()
            holdings = Holdings(channel, looking, self.name, consumers)
            with ParkedWalk(channel, self.name, self.inbound, holdings, messages) as walk:
                yield walk
        except ChannelClosedByBroker as error:
            place = self._connection.place
            raise BrokerError(f"{place}, queue {self.name!r}: {describe(error)}") from error

    def _look(self) -> tuple[int, int]:
        """Return how many messages wait, and how many consumers there are."""
        channel = self._connection.channel()
        try:
            messages, consumers = channel.count(self.name)
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            return 0, 0
        channel.close()
        if consumers:
            _log.warning(
                "queue %r has %d other consumers; messages in their hands are not seen here",
                self.name,
                consumers,
            )
        return messages, consumers
