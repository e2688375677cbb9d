"""What a walk past a queue has taken and not removed, and how it gets back to its place."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..broker.waiting import WaitingChannel

__all__ = ["Holdings"]

_STEP = 32  # messages
_LOOK_SECONDS = 1.0
_ACKS_SECONDS = 10.0


class Holdings:
    """The messages in the hands of one channel, whose consumers come one after another.

    A quorum queue has a log to write first, and what is still on its way there when the channel is
    closed never arrives: messages that were acknowledged would come back. It counts a cancelled
    consumer for as long as that holds messages, which shows what it has done; and which tells it
    from a classic queue.

    Args:
        channel: The channel.
        looking: Another channel.
        queue: The queue's name.
        consumers: How many consumers it has besides.
    """

    def __init__(
        self, channel: WaitingChannel, looking: WaitingChannel, queue: str, consumers: int
    ) -> None:
        self._channel = channel
        self._looking = looking
        self._queue = queue
        self._others = consumers
        self._consumers = 0  # of ours that hold messages
        self._steps: list[tuple[int, int]] = []
        self._waits = True

    def keep(self, tags: Sequence[int]) -> None:
        """Note what is left of one consumer's messages; it is cancelled, the others are acked.

        Returns when they are.
        """
        for start in range(0, len(tags), _STEP):
            step = tags[start : start + _STEP]
            self._steps.append((step[-1], len(step)))
        self._consumers += bool(tags)
        self._wait_for_acks()

    def give_back(self) -> None:
        """Put everything back to its place, and close the channel.

        Closing it alone puts back what a classic queue has given, in one go. For a quorum queue
        it would count as a failure of each message; and of many, or of several consumers', at once
        that forgets the order. So it gets few, and the next ones when those are there.
        """
        depth, consumers = self._look()
        if consumers > self._others:
            self._give_back_in_steps(depth)
        self._channel.close()
        self._reaches(depth + sum(count for _, count in self._steps))

    def _give_back_in_steps(self, depth: int) -> None:
        in_order = True
        for tag, count in self._steps:
            self._channel.pika.basic_nack(tag, multiple=True, requeue=True)
            depth += count
            in_order = in_order and self._reaches(depth)
        self._channel.pika.basic_nack(0, multiple=True, requeue=True)  # what was not noted
        self._consumers = 0
        self._wait_for_acks()

    def _reaches(self, depth: int) -> bool:
        """Wait a little until so many messages are in the queue; others may take them."""
        deadline = time.monotonic() + _LOOK_SECONDS
        while self._look()[0] < depth:
            if time.monotonic() > deadline:
                return False
        return True

    def _wait_for_acks(self) -> None:
        deadline = time.monotonic() + _ACKS_SECONDS
        while self._waits and self._look()[1] > self._others + self._consumers:
            # Somebody else may have begun to consume.
            self._waits = time.monotonic() < deadline

    def _look(self) -> tuple[int, int]:
        """Return how many messages wait in the queue, and how many consumers it has."""
        return self._looking.count(self._queue)
