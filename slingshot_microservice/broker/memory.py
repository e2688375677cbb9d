"""Queues inside this process: for a laptop, for tests, and for services that share a program.

They behave as RabbitMQ's do where a service can tell: messages are bytes, a message that was
received and not settled belongs to its consumer, and what was handed back comes first.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence

from ..hotpath import Delivery, MalformedIdError, Publish, decode_id
from .protocol import Batch, dead_queue_name

__all__ = ["MemoryBroker", "MemoryQueues"]

_log = logging.getLogger(__name__)

_EPOCH = 1  # memory does not lose connections, so there is only one


class MemoryQueues:
    """Named queues that the services of one process share. Safe to use from several threads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._queues: dict[str, deque[bytes]] = {}
        self._consumed: dict[str, int] = {}  # messages in hand, by queue with a consumer

    def declare(self, queue: str) -> None:
        """Make ``queue`` exist; one that exists stays as it is."""
        with self.changed:
            self._queues.setdefault(queue, deque())

    def publish(self, queue: str, bodies: Iterable[bytes]) -> None:
        """Append messages to ``queue``, which is made when it is missing."""
        with self.changed:
            self._queues.setdefault(queue, deque()).extend(bodies)
            self.changed.notify_all()

    def depths(self) -> dict[str, int]:
        """Return how many messages wait in each queue, those in hand not counted."""
        with self.changed:
            return {queue: len(bodies) for queue, bodies in self._queues.items()}

    def bodies(self, queue: str) -> list[bytes]:
        """Return the messages that wait in ``queue``, the next one first."""
        with self.changed:
            return list(self._queues.get(queue, ()))

    def wait_until_idle(self, timeout: float | None = None) -> bool:
        """Wait until no consumed queue holds a message and no consumer has one in hand.

        Args:
            timeout: Seconds to wait; None for as long as it takes.

        Returns:
            Whether that was reached.
        """
        with self.changed:
            return self.changed.wait_for(self._is_idle, timeout)

    def _is_idle(self) -> bool:
        return not any(in_hand or self._queues[queue] for queue, in_hand in self._consumed.items())

    def consume(self, queue: str) -> None:
        """Note that ``queue`` has a consumer."""
        with self.changed:
            self._consumed.setdefault(queue, 0)

    def take(self, queue: str, limit: int) -> list[bytes]:
        """Take up to ``limit`` messages into a consumer's hand. `changed` must be held."""
        bodies = self._queues[queue]
        taken = [bodies.popleft() for _ in range(min(limit, len(bodies)))]
        self._consumed[queue] += len(taken)
        return taken

    def settle(self, queue: str, returned: Sequence[bytes], count: int) -> None:
        """End ``count`` messages in hand; those ``returned`` go back to the front."""
        with self.changed:
            self._queues[queue].extendleft(reversed(returned))
            self._consumed[queue] -= count
            self.changed.notify_all()


class MemoryBroker:
    """One service's view of `MemoryQueues`. Fulfils `Broker`.

    Args:
        queues: The queues, shared with the other services of the process.
        inbound: The queue to consume.
        outbound: The queues that indexes in publishes stand for.
        prefetch: Messages in hand at the same time.
    """

    def __init__(
        self, queues: MemoryQueues, *, inbound: str, outbound: Sequence[str], prefetch: int
    ) -> None:
        self._queues = queues
        self._inbound = inbound
        self._outbound = list(outbound)
        self._prefetch = prefetch
        self._in_hand: dict[int, bytes] = {}
        self._waiting: list[tuple[float, int]] = []  # a heap: when to hand back, delivery tag
        self._last_tag = 0
        self._consuming = False
        self._cancelled = False

    def open(self) -> None:
        """Make sure that all queues exist; see `Broker.open`."""
        for queue in (self._inbound, *self._outbound):
            self._queues.declare(queue)

    def send(self, publishes: Sequence[Publish]) -> None:
        """Publish; in memory it is safe at once. See `Broker.send`."""
        for queue, id in publishes:
            self._queues.publish(self._outbound[queue], [b"%d" % id])

    def consume(self) -> None:
        """Start taking messages; see `Broker.consume`."""
        self._queues.consume(self._inbound)
        with self._queues.changed:
            self._consuming = True
            self._queues.changed.notify_all()

    def receive(self) -> Batch | None:
        """Wait for deliveries; see `Broker.receive`."""
        while True:
            with self._queues.changed:
                taken = self._take()
                while not taken and not self._cancelled:
                    self._queues.changed.wait(self._pause())
                    taken = self._take()
            if not taken:
                return None
            deliveries = [delivery for tag, body in taken if (delivery := self._read(tag, body))]
            if deliveries:
                return Batch(_EPOCH, deliveries)

    def is_current(self, epoch: int) -> bool:
        """Memory does not take deliveries away; see `Broker.is_current`."""
        return True

    def finish(self, epoch: int, tag: int, publishes: Sequence[Publish]) -> None:
        """Publish the outputs of a delivery, then acknowledge it; see `Broker.finish`."""
        self.send(publishes)
        self._settle([tag], hand_back=False)

    def hand_back(self, epoch: int, tag: int, pause: float) -> None:
        """Return a delivery to its queue after a pause; see `Broker.hand_back`."""
        with self._queues.changed:
            if pause > 0 and not self._cancelled:
                heapq.heappush(self._waiting, (time.monotonic() + pause, tag))
                self._queues.changed.notify_all()
                return
        self._settle([tag], hand_back=True)

    def cancel(self) -> None:
        """Take no more messages; see `Broker.cancel`."""
        with self._queues.changed:
            self._cancelled = True
            waiting, self._waiting = self._waiting, []
            self._queues.changed.notify_all()
        self._settle([tag for _, tag in waiting], hand_back=True)

    def close(self, timeout: float) -> bool:
        """Hand back what is still in hand; see `Broker.close`."""
        with self._queues.changed:
            left = list(self._in_hand)
        self._settle(left, hand_back=True)
        return not left

    def _take(self) -> list[tuple[int, bytes]]:
        """Take what there is into our hand. The queues' condition must be held."""
        self._return_due()
        if self._cancelled or not self._consuming:
            return []
        bodies = self._queues.take(self._inbound, self._prefetch - len(self._in_hand))
        taken = list(enumerate(bodies, self._last_tag + 1))
        self._last_tag += len(taken)
        self._in_hand.update(taken)
        return taken

    def _return_due(self) -> None:
        due = []
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            due.append(heapq.heappop(self._waiting)[1])
        self._settle(due, hand_back=True)

    def _pause(self) -> float | None:
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None

    def _read(self, tag: int, body: bytes) -> Delivery | None:
        try:
            return tag, decode_id(body), False
        except MalformedIdError as error:
            dead = dead_queue_name(self._inbound)
            _log.error("%s; the message is parked in queue %r", error, dead)
            self._queues.publish(dead, [body])
            self._settle([tag], hand_back=False)
            return None

    def _settle(self, tags: Sequence[int], *, hand_back: bool) -> None:
        with self._queues.changed:
            bodies = [self._in_hand.pop(tag) for tag in tags if tag in self._in_hand]
            if bodies:
                self._queues.settle(self._inbound, bodies if hand_back else [], len(bodies))
