"""The prefetch follows what requests take: rarely, by powers of two, to a fixed span of work."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest

from slingshot_microservice.broker.prefetch import PREFETCH_MAX, PrefetchTuner


class Load:
    """Workers that are never idle, and a clock that goes with them."""

    def __init__(self, workers: int = 1) -> None:
        self.tuner = PrefetchTuner(workers)
        self.workers = workers
        self.changes: list[tuple[float, int]] = []
        self.now = 1_000.0
        self._busy = 0.0
        self._ended = 0

    def run(self, requests: Iterable[float]) -> None:
        """Process requests of so many seconds each."""
        for seconds in requests:
            self.now += seconds / self.workers
            self._busy += seconds
            self._ended += 1
            if self.now >= self.tuner.next_look:
                self.look()

    def look(self, running: int = 1) -> None:
        """Look now."""
        if self.tuner.look(self.now, self._busy, self._ended, running):
            self.changes.append((self.now, self.tuner.prefetch))

    def hang(self, seconds: float) -> None:
        """Let requests run on for so long without an end."""
        self.now += seconds
        self._busy += seconds * self.workers
        self.look(self.workers)


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [
        (8e-6, 1, PREFETCH_MAX),
        (1e-3, 1, 128),
        (10e-3, 1, 16),
        (100e-3, 1, 2),
        (1.0, 1, 2),
        (60.0, 1, 2),
        (10e-3, 8, 128),
        (1.0, 8, 16),
        (1.0, 3, 8),
    ],
)
def test_each_worker_has_a_tenth_of_a_second_or_two_to_do(
    seconds: float, workers: int, expected: int
) -> None:
    load = Load(workers)
    load.run([seconds] * 2_000)
    assert load.tuner.prefetch == expected


def test_work_that_stays_as_it_is_changes_it_once_or_twice() -> None:
    load = Load()
    load.run([0.001, 0.002] * 20_000)
    assert len(load.changes) <= 2, load.changes


def test_the_first_request_that_is_slow_does_not_count_for_long() -> None:
    load = Load()
    load.run([0.3, *[10e-6] * 20_000])
    assert load.tuner.prefetch == PREFETCH_MAX
    assert load.now < 1_000.6


def test_requests_that_have_become_slow_let_go_of_what_waits() -> None:
    load = Load()
    load.run([10e-6] * 50_000)
    assert load.tuner.prefetch == PREFETCH_MAX
    load.run([1.0] * 12)
    assert load.tuner.prefetch == 2


def test_a_request_that_does_not_end_counts_as_long_as_it_takes() -> None:
    load = Load()
    load.run([10e-6] * 50_000)
    for _ in range(12):
        load.hang(2.0)
    assert load.tuner.prefetch == 2


def test_changes_come_ever_more_rarely() -> None:
    load = Load()
    for _ in range(15):
        load.run([1e-3] * 30_000)
        load.run([0.5] * 100)
    times = [time for time, _ in load.changes]
    pauses = [after - before for before, after in pairwise(times)]
    assert len(pauses) > 15
    assert min(pauses[10:]) >= 9.0


def test_never_more_than_rabbitmq_gives_a_quorum_queue() -> None:
    load = Load(workers=32)
    load.run([1e-6] * 100_000)
    assert load.tuner.prefetch == load.tuner.limit == PREFETCH_MAX <= 2_000


def test_an_idle_service_is_left_as_it_is() -> None:
    load = Load()
    for _ in range(10):
        load.now += 100
        load.look(running=0)
    assert not load.changes
