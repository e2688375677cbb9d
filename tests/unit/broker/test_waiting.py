"""Questions to RabbitMQ whose answer is waited for."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slingshot_microservice.broker.waiting import WaitingChannel


class Answering:
    """A channel, and its connection, on which a queue is said to hold one thing after another."""

    def __init__(self, answers: list[tuple[int, int]]) -> None:
        self.answers = answers
        self.channel = WaitingChannel(cast(Any, self), cast(Any, self))

    def add_on_close_callback(self, callback: Callable[..., None]) -> None:
        """Never close."""

    def queue_declare(self, _queue: str, *, passive: bool, callback: Callable[[Any], None]) -> None:
        assert passive
        messages, consumers = self.answers.pop(0)
        answer = SimpleNamespace(message_count=messages, consumer_count=consumers)
        callback(SimpleNamespace(method=answer))

    def wait(self, ready: Callable[[], object], _seconds: float) -> bool:
        return bool(ready())


@pytest.mark.parametrize(
    "answers",
    [
        [(7, 1)],
        [(7, 0)],
        [(0, 1)],
        [(0, 0), (7, 1)],  # a quorum queue that is busy says nothing for a while
        [(0, 0), (0, 0), (0, 0), (7, 1)],
        [(0, 0), (0, 0), (0, 0), (0, 0)],
    ],
)
def test_nothing_and_nobody_is_believed_when_it_is_repeated(answers: list[tuple[int, int]]) -> None:
    last = answers[-1]
    answering = Answering(answers)
    assert answering.channel.count("in.dead") == last
    assert not answering.answers
