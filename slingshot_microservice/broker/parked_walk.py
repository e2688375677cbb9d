"""One walk past the messages of a queue of the dead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import BrokerError
from .amqp import Properties
from .bulk import BulkPublisher
from .parked_message import ParkedMessage, original_properties, uncounted_properties

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

__all__ = ["ParkedWalk"]

_FIRST_WINDOW = 16  # messages; few, because nothing is known of their size yet
_WINDOW = 500  # messages
_WINDOW_BYTES = 16 * 1024 * 1024
_GROWTH = 4
_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
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
        count: How many messages to take at most, so that what is parked meanwhile does not make
            the walk endless.

    Attributes:
        count: How many messages to take at most.
        taken_out: How many messages were removed for good, by `remove` and by `replay`.
    """

    def __init__(self, channel: BlockingChannel, queue: str, inbound: str, count: int) -> None:
        self.count = count
        self.taken_out = 0
        self._channel = channel
        self._queue = queue
        self._inbound = inbound
        self._publisher = BulkPublisher(channel)
        self._consumer = ""
        self._expected = 0  # what will have been received when this window is complete
        self._received = 0
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
            # In one go, so that they come back in their order. Closing the channel would do it
            # too, but counts as a failure of each message in a quorum queue.
            self._channel.basic_nack(0, multiple=True, requeue=True)
            self._channel.close()

    def _open_window(self, size: int) -> None:
        self._bytes = 0
        self._expected = self._received + size
        # It holds for consumers that begin after it: hence a new one for every window.
        self._channel.basic_qos(prefetch_count=size)
        self._consumer = self._channel.basic_consume(self._queue, self._on_message)

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
        before, deadline = self._received, time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self._channel.connection.process_data_events(_LOOK_SECONDS)
            if self._received > before:
                return True
            left = self._channel.queue_declare(self._queue, passive=True).method.message_count
            self._channel.connection.process_data_events(0)
            if self._received > before or not left:
                return self._received > before
        raise BrokerError(
            f"queue {self._queue!r} has {left:,} messages and gave none for "
            f"{_PATIENCE_SECONDS:g} s; is it another consumer's alone?"
        )

    def _close_window(self) -> None:
        if not self._consumer:
            return
        # pika would reject what comes after it has cancelled, and so mix up the order.
        while self._received < self._expected and self._receive():
            pass
        consumer, self._consumer = self._consumer, ""
        self._channel.basic_cancel(consumer)
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
        self._publisher.publish(queue, message.body, properties, message.tag)

    def _settle(self) -> None:
        """Remove what was dropped, and what is safe elsewhere."""
        settled = self._publisher.settle()
        safe = set(settled.safe)
        for tag in sorted(self._removed | safe):
            self._channel.basic_ack(tag)
        self.taken_out += len(self._removed | safe & self._replayed)
        self._removed, self._replayed = set(), set()
        if settled.problem:
            raise BrokerError(settled.problem)
