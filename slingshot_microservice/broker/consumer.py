"""The consuming side: deliveries in, acknowledgements and refusals out. I/O thread only."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from ..errors import BrokerError
from ..hotpath import Delivery, FrameWriter, Inbox, Ledger, RawDelivery, Received
from .amqp import IOLoop, Link, Timer
from .declaration import QueueDeclaration
from .deliverylimit import DeliveryLimitCheck
from .inhand import InHand, RecentIds
from .isolation import Isolation
from .prefetch import PrefetchTuner
from .protocol import paused, shorten_utf8
from .queues import QueueSpec
from .subscription import Subscription, SubscriptionState

__all__ = ["NO_PROPERTIES", "Consumer", "ConsumerEvents"]

_log = logging.getLogger(__name__)

_RECENT_IDS = 100_000
NO_PROPERTIES = b"\x00\x00"
"""The properties of a message that has none, as they are on the wire."""


class ConsumerEvents(Protocol):
    """What a `Consumer` reports."""

    def on_declared(self) -> None:
        """All queues exist and the channel is open."""
        ...

    def on_consuming(self) -> None:
        """RabbitMQ has confirmed the consumer."""
        ...

    def on_stopped(self) -> None:
        """RabbitMQ has confirmed that nothing more is sent, and all that was sent is here."""
        ...

    def on_queue_error(self, queue: str, error: BrokerError) -> None:
        """A queue cannot be had."""
        ...

    def on_unusual(self, raw: RawDelivery) -> int | None:
        """A message needs a closer look. Returns its id, or None when it is dealt with."""
        ...

    def runs_alone(self, tag: int) -> bool:
        """Whether a message is to be run while no worker has another in hand."""
        ...

    def on_hand_back(self, tag: int) -> bool:
        """A message is to be given back. Returns whether that is seen to."""
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
        suspects: The queue of messages that are to be run one at a time, if there is one.
        prefetch: Messages handed over before the first of them is acknowledged; or what finds out
            how many that should be.
        inbox: Where the workers find their deliveries.
        events: Whom to tell.

    Attributes:
        epoch: Which life of the channel this is.
        in_hand: What came in and is not settled.
        recent: What this process has had in hand and not settled.
    """

    link: Link

    def __init__(
        self,
        loop: IOLoop,
        ledger: Ledger,
        *,
        service: str,
        queues: Sequence[QueueSpec],
        suspects: str | None,
        prefetch: int | PrefetchTuner,
        inbox: Inbox,
        events: ConsumerEvents,
    ) -> None:
        self._loop = loop
        self._ledger = ledger
        self._queues = queues
        self._inbox = inbox
        self._isolation = Isolation(loop, inbox)
        self._events = events
        self._tuner = prefetch if isinstance(prefetch, PrefetchTuner) else None
        self._prefetch = prefetch.prefetch if isinstance(prefetch, PrefetchTuner) else prefetch
        self._ended = 0  # requests
        # One tag a replica, so that RabbitMQ's listing says which is which.
        tag = shorten_utf8(f"{service}-consumer-{socket.gethostname()}-{os.getpid()}", 240)
        consumers = [(tag, queues[0].name, self._prefetch)]
        if suspects is not None:
            consumers.insert(0, (f"{tag}-suspect", suspects, 1))
        self.subscription = Subscription(consumers, self._on_subscription)
        self._writer = FrameWriter(Link.CHANNEL, [])
        self._timers: dict[int, Timer] = {}  # of deliveries that wait to be handed back
        self._started = False
        self._cancelled = False
        self._pauses: set[str] = set()
        self._declared = False
        self._consuming = False
        self._first = True
        self.in_hand = InHand()
        self.recent = RecentIds(_RECENT_IDS)
        self.epoch = 0

    @property
    def is_declared(self) -> bool:
        """Whether the channel is open and all queues exist."""
        return self._declared

    @property
    def inbound(self) -> str:
        """The name of the queue."""
        return self._queues[0].name

    @property
    def trouble(self) -> str | None:
        """What keeps messages from coming in, for people; any thread may ask."""
        if self._pauses:
            return paused(self._pauses)
        if self._consuming:  # or only about to do so with another prefetch
            return None
        return self.link.trouble or f"queue {self.inbound!r}: {self.subscription.state.value}"

    def on_ready(self) -> None:
        """The channel is open: see that there is something to consume."""
        self._begin_epoch()
        self._writer.take()
        # Later on the outbound ones are seen to when they do not take a message.
        read = self.subscription.queues
        queues = self._queues if self._first else [q for q in self._queues if q.name in read]
        QueueDeclaration(
            self.link.connection,
            queues,
            self._on_declared,
            self._events.on_queue_error,
        )

    def on_lost(self) -> None:
        """The channel is gone, and with it every delivery that is not settled."""
        self._begin_epoch()
        self._declared = self._consuming = False
        self.subscription.lose()
        self._drop_timers()
        self.recent.add(self.in_hand.clear())
        self._ledger.forget_deliveries()
        self._events.on_deliveries_lost()

    def on_blocked(self) -> None:
        """Of no consequence: RabbitMQ blocks who publishes, and this connection does not."""

    def on_unblocked(self) -> None:
        """Likewise."""

    def on_received(self, received: Received) -> None:
        """Pass deliveries on to the workers."""
        deliveries = received.deliveries
        again = [delivery for delivery in deliveries if delivery[2]]
        if received.raw or again:
            deliveries = self._look_closer(deliveries, again, received.raw)
        else:
            self._ledger.deliver(deliveries)
        if not deliveries:
            return
        if self.subscription.wanted:
            self.in_hand.add(deliveries[-1][0], deliveries)
            self._hand_over(deliveries, unusual=bool(received.raw or again))
        else:
            self._refuse_all(deliveries)

    def start(self) -> None:
        """Consume as soon as possible, and again after every loss."""
        self._started = True
        self._want()

    def pause(self, reason: str) -> None:
        """Take no messages while ``reason`` stands; hand back what no worker has begun."""
        self._pauses.add(reason)
        self._want()
        self._refuse_all(self._isolation.take_back())

    def resume(self, reason: str) -> None:
        """End one reason for a pause."""
        self._pauses.discard(reason)
        self._want()

    def cancel(self) -> None:
        """Take no more messages; hand back what no worker has begun, and what waits for its pause.

        The workers end with what they have in hand.
        """
        self._cancelled = True
        self._want()
        tags = list(self._timers)
        self._drop_timers()
        self._refuse(tags)
        self._refuse_all(self._isolation.take_back())
        self._inbox.close()

    def hand_back(self, tag: int, id: int) -> None:
        """Return a delivery to its queue."""
        self._refuse_all([(tag, id, True)])

    def hand_back_later(self, tag: int, id: int, pause: float) -> None:
        """Return a delivery to its queue after ``pause`` seconds, or at once after `cancel`."""
        self.recent.add([id])
        if pause > 0 and not self._cancelled:
            self._timers[tag] = self._loop.call_later(pause, partial(self._hand_back_now, tag))
        else:
            self._refuse([tag])

    def note_ended(self, requests: int) -> None:
        """Note that so many more requests have ended, however they did."""
        self._ended += requests
        if self._tuner is not None and time.monotonic() >= self._tuner.next_look:
            self.tune()

    def tune(self) -> None:
        """See whether to take more or fewer messages at a time."""
        tuner, inbox = self._tuner, self._inbox
        if tuner is None or not tuner.look(
            time.monotonic(), inbox.busy_seconds, self._ended, inbox.busy_workers
        ):
            return
        self._prefetch = tuner.prefetch
        _log.info(
            "requests take %.3g ms: prefetch is %d now", tuner.mean_seconds * 1e3, self._prefetch
        )
        self.subscription.set_prefetch(self._prefetch)

    def acknowledge(self) -> None:
        """Send the acknowledgements that are due."""
        if self._ledger.acknowledge(self._writer):
            self.link.send(self._writer.take())
            self.in_hand.drop(self._ledger.oldest_open)

    def _look_closer(
        self, deliveries: list[Delivery], again: list[Delivery], raw: list[RawDelivery]
    ) -> list[Delivery]:
        """Return, in order, what is to be run of deliveries that are not all as usual."""
        unusual = [RawDelivery(tag, True, NO_PROPERTIES, b"%d" % id) for tag, id, _ in again] + raw
        usual = [delivery for delivery in deliveries if not delivery[2]]
        self._ledger.deliver(sorted([*usual, *((raw.tag, 0, True) for raw in unusual)]))
        for message in unusual:
            id = self._events.on_unusual(message)
            if id is None:
                self.note_ended(1)
            else:
                usual.append((message.tag, id, message.redelivered))
        return sorted(usual)

    def _hand_over(self, deliveries: list[Delivery], *, unusual: bool) -> None:
        alone = [it for it in deliveries if self._events.runs_alone(it[0])] if unusual else []
        for delivery in alone:
            self._isolation.put_alone(delivery)
        self._isolation.put([it for it in deliveries if it not in alone] if alone else deliveries)

    def _begin_epoch(self) -> None:
        self.epoch += 1
        self._isolation.renew(self.epoch)

    def _want(self) -> None:
        self.subscription.wanted = self._started and not (self._cancelled or self._pauses)

    def _on_declared(self) -> None:
        if self._first:
            DeliveryLimitCheck(self.link.connection, self.inbound)
        self._first = False
        self._declared = True
        self._events.on_declared()
        self.subscription.open(self.link.channel)

    def _on_subscription(self) -> None:
        state = self.subscription.state
        if state is SubscriptionState.CONSUMING and not self._consuming:
            self._consuming = True
            _log.info("consuming queue %r, prefetch %d", self.inbound, self._prefetch)
            self._events.on_consuming()
        elif state is SubscriptionState.IDLE and not self.subscription.wanted:
            self._consuming = False
            self._events.on_stopped()
        elif state is SubscriptionState.IDLE:
            # Between two consumers: of what the next one may have no more, let others have it.
            self._refuse_all(self._isolation.take_back(keep=self._prefetch))

    def _hand_back_now(self, tag: int) -> None:
        del self._timers[tag]
        self._refuse([tag])

    def _refuse_all(self, deliveries: Sequence[Delivery]) -> None:
        self.recent.add(id for _, id, _ in deliveries)
        tags = [tag for tag, _, _ in deliveries]
        self._refuse([tag for tag in tags if not self._events.on_hand_back(tag)])

    def _refuse(self, tags: Sequence[int]) -> None:
        # nack, not reject: from RabbitMQ 4.3 a reject counts as a failed delivery.
        for tag in tags:
            self._writer.nack(tag, True)
            self._ledger.settle(tag)
        if tags:
            self.link.send(self._writer.take())
            self.in_hand.drop(self._ledger.oldest_open)

    def _drop_timers(self) -> None:
        for timer in self._timers.values():
            self._loop.remove_timeout(timer)
        self._timers.clear()
