"""Being a consumer, or not being one: what is wanted, and what RabbitMQ has confirmed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from .amqp import Channel, read_past_pika

__all__ = ["Subscription", "SubscriptionState"]


class SubscriptionState(enum.Enum):
    """How far it is."""

    IDLE = "not consuming"
    STARTING = "asked to consume"
    CONSUMING = "consuming"
    STOPPING = "asked to stop consuming"


class Subscription:
    """Consumers of one channel that come and go together. I/O thread only.

    Only the last one may go and come by itself, with another prefetch.

    RabbitMQ is asked for one thing at a time: what is wanted meanwhile is done when it has
    answered.

    Args:
        consumers: Consumer tag, queue and prefetch of each, in the order of asking.
        on_change: Called when RabbitMQ has confirmed that all consume, or that what was to end has.

    Attributes:
        state: How far it is.
    """

    def __init__(
        self, consumers: Sequence[tuple[str, str, int]], on_change: Callable[[], None]
    ) -> None:
        self._consumers = list(consumers)
        self._on_change = on_change
        self._outdated = False
        self._channel: Channel | None = None
        self._wanted = False
        self._tags: list[str] = []
        self._rounds = 0
        self.state = SubscriptionState.IDLE

    @property
    def wanted(self) -> bool:
        """Whether it is to consume."""
        return self._wanted

    @wanted.setter
    def wanted(self, wanted: bool) -> None:
        self._wanted = wanted
        self._act()

    @property
    def queues(self) -> set[str]:
        """The names of the queues."""
        return {queue for _, queue, _ in self._consumers}

    def set_prefetch(self, prefetch: int) -> None:
        """Let the last consumer have another prefetch: for that RabbitMQ needs a new one."""
        tag, queue, _ = self._consumers[-1]
        self._consumers[-1] = tag, queue, prefetch
        self._outdated = True
        self._act()

    def open(self, channel: Channel) -> None:
        """Use ``channel`` from now on."""
        self._channel = channel
        self._tags = []
        self.state = SubscriptionState.IDLE
        self._act()

    def lose(self) -> None:
        """The channel is gone, and the consumers with it."""
        self._channel = None
        self.state = SubscriptionState.IDLE

    def _act(self) -> None:
        if self._channel is None or not self._channel.is_open:  # or being closed by us
            return
        if self.state is SubscriptionState.IDLE:
            if self._wanted:
                self.state = SubscriptionState.STARTING
                self._start(self._channel)
            elif self._tags:
                self.state = SubscriptionState.STOPPING
                self._stop(self._channel)
        elif self.state is SubscriptionState.CONSUMING and (self._outdated or not self._wanted):
            self.state = SubscriptionState.STOPPING
            self._stop(self._channel)

    def _start(self, channel: Channel) -> None:
        # The prefetch counts for the consumers that are started after it. pika sends each of these
        # when the one before it is answered, so the last answer speaks for all. It calls us back
        # before it forgets the tag of a consumer that has ended: so tags are not used twice.
        self._rounds += 1
        self._outdated = False
        new = self._consumers[len(self._tags) :]
        for name, queue, prefetch in new:
            tag = f"{name}-{self._rounds}"
            self._tags.append(tag)
            channel.basic_qos(prefetch_count=prefetch)
            channel.basic_consume(
                queue,
                read_past_pika,
                consumer_tag=tag,
                callback=self._on_consuming if len(self._tags) == len(self._consumers) else None,
            )

    def _stop(self, channel: Channel) -> None:
        # pika calls back whoever waits for any consumer's end: so they are ended one by one.
        channel.basic_cancel(self._tags.pop(), callback=self._on_stopped)

    def _on_consuming(self, _frame: object) -> None:
        self._enter(SubscriptionState.CONSUMING)

    def _on_stopped(self, _frame: object) -> None:
        channel = self._channel
        # Another prefetch is the last one's alone: another consumer may have a message in hand,
        # and would get one more.
        left = 0 if not self._wanted else len(self._consumers) - 1
        if len(self._tags) > left and channel is not None and channel.is_open:
            self._stop(channel)
        else:
            self._enter(SubscriptionState.IDLE)

    def _enter(self, state: SubscriptionState) -> None:
        if self._channel is not None and self._channel.is_open:
            self.state = state
            self._on_change()
            self._act()
