"""What a broker must do, whatever is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..hotpath import Delivery, Publish

__all__ = ["DEAD_SUFFIX", "Batch", "Broker"]

DEAD_SUFFIX = ".dead"
"""Behind the inbound queue's name: the queue of the messages that cannot become requests."""


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
