"""The publishing side: outputs out, confirms and returns in. I/O thread only."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import BrokerError
from ..hotpath import (
    Finished,
    FrameWriter,
    Ledger,
    MalformedIdError,
    Publish,
    Received,
    Returned,
    decode_id,
)
from .amqp import Link, read_past_pika
from .declaration import QueueDeclaration
from .properties import Properties
from .queues import QueueBook

__all__ = ["Copy", "Publisher", "stand_in_for"]

_log = logging.getLogger(__name__)


class Copy(NamedTuple):
    """A message that leaves in place of a delivery.

    Attributes:
        queue: The number of the queue that it goes to.
        body: Its body.
        properties: Its properties.
    """

    queue: int
    body: bytes
    properties: Properties

    @property
    def stands_for(self) -> int:
        """Its id, or a number that stands for a body that is none."""
        return stand_in_for(self.body)


class Publisher:
    """Sends outputs until they are safe, across losses of the connection.

    Args:
        ledger: Notes what left and what was answered.
        queues: What numbers stand for which queues.
        on_ready: Called when publishing has become possible.
        on_blocked: Called with True when RabbitMQ reads no more for now, and with False when it
            does again.
        on_answered: Called when publishes have become safe.
        on_given_up: Called with a delivery tag, the reason, and, if it was not its outputs but a
            copy of it that could not be sent, the copy.
    """

    link: Link

    def __init__(
        self,
        ledger: Ledger,
        *,
        queues: QueueBook,
        on_ready: Callable[[], None],
        on_blocked: Callable[[bool], None],
        on_answered: Callable[[], None],
        on_given_up: Callable[[int, str, Copy | None], None],
    ) -> None:
        self._ledger = ledger
        self._queues = queues
        self._writer = FrameWriter(Link.CHANNEL, queues.outbound)
        self._on_publishing = on_ready
        self._on_blocked = on_blocked
        self._on_answered = on_answered
        self._on_given_up = on_given_up
        self._confirming = False
        self._unsent: list[tuple[int, Sequence[Publish]]] = []
        self._missing: list[tuple[int, list[Publish]]] = []  # their queues are to be declared
        self._declaring: list[tuple[int, list[Publish]]] = []  # their queues are being declared
        self._declaration_runs = False
        self._sent_again: set[int] = set()
        self._warned: set[int] = set()  # queues that were named in the log, on this channel
        self._copies: dict[int, Copy] = {}  # by the delivery that they replace
        self._blocked = False
        self._progress = time.monotonic()
        self.answers = 0  # how often RabbitMQ has said what became of messages
        self.declarations = 0  # how often queues were declared

    @property
    def unanswered_seconds(self) -> float:
        """For how long confirms are due and none has come; 0 while RabbitMQ blocks us."""
        if self._ledger.is_idle or self._blocked or not self._confirming:
            self._progress = time.monotonic()
        return time.monotonic() - self._progress

    @property
    def is_ready(self) -> bool:
        """Whether the channel is open and confirms are on."""
        return self._confirming

    @property
    def is_declaring(self) -> bool:
        """Whether messages wait until their queues exist."""
        return self._declaration_runs

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be sent or waits for its answer."""
        return self._ledger.is_idle and not (self._unsent or self._missing or self._declaring)

    def on_ready(self) -> None:
        """The channel is open: switch confirms on."""
        self.link.channel.confirm_delivery(read_past_pika, callback=self._on_confirms_on)

    def on_lost(self) -> None:
        """The channel is gone: what is not known to be safe is to be sent again."""
        self.on_unblocked()
        self._confirming = False
        self._writer.take()
        self._unsent += self._ledger.forget_publishes()
        self._unsent += self._ledger.take_refused()
        self._unsent += self._missing + self._declaring
        self._missing, self._declaring = [], []
        self._declaration_runs = False
        self._warned.clear()

    def on_received(self, received: Received) -> None:
        """Enter returns and confirms into the books."""
        if received.confirms or received.returns:  # a heartbeat is no answer
            self._progress = time.monotonic()
            self.answers += 1
        for returned in received.returns:
            self._on_returned(returned)
        self._ledger.confirm(received.confirms)
        if self._sent_again or self._copies:
            self._forget_finished()
        refused = self._ledger.take_refused()
        if refused:
            self._on_refused(refused)
        self._on_answered()

    def publish(self, tag: int, publishes: Sequence[Publish]) -> None:
        """Send the outputs of delivery ``tag``; `flush` lets them go."""
        if publishes and not self._confirming:
            self._unsent.append((tag, publishes))
        elif tag in self._copies:
            if self.link.channel.is_open:
                self._publish_copy(tag)
            else:  # being closed by us: it leaves on the next one
                self._unsent.append((tag, publishes))
        else:
            self._ledger.publish(tag, publishes, self._writer)

    def publish_finished(self, finished: Sequence[Finished], epoch: int) -> None:
        """Send the outputs of what the workers have finished, as far as it is of ``epoch``."""
        if self._confirming:
            self._ledger.publish_finished(finished, epoch, self._writer)
        else:
            for entry_epoch, tag, publishes in finished:
                if entry_epoch == epoch:
                    self.publish(tag, publishes)

    def flush(self) -> None:
        """Let go of what was published."""
        if self._confirming:
            self.link.send(self._writer.take())

    def replace(self, tag: int, copy: Copy) -> None:
        """Send a message in place of delivery ``tag``, which is settled when that is safe."""
        self._copies[tag] = copy
        self.publish(tag, [(copy.queue, copy.stands_for)])

    def on_blocked(self) -> None:
        """RabbitMQ reads nothing from this connection for now."""
        self._blocked = True
        self._on_blocked(True)

    def on_unblocked(self) -> None:
        """RabbitMQ reads again."""
        if self._blocked:
            self._blocked = False
            self._progress = time.monotonic()
            self._on_blocked(False)

    def forget_deliveries(self) -> None:
        """All deliveries are void; only what belongs to none is still to be sent."""
        self._unsent = [entry for entry in self._unsent if not entry[0]]
        self._missing = [entry for entry in self._missing if not entry[0]]
        self._declaring = [entry for entry in self._declaring if not entry[0]]
        self._sent_again &= {0}
        self._copies.clear()

    def waits_for(self, tag: int) -> bool:
        """Whether outputs of delivery ``tag`` are not safe yet."""
        pending = (*self._unsent, *self._missing, *self._declaring)
        return self._ledger.waits_for(tag) or any(tag == entry[0] for entry in pending)

    def _forget_finished(self) -> None:
        for tag in self._ledger.finished:
            self._copies.pop(tag, None)
            self._sent_again.discard(tag)

    def _on_confirms_on(self, _frame: object) -> None:
        self._confirming = True
        unsent, self._unsent = self._unsent, []
        for tag, publishes in unsent:
            self.publish(tag, publishes)
        self.flush()
        self._on_publishing()

    def _on_returned(self, returned: Returned) -> None:
        index = self._queues.find(returned.queue)
        if index is None:
            self.link.restart(f"queue {returned.queue!r} returned what was never sent to it")
            return
        # The queues beside the inbound one are made when they are first needed.
        if index >= 0 and index not in self._warned:
            self._warned.add(index)
            _log.warning("queue %r did not take a message: %s", returned.queue, returned.text)
        self._ledger.returned((index, stand_in_for(returned.body)))

    def _on_refused(self, refused: list[tuple[int, list[Publish]]]) -> None:
        """Try once more with queues that are known to exist; after that, give up."""
        for tag, publishes in refused:
            if tag in self._sent_again:
                names = ", ".join(map(repr, self._names([(tag, publishes)])))
                self._give_up(tag, f"refused twice by {names}")
            else:
                self._sent_again.add(tag)
                self._missing.append((tag, publishes))
        self._declare()

    def _declare(self) -> None:
        """Declare what is missing, unless that is being done: then it is done afterwards."""
        if self._missing and not self._declaration_runs:
            self._declaration_runs = True
            self.declarations += 1
            self._declaring, self._missing = self._missing, []
            QueueDeclaration(
                self.link.connection,
                [self._queues.spec(index) for index in _indexes(self._declaring)],
                self._send_again,
                self._on_undeclarable,
            )

    def _end_declaration(self) -> list[tuple[int, list[Publish]]]:
        self._declaration_runs = False
        declaring, self._declaring = self._declaring, []
        return declaring

    def _send_again(self) -> None:
        declaring = self._end_declaration()
        for tag, publishes in declaring:
            self.publish(tag, publishes)
        self.flush()
        self._declare()

    def _on_undeclarable(self, queue: str, error: BrokerError) -> None:
        for entry in self._end_declaration():
            if queue in self._names([entry]):
                self._give_up(entry[0], str(error))
            else:
                self._missing.append(entry)
        self._declare()
        self._on_answered()  # a drain may have waited for this

    def _give_up(self, tag: int, reason: str) -> None:
        self._sent_again.discard(tag)
        copy = self._copies.pop(tag, None)
        self._on_given_up(tag, reason, copy)

    def _names(self, entries: Sequence[tuple[int, Sequence[Publish]]]) -> list[str]:
        return [self._queues.spec(index).name for index in _indexes(entries)]

    def _publish_copy(self, tag: int) -> None:
        self.flush()  # the ledger counts in the order in which messages leave
        copy = self._copies[tag]
        self._ledger.expect(tag, (copy.queue, copy.stands_for))
        queue = self._queues.spec(copy.queue).name
        self.link.channel.basic_publish("", queue, copy.body, copy.properties, mandatory=True)


def _indexes(entries: Sequence[tuple[int, Sequence[Publish]]]) -> list[int]:
    return sorted({queue for _, publishes in entries for queue, _ in publishes})


def stand_in_for(body: bytes) -> int:
    """Return what stands for a message where the ledger has an id; equal bodies are equal."""
    try:
        return decode_id(body)
    except MalformedIdError:
        return zlib.crc32(body)
