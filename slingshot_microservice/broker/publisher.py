"""The publishing side: outputs out, confirms and returns in. I/O thread only."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Sequence
from functools import partial

from ..backoff import pauses
from ..errors import BrokerError
from ..hotpath import (
    Finished,
    FrameWriter,
    Ledger,
    MalformedIdError,
    Publish,
    RawDelivery,
    Received,
    Returned,
    decode_id,
)
from .amqp import Link, Properties, read_past_pika
from .declaration import QueueDeclaration

__all__ = ["Publisher"]

_log = logging.getLogger(__name__)

_DEAD_QUEUE = -1  # stands for the queue of the dead, where others have an index


class Publisher:
    """Sends outputs until they are safe, across losses of the connection.

    Args:
        ledger: Notes what left and what was answered.
        queues: The names that indexes stand for.
        dead_queue: The name of the queue of the dead.
        refused_pause: Seconds before a delivery whose outputs were refused twice is given up;
            grows with every such delivery.
        refused_pause_limit: Seconds that this grows to.
        on_ready: Called when publishing has become possible.
        on_answered: Called when publishes have become safe.
        on_given_up: Called with a delivery tag, the pause and the reason.
    """

    link: Link

    def __init__(
        self,
        ledger: Ledger,
        *,
        queues: Sequence[str],
        dead_queue: str,
        refused_pause: float,
        refused_pause_limit: float,
        on_ready: Callable[[], None],
        on_answered: Callable[[], None],
        on_given_up: Callable[[int, float, str], None],
    ) -> None:
        self._ledger = ledger
        self._queues = list(queues)
        self._indexes = {queue: index for index, queue in enumerate(self._queues)}
        self._dead_queue = dead_queue
        self._writer = FrameWriter(Link.CHANNEL, self._queues)
        self._new_pauses = partial(pauses, refused_pause, refused_pause_limit)
        self._pauses = self._new_pauses()
        self._on_publishing = on_ready
        self._on_answered = on_answered
        self._on_given_up = on_given_up
        self._confirming = False
        self._unsent: list[tuple[int, Sequence[Publish]]] = []
        self._missing: list[tuple[int, list[Publish]]] = []  # their queues are to be declared
        self._declaring: list[tuple[int, list[Publish]]] = []  # their queues are being declared
        self._declaration_runs = False
        self._sent_again: set[int] = set()
        self._warned: set[str] = set()  # queues that were named in the log, on this channel
        self._dead: dict[int, tuple[bytes, Properties]] = {}

    @property
    def is_ready(self) -> bool:
        """Whether the channel is open and confirms are on."""
        return self._confirming

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be sent or waits for its answer."""
        return self._ledger.is_idle and not (self._unsent or self._missing or self._declaring)

    def on_ready(self) -> None:
        """The channel is open: switch confirms on."""
        self.link.channel.confirm_delivery(read_past_pika, callback=self._on_confirms_on)

    def on_lost(self) -> None:
        """The channel is gone: what is not known to be safe is to be sent again."""
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
        for returned in received.returns:
            self._on_returned(returned)
        self._ledger.confirm(received.confirms)
        if self._sent_again or self._dead:
            self._forget_finished()
        refused = self._ledger.take_refused()
        if refused:
            self._on_refused(refused)
        self._on_answered()

    def publish(self, tag: int, publishes: Sequence[Publish]) -> None:
        """Send the outputs of delivery ``tag``; `flush` lets them go."""
        if publishes and not self._confirming:
            self._unsent.append((tag, publishes))
        elif tag in self._dead:
            self._publish_dead(tag)
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

    def park(self, raw: RawDelivery, properties: Properties) -> None:
        """Send a message as it is to the queue of the dead, for its own delivery."""
        self._dead[raw.tag] = raw.body, properties
        self.publish(raw.tag, [_dead_publish(raw.body)])

    def forget_deliveries(self) -> None:
        """All deliveries are void; only what belongs to none is still to be sent."""
        self._unsent = [entry for entry in self._unsent if not entry[0]]
        self._missing = [entry for entry in self._missing if not entry[0]]
        self._declaring = [entry for entry in self._declaring if not entry[0]]
        self._sent_again &= {0}
        self._dead.clear()

    def waits_for(self, tag: int) -> bool:
        """Whether outputs of delivery ``tag`` are not safe yet."""
        pending = (*self._unsent, *self._missing, *self._declaring)
        return self._ledger.waits_for(tag) or any(tag == entry[0] for entry in pending)

    def _forget_finished(self) -> None:
        for tag in self._ledger.finished:
            self._dead.pop(tag, None)
            if tag in self._sent_again:
                self._sent_again.discard(tag)
                self._pauses = self._new_pauses()

    def _on_confirms_on(self, _frame: object) -> None:
        self._confirming = True
        unsent, self._unsent = self._unsent, []
        for tag, publishes in unsent:
            self.publish(tag, publishes)
        self.flush()
        self._on_publishing()

    def _on_returned(self, returned: Returned) -> None:
        publish = self._identify(returned)
        # The queue of the dead is made when it is first needed.
        if publish[0] != _DEAD_QUEUE and returned.queue not in self._warned:
            self._warned.add(returned.queue)
            _log.warning("queue %r did not take a message: %s", returned.queue, returned.text)
        self._ledger.returned(publish)

    def _identify(self, returned: Returned) -> Publish:
        index = self._indexes.get(returned.queue)
        try:
            if index is not None:
                return index, decode_id(returned.body)
        except MalformedIdError:
            pass  # not lost: the queue of the dead is an outbound one, too
        return _dead_publish(returned.body)

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
            self._declaring, self._missing = self._missing, []
            QueueDeclaration(
                self.link.connection,
                self._names(self._declaring),
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

    def _give_up(self, tag: int, reason: str) -> None:
        self._sent_again.discard(tag)
        self._dead.pop(tag, None)
        self._on_given_up(tag, next(self._pauses), reason)

    def _names(self, entries: Sequence[tuple[int, Sequence[Publish]]]) -> list[str]:
        queues = {queue for _, publishes in entries for queue, _ in publishes}
        return [self._dead_queue if q == _DEAD_QUEUE else self._queues[q] for q in sorted(queues)]

    def _publish_dead(self, tag: int) -> None:
        self.flush()  # the ledger counts in the order in which messages leave
        body, properties = self._dead[tag]
        self._ledger.expect(tag, _dead_publish(body))
        self.link.channel.basic_publish("", self._dead_queue, body, properties, mandatory=True)


def _dead_publish(body: bytes) -> Publish:
    """Stand for a parked message where others have an id; only equal bodies are equal."""
    return _DEAD_QUEUE, zlib.crc32(body)
