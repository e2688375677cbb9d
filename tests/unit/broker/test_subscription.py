"""Whatever is wanted, and whenever RabbitMQ answers: in the end it is so."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from slingshot_microservice.broker.subscription import Subscription, SubscriptionState

ONE = [("t", "in", 100)]
TWO = [("t-suspect", "in.suspect", 1), *ONE]


class FakeChannel:
    """Answers when it is told to, and treats tags and callbacks as pika does.

    pika calls back whoever waits for any consumer's end, before it forgets the consumer.
    """

    is_open = True

    def __init__(self) -> None:
        self.consumers: dict[str, tuple[str, int]] = {}  # RabbitMQ's: queue and prefetch, by tag
        self._prefetch = 0
        self._tags: set[str] = set()  # pika's
        self._asked: list[tuple[str, str, Any]] = []
        self._waiting_for_end: list[Any] = []

    def basic_qos(self, *, prefetch_count: int) -> None:
        self._prefetch = prefetch_count

    def basic_consume(self, queue: str, _read: Any, *, consumer_tag: str, callback: Any) -> None:
        assert consumer_tag not in self._tags, "DuplicateConsumerTag"
        self._tags.add(consumer_tag)
        self._asked.append(("consume", consumer_tag, (callback, queue, self._prefetch)))

    def basic_cancel(self, tag: str, *, callback: Any) -> None:
        assert tag in self._tags
        self._waiting_for_end.append(callback)
        self._asked.append(("cancel", tag, None))

    def answer(self) -> bool:
        """Answer the oldest question, if there is one."""
        if not self._asked:
            return False
        what, tag, callback = self._asked.pop(0)
        if what == "consume":
            callback, queue, prefetch = callback
            self.consumers[tag] = queue, prefetch
            if callback is not None:
                callback(None)
        else:
            del self.consumers[tag]
            waiting, self._waiting_for_end = self._waiting_for_end, []
            for each in waiting:
                each(None)
            self._tags.remove(tag)
        return True


@pytest.mark.parametrize("consumers", [ONE, TWO])
def test_any_order_of_wishes_and_answers(consumers: list[tuple[str, str, int]]) -> None:
    for story in product("+-.p", repeat=6):
        channel: Any = FakeChannel()
        subscription = Subscription(consumers, lambda: None)
        subscription.open(channel)
        prefetch = 100
        for step in story:
            if step == ".":
                channel.answer()
            elif step == "p":
                prefetch += 1
                subscription.set_prefetch(prefetch)
            else:
                subscription.wanted = step == "+"
        while channel.answer():
            pass
        wanted = subscription.wanted
        expected = {queue: (queue, count) for _, queue, count in consumers}
        expected["in"] = "in", prefetch
        consuming = {queue: (queue, count) for queue, count in channel.consumers.values()}
        assert consuming == (expected if wanted else {}), story
        assert len(channel.consumers) == len(consuming), story
        assert (subscription.state is SubscriptionState.CONSUMING) == wanted, story


def test_another_prefetch_leaves_the_other_consumer_alone() -> None:
    channel: Any = FakeChannel()
    changes: list[SubscriptionState] = []
    subscription = Subscription(TWO, lambda: changes.append(subscription.state))
    subscription.wanted = True
    subscription.open(channel)
    while channel.answer():
        pass
    (suspects,) = [tag for tag, (queue, _) in channel.consumers.items() if queue == "in.suspect"]
    subscription.set_prefetch(7)
    while channel.answer():
        pass
    assert channel.consumers.pop(suspects) == ("in.suspect", 1), "it may have a message in hand"
    assert list(channel.consumers.values()) == [("in", 7)]
    consuming, idle = SubscriptionState.CONSUMING, SubscriptionState.IDLE
    assert changes == [consuming, idle, consuming]


def test_a_channel_that_is_being_closed_is_asked_for_nothing() -> None:
    channel: Any = FakeChannel()
    subscription = Subscription(TWO, lambda: None)
    subscription.wanted = True
    subscription.open(channel)
    while channel.answer():
        pass
    channel.is_open = False
    subscription.wanted = False
    assert not channel.answer()
