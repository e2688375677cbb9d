"""One message runs alone; what comes meanwhile waits, and nothing gets lost."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from slingshot_microservice.broker.inbox import Inbox, Seat
from slingshot_microservice.broker.isolation import Isolation
from slingshot_microservice.hotpath import Delivery

Deliveries = list[Delivery]


def of(*tags: int) -> Deliveries:
    return [(tag, 10 * tag, False) for tag in tags]


class Kit:
    """Two workers, whose waiting is not real, and a loop whose time is not."""

    def __init__(self) -> None:
        self.timers: list[Callable[[], None]] = []
        loop: Any = SimpleNamespace(call_later=self.call_later)
        self.inbox = Inbox(lambda _epoch, _delivery: False)
        self.isolation = Isolation(loop, self.inbox)
        self.isolation.renew(1)
        self.seats = [self.inbox.seat(), self.inbox.seat()]
        for seat in self.seats:
            self.wait(seat)

    def call_later(self, _seconds: float, call: Callable[[], None]) -> object:
        """Keep what is to be called."""
        self.timers.append(call)
        return call

    def wait(self, seat: Seat) -> None:
        """Let a worker that finds nothing announce that it waits."""
        assert not len(self.inbox)
        self.inbox.waiting.append(seat)

    def take(self, seat: Seat) -> int:
        """Let a worker take a delivery; return its tag."""
        seat.wake.acquire(blocking=False)
        work = seat.receive()
        assert work is not None
        return work[1][0]

    def tick(self) -> None:
        """Let the time of the loop pass."""
        timers, self.timers = self.timers, []
        for call in timers:
            call()


@pytest.fixture
def kit() -> Kit:
    return Kit()


def test_without_such_a_message_deliveries_pass(kit: Kit) -> None:
    kit.isolation.put(of(1, 2))
    assert [kit.take(seat) for seat in kit.seats] == [1, 2]
    assert not kit.timers


def test_it_runs_when_nobody_has_anything_and_holds_the_others(kit: Kit) -> None:
    one, other = kit.seats
    kit.isolation.put(of(1, 2, 3))
    assert [kit.take(one), kit.take(other)] == [1, 2]
    kit.isolation.put_alone((4, 40, False))
    assert len(kit.inbox) == 0, "what was not begun is held"
    kit.isolation.put(of(5))
    kit.wait(one)
    kit.tick()
    assert len(kit.inbox) == 0, "the other worker is not done"
    kit.wait(other)
    kit.tick()
    assert kit.take(other) == 4
    kit.isolation.put(of(6))
    kit.tick()
    assert len(kit.inbox) == 0, "it runs"
    kit.wait(other)
    kit.tick()
    assert [kit.take(one), kit.take(other), kit.take(one)] == [3, 5, 6]


def test_it_runs_at_once_where_nobody_has_anything(kit: Kit) -> None:
    kit.isolation.put_alone((1, 10, False))
    assert kit.take(kit.seats[0]) == 1


def test_all_that_was_not_begun_can_be_taken_back(kit: Kit) -> None:
    kit.isolation.put(of(1, 2))
    assert kit.take(kit.seats[0]) == 1
    kit.isolation.put_alone((3, 30, False))
    kit.isolation.put(of(4, 5))
    assert kit.isolation.take_back(keep=2) == of(5)
    assert kit.isolation.take_back() == of(2, 3, 4)


def test_another_channel_makes_all_of_it_void(kit: Kit) -> None:
    kit.isolation.put(of(1))
    assert kit.take(kit.seats[0]) == 1
    kit.isolation.put_alone((2, 20, False))
    kit.isolation.put(of(3))
    kit.isolation.renew(2)
    kit.wait(kit.seats[0])
    kit.tick()
    kit.isolation.put(of(1))
    assert kit.take(kit.seats[1]) == 1
