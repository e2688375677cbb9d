"""Queues inside this process: for a laptop, for tests, and for services that share a program.

They behave as RabbitMQ's do where a service can tell: messages are bytes, a message that was
received and not settled belongs to its consumer, and what was handed back comes first.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..hotpath import Delivery, MalformedIdError, Publish, Work, decode_id
from .protocol import Failure, Receiver, dead_queue_name, paused
from .requeue import RequeuePauses
from .retries import History, Parked, RetryPolicy

__all__ = ["MemoryBroker", "MemoryQueues", "Message"]

_log = logging.getLogger(__name__)

_EPOCH = 1  # memory does not lose connections, so there is only one


@dataclass(frozen=True)
class Message:
    """A message in memory.

    Attributes:
        body: Its body.
        history: What happened to it.
        failure: Why it was parked, of one that was.
    """

    body: bytes
    history: History = field(default_factory=History)
    failure: Failure | None = None


class MemoryQueues:
    """Named queues that the services of one process share. Safe to use from several threads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._queues: dict[str, deque[Message]] = {}
        self._consumed: dict[str, int] = {}  # messages in hand, by queue with a consumer

    def declare(self, queue: str) -> None:
        """Make ``queue`` exist; one that exists stays as it is."""
        with self.changed:
            self._queues.setdefault(queue, deque())

    def publish(self, queue: str, bodies: Iterable[bytes]) -> None:
        """Append messages to ``queue``, which is made when it is missing."""
        self.put(queue, map(Message, bodies))

    def put(self, queue: str, messages: Iterable[Message]) -> None:
        """Append messages with a history to ``queue``, which is made when it is missing."""
        with self.changed:
            self._queues.setdefault(queue, deque()).extend(messages)
            self.changed.notify_all()

    def depths(self) -> dict[str, int]:
        """Return how many messages wait in each queue, those in hand not counted."""
        with self.changed:
            return {queue: len(bodies) for queue, bodies in self._queues.items()}

    def bodies(self, queue: str) -> list[bytes]:
        """Return the bodies of the messages that wait in ``queue``, the next one first."""
        return [message.body for message in self.messages(queue)]

    def messages(self, queue: str) -> list[Message]:
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

    def take(self, queue: str) -> Message | None:
        """Take a message, if there is one, into a consumer's hand. `changed` must be held."""
        messages = self._queues[queue]
        if not messages:
            return None
        self._consumed[queue] += 1
        return messages.popleft()

    def settle(self, queue: str, returned: Sequence[Message], count: int) -> None:
        """End ``count`` messages in hand; those ``returned`` go back to the front."""
        with self.changed:
            self._queues[queue].extendleft(reversed(returned))
            self._consumed[queue] -= count
            self.changed.notify_all()


