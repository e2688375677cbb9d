"""The publishing side: outputs out, confirms and returns in. I/O thread only."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Sequence
from functools import partial

from ..backoff import pauses
from ..errors import BrokerError
from ..hotpath import (
    FrameWriter,
    MalformedIdError,
    Publish,
    RawDelivery,
    Received,
    Returned,
    decode_id,
)
from .amqp import Link, Properties, read_past_pika
from .declaration import QueueDeclaration
from .ledger import Ledger

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
        self._declaring: list[tuple[int, list[Publish]]] = []
        self._sent_again: set[int] = set()
        self._dead: dict[int, tuple[bytes, Properties]] = {}

    @property
    def is_ready(self) -> bool:
        """Whether the channel is open and confirms are on."""
        return self._confirming

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be sent or waits for its answer."""
        return not (self._unsent or self._declaring) and self._ledger.is_idle

    def on_ready(self) -> None:
        """The channel is open: switch confirms on."""
        self.link.channel.confirm_delivery(read_past_pika, callback=self._on_confirms_on)

    def on_lost(self) -> None:
        """The channel is gone: what is not known to be safe is to be sent again."""
        self._confirming = False
        self._writer.take()
        self._unsent += self._ledger.forget_publishes()
        self._unsent += self._ledger.take_refused()
        self._unsent += self._declaring
        self._declaring = []

    def on_received(self, received: Received) -> None:
        """Enter returns and confirms into the books."""
        for returned in received.returns:
            self._on_returned(returned)
        confirm = self._ledger.confirm
        for sequence, multiple, accepted in received.confirms:
            confirm(sequence, multiple, accepted)
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
            return
        self._ledger.expect(tag, publishes)
        if tag in self._dead:
            self._publish_dead(*self._dead[tag])
            return
        write = self._writer.publish
        for queue, id in publishes:
            write(queue, id)

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
        self._declaring = [entry for entry in self._declaring if not entry[0]]
        self._sent_again &= {0}
        self._dead.clear()

    def waits_for(self, tag: int) -> bool:
        """Whether outputs of delivery ``tag`` are not safe yet."""
        pending = (*self._unsent, *self._declaring)
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
        if publish[0] != _DEAD_QUEUE:  # which is made when it is first needed
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
        again = [entry for entry in refused if entry[0] not in self._sent_again]
        for tag, publishes in refused:
            if tag in self._sent_again:
                names = sorted({self._name(queue) for queue, _ in publishes})
                self._give_up(tag, f"refused twice by {', '.join(map(repr, names))}")
        if not again:
            return
        names = sorted({self._name(queue) for _, publishes in again for queue, _ in publishes})
        self._declaring += again
        self._sent_again |= {tag for tag, _ in again}
        QueueDeclaration(self.link.connection, names, self._send_again, self._on_undeclarable)

    def _send_again(self) -> None:
        declaring, self._declaring = self._declaring, []
        for tag, publishes in declaring:
            self.publish(tag, publishes)
        self.flush()

    def _on_undeclarable(self, error: BrokerError) -> None:
        declaring, self._declaring = self._declaring, []
        for tag, _ in declaring:
            self._give_up(tag, str(error))

    def _give_up(self, tag: int, reason: str) -> None:
        self._sent_again.discard(tag)
        self._dead.pop(tag, None)
        self._on_given_up(tag, next(self._pauses), reason)

    def _name(self, queue: int) -> str:
        return self._dead_queue if queue == _DEAD_QUEUE else self._queues[queue]

    def _publish_dead(self, body: bytes, properties: Properties) -> None:
        self.flush()  # the ledger counts in the order in which messages leave
        self.link.channel.basic_publish("", self._dead_queue, body, properties, mandatory=True)


def _dead_publish(body: bytes) -> Publish:
    """Stand for a parked message where others have an id; only equal bodies are equal."""
    return _DEAD_QUEUE, zlib.crc32(body)
