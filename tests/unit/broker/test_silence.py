"""A connection is given up when nothing came in for one and a half heartbeats."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from slingshot_microservice.broker.silence import SilenceWatch

HEARTBEAT = 8.0


class Wire:
    """A loop whose time is told, and a connection on which bytes come in as told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.received = 0
        self.silences: list[float] = []
        self._timers: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = 0

    def call_later(self, delay: float, callback: Callable[[], None]) -> int:
        self._numbers += 1
        self._timers[self._numbers] = self.now + delay, callback
        return self._numbers

    def remove_timeout(self, timeout_handle: int) -> None:
        del self._timers[timeout_handle]

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while due := sorted((when, n) for n, (when, _) in self._timers.items() if when <= end):
            self.now, number = due[0]
            self._timers.pop(number)[1]()
        self.now = end

    def watch(self, heartbeat: float = HEARTBEAT) -> SilenceWatch:
        return SilenceWatch(
            self, heartbeat, lambda: self.received, lambda: self.silences.append(self.now)
        )


@pytest.mark.parametrize("last_byte", [0.0, 0.1, 1.9, 2.1, 30.0])
def test_silence_is_told_once_and_in_less_than_two_heartbeats(last_byte: float) -> None:
    wire = Wire()
    wire.watch()
    while wire.now < last_byte:
        wire.run(min(HEARTBEAT / 2, last_byte - wire.now))
        wire.received += 8
    wire.run(10 * HEARTBEAT)
    assert len(wire.silences) == 1
    assert 1.25 * HEARTBEAT < wire.silences[0] - last_byte < 2 * HEARTBEAT


def test_a_byte_every_half_heartbeat_is_life() -> None:
    wire = Wire()
    wire.watch()
    for _ in range(100):
        wire.run(HEARTBEAT / 2)
        wire.received += 1
    assert wire.silences == []


def test_a_byte_a_heartbeat_is_life_too() -> None:
    wire = Wire()
    wire.watch()
    for _ in range(100):
        wire.run(HEARTBEAT)
        wire.received += 1
    assert wire.silences == []


def test_what_is_stopped_tells_nothing() -> None:
    wire = Wire()
    watch = wire.watch()
    wire.run(HEARTBEAT)
    watch.stop()
    watch.stop()
    wire.run(10 * HEARTBEAT)
    assert wire.silences == []


def test_without_heartbeats_there_is_nothing_to_watch() -> None:
    wire = Wire()
    wire.watch(0).stop()
    wire.run(10 * HEARTBEAT)
    assert wire.silences == []
