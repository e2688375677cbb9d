"""Publishing many messages, and waiting for all of their confirms together."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..broker.properties import Properties
from ..broker.waiting import WaitingChannel
from ..errors import BrokerError

__all__ = ["Outbox", "Settled"]

_CONFIRM_SECONDS = 60.0


class Settled(NamedTuple):
    """What became of messages that were published.

    Attributes:
        safe: The keys of those that are safe at the broker.
        problem: Why others are not; empty if all are.
    """

    safe: list[int]
    problem: str


class Outbox:
    """Publishes with confirms and ``mandatory``.

    Args:
        channel: An open channel; it is put into confirm mode.
    """

    def __init__(self, channel: WaitingChannel) -> None:
        self._channel = channel
        self._published = 0
        self._waiting: dict[int, int] = {}
        self._safe: list[int] = []
        self._problem = ""
        self._returned = False
        channel.pika.add_on_return_callback(self._on_return)
        channel.ask(channel.pika.confirm_delivery, self._on_confirm)

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
        self._channel.pika.basic_publish("", queue, body, properties, mandatory=True)

    def settle(self) -> Settled:
        """Wait until RabbitMQ has answered for all that was published since the last time.

        Raises:
            BrokerError: It answered for none of them for a minute.
        """
        while self._waiting:
            before = len(self._waiting)
            if not self._channel.wait(lambda: len(self._waiting) < before, _CONFIRM_SECONDS):  # noqa: B023
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
        answered = [n for n in self._waiting if n <= tag] if several else [tag]
        keys = [self._waiting.pop(number) for number in answered]
        if frame.method.NAME == "Basic.Ack":
            self._safe += keys
        else:
            self._problem = f"RabbitMQ refused {len(keys):,} messages (is their queue full?)"
