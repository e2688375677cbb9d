"""One message runs alone; what comes meanwhile waits, and nothing gets lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from servers.ports import wait_for

from slingshot_microservice.broker.isolation import Isolation
from slingshot_microservice.broker.protocol import Receiver
from slingshot_microservice.hotpath import Delivery, Inbox

BOUND = 20.0  # seconds after which waiting has failed
Deliveries = list[Delivery]


def of(*tags: int) -> Deliveries:
    return [(tag, 10 * tag, False) for tag in tags]


class Kit:
    """Two workers, each of which is told when its request ends, and a loop whose time is not real.

    Args:
        pool: Where the workers have their threads.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.timers: list[Callable[[], None]] = []
        loop: Any = SimpleNamespace(call_later=self.call_later)
        self.inbox = Inbox(lambda _epoch, _delivery: False)
        self.isolation = Isolation(loop, self.inbox)
        self.isolation.renew(1)
        self.taken: SimpleQueue[int] = SimpleQueue()
        self.ended: defaultdict[int, Event] = defaultdict(Event)
        for _ in range(2):
            pool.submit(self.work, self.inbox.seat())
        self.wait_for_busy(0)

    def call_later(self, _seconds: float, call: Callable[[], None]) -> object:
        """Keep what is to be called."""
        self.timers.append(call)
        return call

    def work(self, seat: Receiver) -> None:
        """Be a worker."""
        while (work := seat.receive()) is not None:
            tag = work[1][0]
            self.ended[tag].clear()
            self.taken.put(tag)
            self.ended[tag].wait(BOUND)

    def take(self) -> int:
        """Wait until a worker takes a delivery; return its tag."""
        return self.taken.get(timeout=BOUND)

    def end(self, tag: int, busy: int) -> None:
        """Let a request end; then so many workers have another one."""
        self.ended[tag].set()
        self.wait_for_busy(busy)

    def wait_for_busy(self, workers: int) -> None:
        wait_for(lambda: self.inbox.busy_workers == workers, BOUND)

    def tick(self) -> None:
        """Let the time of the loop pass."""
        timers, self.timers = self.timers, []
        for call in timers:
            call()


@pytest.fixture
def kit() -> Iterator[Kit]:
    with ThreadPoolExecutor() as pool:
        kit = Kit(pool)
        yield kit
        kit.inbox.close()
        kit.inbox.take_back()
        for event in list(kit.ended.values()):
            event.set()


def test_without_such_a_message_deliveries_pass(kit: Kit) -> None:
    kit.isolation.put(of(1, 2))
    assert {kit.take(), kit.take()} == {1, 2}
    assert not kit.timers


def test_it_runs_when_nobody_has_anything_and_holds_the_others(kit: Kit) -> None:
    kit.isolation.put(of(1, 2, 3))
    assert {kit.take(), kit.take()} == {1, 2}
    kit.isolation.put_alone((4, 40, False))
    assert len(kit.inbox) == 0, "what was not begun is held"
    kit.isolation.put(of(5))
    kit.end(1, busy=1)
    kit.tick()
    assert len(kit.inbox) == 0, "the other worker is not done"
    kit.end(2, busy=0)
    kit.tick()
    assert kit.take() == 4
    kit.isolation.put(of(6))
    kit.tick()
    assert len(kit.inbox) == 0, "it runs"
    kit.end(4, busy=0)
    kit.tick()
    assert {kit.take(), kit.take()} == {3, 5}
    kit.end(3, busy=2)
    assert kit.take() == 6


def test_it_runs_at_once_where_nobody_has_anything(kit: Kit) -> None:
    kit.isolation.put_alone((1, 10, False))
    assert kit.take() == 1


def test_all_that_was_not_begun_can_be_taken_back(kit: Kit) -> None:
    kit.isolation.put(of(1, 2, 3))
    assert {kit.take(), kit.take()} == {1, 2}
    kit.isolation.put_alone((4, 40, False))
    kit.isolation.put(of(5, 6))
    assert kit.isolation.take_back(keep=2) == of(6)
    assert kit.isolation.take_back() == of(3, 4, 5)


def test_another_channel_makes_all_of_it_void(kit: Kit) -> None:
    kit.isolation.put(of(1))
    assert kit.take() == 1
    kit.isolation.put_alone((2, 20, False))
    kit.isolation.put(of(3))
    kit.isolation.renew(2)
    kit.end(1, busy=0)
    kit.tick()
    kit.isolation.put(of(1))
    assert kit.take() == 1
