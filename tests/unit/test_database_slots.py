"""Places are given in the order in which they were asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from servers.ports import wait_for

from slingshot_microservice.database.slots import Slots

BOUND = 20.0  # seconds after which waiting has failed


class Queue:
    """Threads that wait for a place, one behind another, and write down who had it."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._threads: list[threading.Thread] = []
        self.order: list[str] = []

    def join(self, name: str) -> None:
        """Let another one wait, behind the others."""
        waiting = len(self._slots._waiting)
        thread = threading.Thread(target=self._wait, args=(name,))
        self._threads.append(thread)
        thread.start()
        wait_for(lambda: len(self._slots._waiting) > waiting, BOUND, f"{name} to wait")

    def end(self) -> None:
        """Wait until all have had their turn."""
        for thread in self._threads:
            thread.join(BOUND)
            assert not thread.is_alive()

    def _wait(self, name: str) -> None:
        if self._slots.take(BOUND):
            self.order.append(name)
            self._slots.give()


@pytest.fixture
def queue_for() -> Iterator[Callable[[Slots], Queue]]:
    queues: list[Queue] = []

    def make(slots: Slots) -> Queue:
        queues.append(Queue(slots))
        return queues[-1]

    yield make
    for queue in queues:
        queue.end()


def test_there_are_as_many_as_there_are() -> None:
    slots = Slots(2)
    assert [slots.take(0) for _ in range(3)] == [True, True, False]
    slots.give()
    assert [slots.take(0) for _ in range(2)] == [True, False]


def test_who_asks_first_is_served_first(queue_for: Callable[[Slots], Queue]) -> None:
    slots = Slots(1)
    assert slots.take(0)
    queue = queue_for(slots)
    for name in "abc":
        queue.join(name)
    slots.give()
    queue.end()
    assert queue.order == ["a", "b", "c"]


def test_who_gives_a_place_back_does_not_overtake(queue_for: Callable[[Slots], Queue]) -> None:
    slots = Slots(1)
    assert slots.take(0)
    queue = queue_for(slots)
    queue.join("waiting")
    slots.give()
    assert slots.take(BOUND), "behind the other"
    assert queue.order == ["waiting"]
    slots.give()


def test_who_gives_up_loses_no_place() -> None:
    slots = Slots(1)
    assert slots.take(0)
    assert not slots.take(0.01)
    slots.give()
    assert slots.take(0), "it is not kept for who has given up"
