"""Looking after connections that are up and do not do what they are there for. I/O thread only."""

from __future__ import annotations

import logging
import time

from .amqp import Connection, IOLoop, QueueCount
from .consumer import Consumer
from .publisher import Publisher
from .subscription import SubscriptionState

__all__ = ["Watch"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_CONSUMER_SECONDS = 30.0  # between two questions whether RabbitMQ knows of a consumer
_ANSWER_SECONDS = 30.0  # for RabbitMQ to start or end one


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
        self._state = SubscriptionState.IDLE
        self._state_since = 0.0
        self._asked = 0.0

    def start(self) -> None:
        """Look from now on."""
        self._loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self._look_at_consumer(now)
        self._look_at_publisher()
        self._look_at_requests()
        self._loop.call_later(_LOOK_SECONDS, self._look)

    def _look_at_consumer(self, now: float) -> None:
        state = self._consumer.subscription.state
        if state is not self._state:
            self._state, self._state_since = state, now
        changing = state in (SubscriptionState.STARTING, SubscriptionState.STOPPING)
        if changing and now - self._state_since > _ANSWER_SECONDS:
            self._consumer.link.restart(f"RabbitMQ does not answer: {state.value}")
        elif state is SubscriptionState.CONSUMING and now - self._asked > _CONSUMER_SECONDS:
            self._asked = now
            self._ask(self._consumer.link.connection)

    def _ask(self, connection: Connection) -> None:
        epoch = self._consumer.epoch

        def check(consumers: int) -> None:
            consuming = self._consumer.subscription.state is SubscriptionState.CONSUMING
            if not consumers and consuming and epoch == self._consumer.epoch:
                self._consumer.link.restart("RabbitMQ knows of no consumer on the queue")

        QueueCount(connection, self._consumer.inbound, check)

    def _look_at_publisher(self) -> None:
        seconds = self._publisher.unanswered_seconds
        if seconds > self._confirm_timeout:
            self._publisher.link.restart(f"no confirm for {seconds:.0f} s (option confirm_timeout)")

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
