"""What a broker must do, whatever is behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from ..hotpath import Publish, Work

__all__ = [
    "SHORT_STRING_MAX",
    "Broker",
    "Failure",
    "Receiver",
    "dead_queue_name",
    "paused",
    "retry_queue_name",
    "shorten_utf8",
    "suspect_queue_name",
]

SHORT_STRING_MAX = 255
"""Bytes of UTF-8 that AMQP has for the name of a queue or consumer."""


def shorten_utf8(text: str, limit: int = SHORT_STRING_MAX) -> str:
    """Return ``text``, cut to ``limit`` bytes of UTF-8."""
    return text.encode("utf-8")[:limit].decode("utf-8", "ignore")


def dead_queue_name(inbound: str) -> str:
    """Return the queue of the messages from ``inbound`` that are parked.

    It is ``{inbound}.dead``; of a name that leaves no room for that, the end gives way.
    """
    return _beside(inbound, ".dead")


def suspect_queue_name(inbound: str) -> str:
    """Return the queue of the messages that came back from a worker that died."""
    return _beside(inbound, ".suspect")


def retry_queue_name(inbound: str, milliseconds: int) -> str:
    """Return the queue in which messages wait ``milliseconds`` before they are tried again.

    Its name says how long, so that it never has to change: another wait is another queue.
    """
    return _beside(inbound, f".retry.{milliseconds}")


def paused(reasons: Collection[str]) -> str:
    """Say that no messages are taken, and why; another thread may change ``reasons``."""
    return f"paused: {', '.join(sorted(tuple(reasons))) or 'about to go on'}"


def _beside(inbound: str, suffix: str) -> str:
    return shorten_utf8(inbound, SHORT_STRING_MAX - len(suffix)) + suffix


class Failure(NamedTuple):
    """Why a run of a request failed.

    Attributes:
        reason: ``failed``, or ``rejected`` for what would not get better by another try.
        error_type: The name of the error's type.
        error: What the error said.
        traceback: Where it was raised, bounded; may be empty.
        after: Seconds to wait before the next try, where ``process`` has said so.
    """

    reason: str
    error_type: str
    error: str
    traceback: str = ""
    after: float | None = None


class Receiver(Protocol):
    """Where one worker takes its deliveries from."""

    def receive(self) -> Work | None:
        """Wait for a delivery that is to be processed now. None means that there will be no more.

        What was delivered before may have been processed meanwhile, by a run that outlasted its
        channel: then that run's outputs are sent, the delivery is settled, and not returned here.
        """
        ...


class Broker(Protocol):
    """One inbound queue, and the outbound queues of one service.

    `open`, `send`, `consume`, `cancel` and `close` are called by one thread, in this order; the
    others by any number of worker threads.
    """

    def open(self, sleep: Callable[[float], object] = time.sleep) -> None:
        """Connect and make sure that all queues exist.

        Args:
            sleep: Called now and then while that takes long, with 0. What it raises ends it.

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

    def receiver(self) -> Receiver:
        """Return where one more worker takes its deliveries from."""
        ...

    def finish(self, epoch: int, tag: int, id: int, publishes: Sequence[Publish]) -> None:
        """Publish the outputs of a delivery, and acknowledge it when all of them are safe.

        Returns at once. An output that no queue takes, or that the broker refuses, is sent
        again once; then the request has failed.
        """
        ...

    def fail(self, epoch: int, tag: int, id: int, failure: Failure) -> None:
        """Count a failed run: the request is tried again later, or parked. Returns at once."""
        ...

    def hand_back(self, epoch: int, tag: int, id: int) -> None:
        """Return a delivery to its queue, uncounted. Returns at once."""
        ...

    def pause(self, reason: str) -> None:
        """Take no messages while ``reason`` stands, and hand back those nobody has received."""
        ...

    def resume(self, reason: str) -> None:
        """End one reason for a pause; with the last of them, messages are taken again."""
        ...

    def cancel(self) -> None:
        """Take no more messages, and hand back those that nobody has received."""
        ...

    def trouble(self) -> str | None:
        """Say in one line what keeps it from taking messages; None when nothing does.

        May be asked at any time, by any thread, and answers at once.
        """
        ...

    def has_died(self) -> bool:
        """Whether it can do nothing any more, although nobody has closed it. As `trouble`."""
        ...

    def close(self, timeout: float) -> bool:
        """Wait until what was finished is settled, then disconnect.

        Args:
            timeout: Seconds to wait; after them the broker gives to others what is not settled.

        Returns:
            Whether everything was settled.
        """
        ...
