"""Publishing many messages on a blocking channel, and waiting for all of their confirms at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import BrokerError
from .amqp import Properties

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

__all__ = ["BulkPublisher", "Settled"]

_LOOK_SECONDS = 1.0
_CONFIRM_SECONDS = 60.0


class Settled(NamedTuple):
    """What became of messages that were published.

    Attributes:
        safe: The keys of those that are safe at the broker.
        problem: Why others are not; empty if all are.
    """

    safe: list[int]
    problem: str


class BulkPublisher:
    """Publishes with confirms and ``mandatory``, without waiting for each confirm by itself.

    pika's blocking channel waits for the confirm of one message before it sends the next. The
    channel beneath it, ``_impl``, hands confirms and returns over as they come.

    Args:
        channel: An open channel, not in confirm mode; it is put into it.
    """

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        self._published = 0
        self._waiting: dict[int, int] = {}
        self._safe: list[int] = []
        self._problem = ""
        self._returned = False
        channel._impl.add_on_return_callback(self._on_return)
        channel._impl.confirm_delivery(self._on_confirm)

    def publish(self, queue: str, body: bytes, properties: Properties, key: int) -> None:
        """Send a message.

        Args:
            queue: The queue that it is for.
            body: Its body.
            properties: Its properties.
            key: What `settle` is to call it.
        """
        self._published += 1
        self._waiting[self._published] = key
        self._channel.basic_publish("", queue, body, properties, mandatory=True)

    def settle(self) -> Settled:
        """Wait until RabbitMQ has answered for all that was published since the last time.

        Raises:
            BrokerError: It answered for none of them for a minute.
        """
        deadline = time.monotonic() + _CONFIRM_SECONDS
        while self._waiting:
            before = len(self._waiting)
            self._channel.connection.process_data_events(_LOOK_SECONDS)
            if len(self._waiting) < before:
                deadline = time.monotonic() + _CONFIRM_SECONDS
            elif time.monotonic() > deadline:
                raise BrokerError(f"{before:,} messages not confirmed for {_CONFIRM_SECONDS:g} s")
        # A return does not name its publish, so that with one of them none counts as safe.
        settled = Settled([] if self._returned else self._safe, self._problem)
        self._safe, self._problem, self._returned = [], "", False
        return settled

    def _on_return(self, _channel: object, method: Any, _properties: object, _body: bytes) -> None:
        self._returned = True
        self._problem = (
            f"queue {method.routing_key!r} took no message ({method.reply_text}); if it does not "
            "exist, start the service, which declares it"
        )

    def _on_confirm(self, frame: Any) -> None:
        tag, several = frame.method.delivery_tag, frame.method.multiple
        # In the order of the numbers, because that is the order in which they were put in.
        answered = [n for n in self._waiting if n <= tag] if several else [tag]
        keys = [self._waiting.pop(number) for number in answered]
        if frame.method.NAME == "Basic.Ack":
            self._safe += keys
        else:
            self._problem = f"RabbitMQ refused {len(keys):,} messages (is their queue full?)"
        if not self._waiting:
            self._channel.connection.call_later(0, _wake)  # ends process_data_events


def _wake() -> None:
    """Do nothing, but have pika return from its wait."""