class MemoryBroker:
    """One service's view of `MemoryQueues`. Fulfils `Broker`.

    A request that waits for another try is still in hand, so that nobody takes the queues for
    idle; it does not count towards the prefetch.

    Args:
        queues: The queues, shared with the other services of the process.
        inbound: The queue to consume.
        outbound: The queues that indexes in publishes stand for.
        prefetch: Messages in hand at the same time; None for as many as there are workers.
        policy: Says what becomes of failed requests; None to give them back to their queue.
        pauses: Says how long what is given back to its queue waits.
    """

    def __init__(
        self,
        queues: MemoryQueues,
        *,
        inbound: str,
        outbound: Sequence[str],
        prefetch: int | None,
        policy: RetryPolicy | None,
        pauses: RequeuePauses,
    ) -> None:
        self._queues = queues
        self._inbound = inbound
        self._outbound = list(outbound)
        self._dead = dead_queue_name(inbound)
        self._prefetch = prefetch
        self._policy = policy
        self._requeue_pauses = pauses
        self._in_hand: dict[int, Message] = {}
        self._waiting: list[tuple[float, int]] = []  # a heap: when to hand back, delivery tag
        self._last_tag = 0
        self._consuming = False
        self._pauses: set[str] = set()
        self._cancelled = False

    def open(self, sleep: Callable[[float], object] = time.sleep) -> None:
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

    def receiver(self) -> Receiver:
        """Return where one more worker takes its deliveries from; see `Broker.receiver`."""
        return self

    def receive(self) -> Work | None:
        """Wait for a delivery; see `Receiver.receive`."""
        while True:
            with self._queues.changed:
                taken = self._take()
                while taken is None and not self._cancelled:
                    self._queues.changed.wait(self._next_due())
                    taken = self._take()
            if taken is None:
                return None
            delivery = self._read(*taken)
            if delivery is not None:
                return _EPOCH, delivery

    def finish(self, epoch: int, tag: int, id: int, publishes: Sequence[Publish]) -> None:
        """Publish the outputs of a delivery, then acknowledge it; see `Broker.finish`."""
        self.send(publishes)
        self._settle([tag], hand_back=False)
        if self._policy is None:
            with self._queues.changed:  # another worker's request may fail meanwhile
                self._requeue_pauses.relax()

    def fail(self, epoch: int, tag: int, id: int, failure: Failure) -> None:
        """Count a failed run; see `Broker.fail`."""
        with self._queues.changed:
            message = self._in_hand.get(tag)
            if message is None:
                return
            if self._policy is None:
                self._wait(tag, message, self._requeue_pauses.failed(id))
                return
            decision = self._policy.after_failure(message.history, failure)
            if not isinstance(decision, Parked):
                _log.info("request %d is tried again in %.1f s", id, decision.delay)
                self._wait(tag, Message(message.body, decision.history), decision.delay)
                return
        self._park(tag, Message(message.body, decision.history, failure))

    def hand_back(self, epoch: int, tag: int, id: int) -> None:
        """Return a delivery to its queue; see `Broker.hand_back`."""
        self._settle([tag], hand_back=True)

    def pause(self, reason: str) -> None:
        """Take no messages for now; see `Broker.pause`."""
        with self._queues.changed:
            self._pauses.add(reason)

    def resume(self, reason: str) -> None:
        """End one reason for a pause; see `Broker.resume`."""
        with self._queues.changed:
            self._pauses.discard(reason)
            self._queues.changed.notify_all()

    def cancel(self) -> None:
        """Take no more messages; see `Broker.cancel`."""
        with self._queues.changed:
            self._cancelled = True
            waiting, self._waiting = self._waiting, []
            self._queues.changed.notify_all()
        self._settle([tag for _, tag in waiting], hand_back=True)

    def trouble(self) -> str | None:
        """Say what keeps it from taking messages; see `Broker.trouble`."""
        if self._pauses:
            return paused(self._pauses)
        return None if self._consuming and not self._cancelled else "not consuming"

    def has_died(self) -> bool:
        """It has nothing that can; see `Broker.has_died`."""
        return False

    def close(self, timeout: float) -> bool:
        """Hand back what is still in hand; see `Broker.close`."""
        with self._queues.changed:
            left = list(self._in_hand)
        self._settle(left, hand_back=True)
        return not left

    def _take(self) -> tuple[int, Message] | None:
        """Take a message, if there is one, into our hand. The queues' condition must be held."""
        self._return_due()
        if self._cancelled or self._pauses or not self._consuming:
            return None
        in_hand = len(self._in_hand) - len(self._waiting)
        if self._prefetch is not None and in_hand >= self._prefetch:
            return None
        message = self._queues.take(self._inbound)
        if message is None:
            return None
        self._last_tag += 1
        self._in_hand[self._last_tag] = message
        return self._last_tag, message

    def _wait(self, tag: int, message: Message, pause: float) -> None:
        """Hand a message back after a pause. The queues' condition must be held."""
        self._in_hand[tag] = message
        if self._cancelled:
            self._settle([tag], hand_back=True)
        else:
            heapq.heappush(self._waiting, (time.monotonic() + pause, tag))
            self._queues.changed.notify_all()

    def _return_due(self) -> None:
        due = []
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            due.append(heapq.heappop(self._waiting)[1])
        self._settle(due, hand_back=True)

    def _next_due(self) -> float | None:
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None

    def _read(self, tag: int, message: Message) -> Delivery | None:
        try:
            return tag, decode_id(message.body), False
        except MalformedIdError as error:
            failure = Failure("malformed-id", type(error).__name__, str(error))
        if self._policy is None:
            _log.error("%s; the message is given back to its queue", failure.error)
            with self._queues.changed:
                self._wait(tag, message, self._requeue_pauses.failed(zlib.crc32(message.body)))
        else:
            self._park(tag, Message(message.body, message.history, failure))
        return None

    def _park(self, tag: int, message: Message) -> None:
        assert message.failure is not None
        _log.error("%s; the message is parked in queue %r", message.failure.error, self._dead)
        self._queues.put(self._dead, [message])
        self._settle([tag], hand_back=False)

    def _settle(self, tags: Sequence[int], *, hand_back: bool) -> None:
        with self._queues.changed:
            messages = [self._in_hand.pop(tag) for tag in tags if tag in self._in_hand]
            if messages:
                self._queues.settle(self._inbound, messages if hand_back else [], len(messages))
