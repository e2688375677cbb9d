"""What a broker must do, whatever is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..hotpath import Delivery, Publish

__all__ = ["SHORT_STRING_MAX", "Batch", "Broker", "dead_queue_name", "shorten_utf8"]

SHORT_STRING_MAX = 255
"""Bytes of UTF-8 that AMQP has for the name of a queue or consumer."""


def shorten_utf8(text: str, limit: int = SHORT_STRING_MAX) -> str:
    """Return ``text``, cut to ``limit`` bytes of UTF-8."""
    return text.encode("utf-8")[:limit].decode("utf-8", "ignore")


def dead_queue_name(inbound: str) -> str:
    """Return the queue of the messages from ``inbound`` that cannot become requests.

    It is ``{inbound}.dead``; of a name that leaves no room for that, the end gives way.
    """
    suffix = ".dead"
    return shorten_utf8(inbound, SHORT_STRING_MAX - len(suffix)) + suffix


class Batch(NamedTuple):
    """Deliveries that came in together.

    Attributes:
        epoch: Which life of the channel they belong to. Delivery tags mean nothing in another.
        deliveries: (delivery tag, id, redelivered), at least one.
    """

    epoch: int
    deliveries: Sequence[Delivery]


class Broker(Protocol):
    """One inbound queue, and the outbound queues of one service.

    `open`, `send`, `consume`, `cancel` and `close` are called by one thread, in this order;
    `receive`, `finish`, `hand_back` and `is_current` by any number of worker threads.
    """

    def open(self) -> None:
        """Connect and make sure that all queues exist.

        Raises:
            BrokerUnavailableError: The broker could not be reached in time.
            BrokerError: The broker refused.
        """
        ...

    def send(self, publishes: Sequence[Publish]) -> None:
        """Publish, and return when every message is safe at the broker.

        Raises:
            BrokerError: It could not be made so.
        """
        ...

    def consume(self) -> None:
        """Start taking messages.

        Raises:
            BrokerError: The broker refused, or did not answer in time.
        """
        ...

    def receive(self) -> Batch | None:
        """Wait for deliveries. None means that there will be no more."""
        ...

    def is_current(self, epoch: int) -> bool:
        """Tell whether deliveries of ``epoch`` are still ours, rather than given to others."""
        ...

    def finish(self, epoch: int, tag: int, publishes: Sequence[Publish]) -> None:
        """Publish the outputs of a delivery, and acknowledge it when all of them are safe.

        Returns at once. An output that no queue takes, or that the broker refuses, is sent
        again once; then the delivery is handed back.
        """
        ...

    def hand_back(self, epoch: int, tag: int, pause: float) -> None:
        """Return a delivery to its queue after ``pause`` seconds. Returns at once."""
        ...

    def cancel(self) -> None:
        """Take no more messages, and hand back those that nobody has received."""
        ...

    def close(self, timeout: float) -> bool:
        """Wait until what was finished is settled, then disconnect.

        Args:
            timeout: Seconds to wait; after them the broker gives to others what is not settled.

        Returns:
            Whether everything was settled.
        """
        ...
