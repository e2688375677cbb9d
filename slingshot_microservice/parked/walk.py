"""One walk past the messages of a queue of the dead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from ..broker.properties import Properties
from ..broker.waiting import WaitingChannel
from ..errors import BrokerError
from .holdings import Holdings
from .message import ParkedMessage, original_properties, uncounted_properties
from .outbox import Outbox

__all__ = ["ParkedWalk"]

_FIRST_WINDOW = 16  # messages; few, because nothing is known of their size yet
_WINDOW = 500  # messages
_WINDOW_BYTES = 16 * 1024 * 1024
_GROWTH = 4
_LOOK_SECONDS = 1.0
_PATIENCE_LOOKS = 30
# RabbitMQ 4 drops a message that a quorum queue has had back more than 20 times, by default.
_LOOKS_MAX = 5


class ParkedWalk:
    """Yields what lies in a queue, oldest first, each message once.

    The messages are taken in windows of a bounded size, and none is acknowledged before its
    window is over: then what was decided on them with `remove` and `replay` is carried out. All
    others go back to their places at the end of the walk.

    Args:
        channel: An open channel for this walk alone.
        queue: The queue's name.
        inbound: The name of the queue that `replay` sends to.
        holdings: Those of the channel.
        count: How many messages to take at most, so that what is parked meanwhile does not make
            the walk endless.

    Attributes:
        count: How many messages to take at most.
        taken_out: How many messages were removed for good, by `remove` and by `replay`.
    """

    def __init__(
        self, channel: WaitingChannel, queue: str, inbound: str, holdings: Holdings, count: int
    ) -> None:
        self.count = count
        self.taken_out = 0
        self._channel = channel
        self._queue = queue
        self._inbound = inbound
        self._outbox = Outbox(channel)
        self._holdings = holdings
        self._consumer = ""
        self._expected = 0  # what will have been received when this window is complete
        self._received = 0
        self._settled = 0
        self._bytes = 0
        self._arrived: deque[ParkedMessage] = deque()
        self._worn: list[ParkedMessage] = []
        self._removed: set[int] = set()
        self._replayed: set[int] = set()

    def __iter__(self) -> Iterator[ParkedMessage]:
        size = _FIRST_WINDOW
        while self._received < self.count:
            size = min(size, self.count - self._received)
            self._open_window(size)
            for _ in range(size):
                if not (self._arrived or self._receive()):
                    self._expected = self._received  # others have taken the rest
                    return
                yield self._arrived.popleft()
            self._close_window()
            average = max(1, self._bytes // size)
            size = max(1, min(_WINDOW, size * _GROWTH, _WINDOW_BYTES // average))

    def remove(self, message: ParkedMessage) -> None:
        """Drop a message when its window ends."""
        self._removed.add(message.tag)

    def replay(self, message: ParkedMessage) -> None:
        """Send a message to the inbound queue, as it was before it was parked.

        It is removed when its window ends, if RabbitMQ has confirmed it.
        """
        self._replayed.add(message.tag)
        self._publish(self._inbound, message, original_properties(message.properties))

    def __enter__(self) -> ParkedWalk:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._channel.is_open:
            return
        if exc is not None:
            self._removed.clear()
        try:
            self._close_window()
        finally:
            if self._received and self._channel.is_open:
                self._holdings.give_back()

    def _open_window(self, size: int) -> None:
        self._bytes = 0
        self._settled = self._received
        self._expected = self._received + size
        # It holds for consumers that begin after it: hence a new one for every window.
        channel = self._channel
        channel.ask(channel.pika.basic_qos, prefetch_count=size)
        started = channel.ask(channel.pika.basic_consume, self._queue, self._on_message)
        self._consumer = started.consumer_tag

    def _on_message(
        self, _channel: object, method: Any, properties: Properties, body: bytes
    ) -> None:
        self._received += 1
        self._bytes += len(body)
        message = ParkedMessage(self._received, method.delivery_tag, body, properties)
        self._arrived.append(message)
        if message.looks >= _LOOKS_MAX:
            self._worn.append(message)

    def _receive(self) -> bool:
        """Wait for messages; return whether any came, which is not so when none are left."""
        before, channel = self._received, self._channel
        for _ in range(_PATIENCE_LOOKS):
            if channel.wait(lambda: self._received > before, _LOOK_SECONDS):
                return True
            # What came to us before the answer to this has been counted when it is here.
            left, _ = channel.count(self._queue)
            if self._received > before or not left:
                return self._received > before
        raise BrokerError(
            f"queue {self._queue!r} has {left:,} messages and gave none for "
            f"{_PATIENCE_LOOKS * _LOOK_SECONDS:g} s; is it another consumer's alone?"
        )

    def _close_window(self) -> None:
        if not self._consumer:
            return
        # pika rejects what comes after it has cancelled, which would mix up the order.
        while self._received < self._expected and self._receive():
            pass
        consumer, self._consumer = self._consumer, ""
        if consumer in self._channel.pika.consumer_tags:  # the broker may have cancelled it
            self._channel.ask(self._channel.pika.basic_cancel, consumer)
        self._arrived.clear()
        self._renew_worn()
        self._settle()

    def _renew_worn(self) -> None:
        """Put copies in the place of messages that were given back too often to be again."""
        worn, self._worn = self._worn, []
        for message in worn:
            if message.tag not in self._removed | self._replayed:
                self._publish(self._queue, message, uncounted_properties(message.properties))

    def _publish(self, queue: str, message: ParkedMessage, properties: Properties) -> None:
        self._outbox.publish(queue, message.body, properties, message.tag)

    def _settle(self) -> None:
        """Remove what was dropped, and what is safe elsewhere."""
        settled = self._outbox.settle()
        safe = set(settled.safe)
        gone = self._removed | safe
        kept = []
        for tag in range(self._settled + 1, self._received + 1):  # as RabbitMQ counts them
            if tag in gone:
                self._channel.pika.basic_ack(tag)
            else:
                kept.append(tag)
        self.taken_out += len(self._removed | safe & self._replayed)
        self._removed, self._replayed = set(), set()
        self._holdings.keep(kept)
        if settled.problem:
            raise BrokerError(settled.problem)
