"""Looking after connections that are up and do not do what they are there for. I/O thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from .amqp import Channel, Connection, IOLoop, Link
from .consumer import Consumer
from .publisher import Publisher
from .subscription import SubscriptionState

__all__ = ["Watch"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_CONSUMER_SECONDS = 30.0  # between two questions whether RabbitMQ knows of a consumer
# For an answer of RabbitMQ's. It owes one for a minute where a consumer of a quorum queue was asked
# for just when the queue's leader was lost; asked again, or elsewhere, it knows the new leader.
_ANSWER_SECONDS = 10.0
_DECLARATION_SECONDS = 30.0  # of all queues, one after another


class Watch:
    """Looks from time to time, and has a connection made anew that does not do its work.

    Users of other clients find services that are connected and consume nothing; an operator may
    have ended the consumer, or a broker forgotten it in a failover.

    Args:
        loop: The I/O thread's loop.
        consumer: Should consume.
        publisher: Should get its confirms.
        confirm_timeout: Seconds without any confirm, while some are due, that are a lost
            connection.
        consumer_timeout: Seconds after which RabbitMQ closes the channel of a consumer that has
            not acknowledged a message; see ``consumer_timeout`` in its documentation.
    """

    def __init__(
        self,
        loop: IOLoop,
        consumer: Consumer,
        publisher: Publisher,
        *,
        confirm_timeout: float,
        consumer_timeout: float,
    ) -> None:
        self._loop = loop
        self._consumer = consumer
        self._publisher = publisher
        self._confirm_timeout = confirm_timeout
        self._warn_after = consumer_timeout / 2
        self._consumer_timeout = consumer_timeout
        self._warned = False
        self._consumer_waits = _Wait()
        self._publisher_waits = _Wait()
        self._asked = 0.0
        self._missed: set[tuple[int, str]] = set()  # epoch and queue that had no consumer

    def start(self) -> None:
        """Look from now on."""
        self._loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self._look_at_consumer(now)
        self._look_at_publisher(now)
        self._look_at_requests()
        self._consumer.tune()  # one that has taken long so far holds up those behind it
        self._loop.call_later(_LOOK_SECONDS, self._look)

    def _look_at_consumer(self, now: float) -> None:
        consumer, link = self._consumer, self._consumer.link
        state, waits = consumer.subscription.state, self._consumer_waits
        wanted = consumer.subscription.wanted
        goal = SubscriptionState.CONSUMING if wanted else SubscriptionState.IDLE
        if link.is_ready and not consumer.is_declared:
            waits.check(link, "asked for its queues", now, _DECLARATION_SECONDS)
        elif link.is_ready and state is not goal:
            waits.check(link, state.value, now)
        elif link.is_connected and not link.is_ready:
            waits.check(link, "asked for a channel", now)
        else:
            waits.end()
            asked = now - self._asked <= _CONSUMER_SECONDS
            if link.is_connected and state is SubscriptionState.CONSUMING and not asked:
                self._asked = now
                self._ask(link.connection)

    def _ask(self, connection: Connection) -> None:
        epoch = self._consumer.epoch
        for queue in self._consumer.subscription.queues:
            _ConsumerCount(connection, queue, partial(self._check_count, epoch, queue))

    def _check_count(self, epoch: int, queue: str, consumers: int) -> None:
        """Take an answer; RabbitMQ says 0 of a quorum queue that is busy, too, but not twice."""
        consuming = self._consumer.subscription.state is SubscriptionState.CONSUMING
        if consumers or not consuming or epoch != self._consumer.epoch:
            self._missed.discard((epoch, queue))
        elif (epoch, queue) in self._missed:
            self._missed.clear()
            self._consumer.link.restart("RabbitMQ knows of no consumer on the queue")
        else:
            self._missed.add((epoch, queue))
            self._asked = -_CONSUMER_SECONDS  # at the next look

    def _look_at_publisher(self, now: float) -> None:
        link, seconds = self._publisher.link, self._publisher.unanswered_seconds
        if seconds > self._confirm_timeout:
            link.restart(f"no confirm for {seconds:.0f} s (option confirm_timeout)")
        elif link.is_connected and not self._publisher.is_ready:
            self._publisher_waits.check(link, "asked for a channel with confirms", now)
        elif self._publisher.is_declaring:
            what = f"asked for queues, time {self._publisher.declarations}"
            self._publisher_waits.check(link, what, now, _DECLARATION_SECONDS)
        else:
            self._publisher_waits.end()

    def _look_at_requests(self) -> None:
        seconds = self._consumer.in_hand.seconds
        if seconds < self._warn_after:
            self._warned = False
        elif not self._warned:
            self._warned = True
            _log.warning(
                "a request has been in hand for %.0f s; RabbitMQ is to close the channel at "
                "%.0f s (option consumer_timeout): raise consumer_timeout there, or lower prefetch",
                seconds,
                self._consumer_timeout,
            )


class _Wait:
    """Waiting for an answer, which is not to be for ever."""

    def __init__(self) -> None:
        self._what = ""
        self._since = 0.0

    def check(self, link: Link, what: str, now: float, limit: float = _ANSWER_SECONDS) -> None:
        """Note what is waited for; when that has been the same for too long, connect again."""
        if what != self._what:
            self._what, self._since = what, now
        elif now - self._since > limit:
            self.end()
            link.restart(f"RabbitMQ does not answer: {what}", at_once=True)

    def end(self) -> None:
        """Note that nothing is waited for."""
        self._what = ""


class _ConsumerCount:
    """Asks how many consumers a queue has. If the question cannot be asked, nobody is told."""

    def __init__(
        self, connection: Connection, queue: str, on_answer: Callable[[int], None]
    ) -> None:
        self._queue = queue
        self._on_answer = on_answer
        connection.channel(on_open_callback=self._ask)

    def _ask(self, channel: Channel) -> None:
        def take(frame: Any) -> None:
            if channel.is_open:
                channel.close()
            self._on_answer(frame.method.consumer_count)

        channel.queue_declare(self._queue, passive=True, callback=take)
