"""The consuming side: deliveries in, acknowledgements and refusals out. I/O thread only."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from ..errors import BrokerError
from ..hotpath import FrameWriter, Ledger, RawDelivery, Received
from .amqp import IOLoop, Link, Timer, read_past_pika
from .declaration import QueueDeclaration
from .protocol import Batch, shorten_utf8

__all__ = ["Consumer", "ConsumerEvents"]

_log = logging.getLogger(__name__)


class ConsumerEvents(Protocol):
    """What a `Consumer` reports."""

    def on_declared(self) -> None:
        """All queues exist and the channel is open."""
        ...

    def on_consuming(self) -> None:
        """RabbitMQ has confirmed the consumer."""
        ...

    def on_queue_error(self, error: BrokerError) -> None:
        """A queue cannot be had."""
        ...

    def on_raw(self, raw: RawDelivery) -> int | None:
        """A message needs a closer look. Returns its id, or None when it is dealt with."""
        ...

    def on_deliveries_lost(self) -> None:
        """All deliveries are void: the broker gives them out again."""
        ...


class Consumer:
    """One consumer on the inbound queue, made again whenever its channel was lost.

    Args:
        loop: The I/O thread's loop.
        ledger: Says what may be acknowledged.
        service: The service's name, for the consumer's tag.
        queues: The queues that must exist to begin with; the first is the inbound one.
        prefetch: Messages handed over before the first of them is acknowledged.
        events: Whom to tell.
    """

    link: Link

    def __init__(
        self,
        loop: IOLoop,
        ledger: Ledger,
        *,
        service: str,
        queues: Sequence[str],
        prefetch: int,
        events: ConsumerEvents,
    ) -> None:
        self._loop = loop
        self._ledger = ledger
        self._queues = queues
        self._prefetch = prefetch
        self._events = events
        # One tag a replica, so that RabbitMQ's listing says which is which.
        self._tag = shorten_utf8(f"{service}-consumer-{socket.gethostname()}-{os.getpid()}")
        self._writer = FrameWriter(Link.CHANNEL, [])
        self._timers: dict[int, Timer] = {}  # of deliveries that wait to be handed back
        self._wanted = False
        self._cancelled = False
        self._declared = False
        self._first = True
        self.inbox: SimpleQueue[Batch | None] = SimpleQueue()
        self.epoch = 0

    @property
    def is_declared(self) -> bool:
        """Whether the channel is open and all queues exist."""
        return self._declared

    def on_ready(self) -> None:
        """The channel is open: see that there is something to consume."""
        self.epoch += 1
        self._writer.take()
        # Later on the outbound ones are seen to when they do not take a message.
        queues = self._queues if self._first else self._queues[:1]
        QueueDeclaration(
            self.link.connection,
            queues,
            self._on_declared,
            lambda _queue, error: self._events.on_queue_error(error),
        )

    def on_lost(self) -> None:
        """The channel is gone, and with it every delivery that is not settled."""
        self.epoch += 1
        self._declared = False
        self._drop_timers()
        self._ledger.forget_deliveries()
        self._events.on_deliveries_lost()

    def on_received(self, received: Received) -> None:
        """Pass deliveries on to the workers."""
        deliveries = received.deliveries
        unusual = [(raw.tag, 0, raw.redelivered) for raw in received.raw]
        self._ledger.deliver(sorted(deliveries + unusual) if unusual else deliveries)
        for raw in received.raw:
            id = self._events.on_raw(raw)
            if id is not None:
                deliveries.append((raw.tag, id, raw.redelivered))
        if not deliveries:
            return
        if self._cancelled:
            self._refuse([tag for tag, _, _ in deliveries])
        else:
            self.inbox.put(Batch(self.epoch, deliveries))

    def start(self) -> None:
        """Consume as soon as possible, and again after every loss."""
        self._wanted = True
        if self._declared:
            self._consume()

    def cancel(self) -> None:
        """Take no more messages; hand back what no worker has, and what waits for its pause."""
        self._cancelled = True
        if self._declared and self._wanted:
            self.link.channel.basic_cancel(self._tag)
        tags = list(self._timers)
        self._drop_timers()
        try:
            while batch := self.inbox.get_nowait():
                if batch.epoch == self.epoch:
                    tags += [tag for tag, _, _ in batch.deliveries]
        except Empty:
            pass  # that is what was to be reached
        self._refuse(tags)
        self.inbox.put(None)

    def hand_back(self, epoch: int, tag: int, pause: float) -> None:
        """Return a delivery to its queue after ``pause`` seconds, or at once after `cancel`."""
        if epoch != self.epoch:
            return
        if pause > 0 and not self._cancelled:
            self._timers[tag] = self._loop.call_later(pause, partial(self._hand_back_now, tag))
        else:
            self._refuse([tag])

    def acknowledge(self) -> None:
        """Send the acknowledgements that are due."""
        if self._ledger.acknowledge(self._writer):
            self.link.send(self._writer.take())

    def _on_declared(self) -> None:
        self._first = False
        self._declared = True
        self._events.on_declared()
        if self._wanted:
            self._consume()

    def _consume(self) -> None:
        if not self._cancelled:
            self.link.channel.basic_qos(
                prefetch_count=self._prefetch, callback=self._on_prefetch_set
            )

    def _on_prefetch_set(self, _frame: object) -> None:
        if not self._cancelled:
            self.link.channel.basic_consume(
                self._queues[0],
                read_past_pika,
                consumer_tag=self._tag,
                callback=self._on_consuming,
            )

    def _on_consuming(self, _frame: object) -> None:
        _log.info("consuming queue %r, prefetch %d", self._queues[0], self._prefetch)
        self._events.on_consuming()

    def _hand_back_now(self, tag: int) -> None:
        del self._timers[tag]
        self._refuse([tag])

    def _refuse(self, tags: Sequence[int]) -> None:
        # nack, not reject: from RabbitMQ 4.3 a reject counts as a failed delivery.
        for tag in tags:
            self._writer.nack(tag, True)
            self._ledger.settle(tag)
        if tags:
            self.link.send(self._writer.take())

    def _drop_timers(self) -> None:
        for timer in self._timers.values():
            self._loop.remove_timeout(timer)
        self._timers.clear()
