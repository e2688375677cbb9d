"""A message comes again: did a worker die of it, or only a connection?"""

from __future__ import annotations

from typing import Any, cast

import pytest

from slingshot_microservice.broker.amqp import encode_properties, make_properties
from slingshot_microservice.broker.publisher import Copy
from slingshot_microservice.broker.queues import QueueBook
from slingshot_microservice.broker.requeue import RequeuePauses
from slingshot_microservice.broker.retries import RetryPolicy
from slingshot_microservice.broker.settlement import Settlement
from slingshot_microservice.hotpath import RawDelivery


class Books:
    """A settlement, and the copies that it sends."""

    def __init__(self) -> None:
        self.copies: list[tuple[int, Copy]] = []
        self.queues = QueueBook("in", ["out"])
        self.recent: set[int] = set()
        self._tag = 0
        self.settlement = Settlement(
            self.queues,
            RetryPolicy(attempts=5, delays=(1.0,), deaths=3),
            RequeuePauses(0.1, 1.0),
            service="test",
            consumer=cast(Any, self),
            publisher=cast(Any, self),
            suspects=100,
        )

    def replace(self, tag: int, copy: Copy) -> None:
        self.copies.append((tag, copy))

    def flush(self) -> None: ...

    def look_at_suspect(self, id: int, deaths: int = 0) -> int | None:
        """Let a message that is under suspicion come again."""
        self._tag += 1
        headers: dict[str, object] = {"slingshot-deaths": deaths}
        properties = encode_properties(make_properties(headers=headers, delivery_mode=2))
        return self.settlement.look_at(RawDelivery(self._tag, True, properties, b"%d" % id))


@pytest.fixture
def books() -> Books:
    return Books()


def test_a_suspect_that_comes_again_has_killed_a_worker(books: Books) -> None:
    assert books.look_at_suspect(7) is None
    assert [copy.queue for _, copy in books.copies] == [books.queues.suspect]


def test_the_one_suspect_that_a_lost_channel_may_have_had_on_its_way_has_not(books: Books) -> None:
    books.settlement.begin_anew()
    assert books.look_at_suspect(7, deaths=2) == 7
    assert books.copies == []


def test_a_second_one_has(books: Books) -> None:
    books.settlement.begin_anew()
    assert books.look_at_suspect(7) == 7
    assert books.look_at_suspect(8, deaths=2) is None
    assert [copy.queue for _, copy in books.copies] == [books.queues.dead]


def test_one_that_this_process_had_before_uses_up_nothing(books: Books) -> None:
    books.settlement.begin_anew()
    books.recent.add(7)
    assert books.look_at_suspect(7) == 7
    assert books.look_at_suspect(8) == 8
    assert books.copies == []
