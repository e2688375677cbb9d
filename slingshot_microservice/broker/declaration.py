"""Making sure that queues exist. I/O thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import BrokerError
from .amqp import Channel, ChannelClosedByBroker, Connection, describe
from .queues import QueueSpec

__all__ = ["QueueDeclaration"]

# AMQP's reply codes for a queue that is not there, and for one that is there otherwise, or that
# this broker cannot make so.
_NOT_FOUND, _PRECONDITION_FAILED = 404, 406


class QueueDeclaration:
    """Makes sure that queues exist, one after another, on a channel of its own.

    A queue that exists is used as it is, whatever its arguments; one that does not is created
    durable. If the connection is lost meanwhile, neither callback is called.

    Args:
        connection: An open connection.
        queues: What there is to be.
        on_done: Called when all exist.
        on_error: Called with the name of the first that cannot be had, and the error.
    """

    def __init__(
        self,
        connection: Connection,
        queues: Iterable[QueueSpec],
        on_done: Callable[[], None],
        on_error: Callable[[str, BrokerError], None],
    ) -> None:
        self._connection = connection
        self._queues = list({spec.name: spec for spec in queues}.values())
        self._on_done = on_done
        self._on_error = on_error
        self._create = False
        self._refused = 0  # how many of the present queue's arguments the broker did not take
        self._open_channel()

    def _open_channel(self) -> None:
        if self._connection.is_open:
            self._connection.channel(on_open_callback=self._on_open)

    def _on_open(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_closed)
        self._declare(channel)

    def _declare(self, channel: Channel) -> None:
        if not channel.is_open:
            return
        if not self._queues:
            channel.close()
            self._on_done()
            return

        def next_queue(_frame: object) -> None:
            del self._queues[0]
            self._create = False
            self._refused = 0
            self._declare(channel)

        queue, create = self._queues[0], self._create
        arguments = queue.arguments[min(self._refused, len(queue.arguments) - 1)]
        channel.queue_declare(
            queue.name,
            passive=not create,
            durable=create,
            arguments=dict(arguments) if create else None,
            callback=next_queue,
        )

    def _on_closed(self, _channel: Channel, reason: Exception) -> None:
        if not self._queues or not isinstance(reason, ChannelClosedByBroker):
            return
        queue = self._queues[0]
        refused_all = self._refused >= len(queue.arguments)
        if reason.reply_code == _NOT_FOUND and not self._create:
            self._create = True
            self._open_channel()
        elif reason.reply_code == _PRECONDITION_FAILED and self._create and not refused_all:
            # Somebody else has just created it, with other arguments: then it is used as it is.
            # Or the broker does not know the arguments, and the next look does not find it.
            self._create = False
            self._refused += 1
            self._open_channel()
        else:
            error = BrokerError(f"queue {queue.name!r} cannot be had: {describe(reason)}")
            self._on_error(queue.name, error)
