"""Waiting for a signal, and what is undone afterwards."""

from __future__ import annotations

import faulthandler
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import takewhile

import pytest
from servers.ports import wait_for

from slingshot_microservice.signals import StopEvent, show_stacks_on_signal

BOUND = 20.0  # seconds after which waiting has failed


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """What a handler of the program's own has heard."""
    faulthandler.unregister(signal.SIGUSR1)  # should another test have left it
    numbers: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda number, _frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGUSR1, previous)


def ask() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def test_stacks_are_shown_where_errors_go(
    heard: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    with show_stacks_on_signal():
        ask()
    shown = capfd.readouterr().err
    assert "most recent call first" in shown
    assert "in ask\n" in shown
    assert not heard, "it is not passed on"


def test_the_programs_own_handler_is_back_afterwards(
    heard: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    with show_stacks_on_signal():
        pass
    ask()
    assert heard == [signal.SIGUSR1]
    assert capfd.readouterr().err == ""


def test_another_thread_changes_nothing(
    heard: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with show_stacks_on_signal():
            inside.set()
            go_on.wait(BOUND)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(BOUND)
    ask()
    go_on.set()
    thread.join(BOUND)
    assert heard == [signal.SIGUSR1]


def test_a_platform_without_it_does_without(
    monkeypatch: pytest.MonkeyPatch, heard: list[int]
) -> None:
    monkeypatch.delattr(faulthandler, "register")
    with show_stacks_on_signal():
        ask()
    assert heard == [signal.SIGUSR1]


ROUNDS = 10_000
LONGEST = 30.0  # seconds after which fewer rounds will do
LATEST = 0.0001  # seconds after which a signal is sent, and after which it is waited for
HELPER = f"""
import os, random, signal, time
while os.read(0, 1):
    begin = time.perf_counter() + random.random() * {LATEST}
    while time.perf_counter() < begin:
        pass
    os.kill({{pid}}, signal.SIGUSR2)
"""


@pytest.fixture
def stop() -> Iterator[StopEvent]:
    """An event that SIGUSR2 sets."""
    event = StopEvent()
    previous = signal.signal(signal.SIGUSR2, lambda _number, _frame: event.set())
    yield event
    signal.signal(signal.SIGUSR2, previous)


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    """Where a descriptor of the program's own is told of signals."""
    ear, bell = socket.socketpair()
    with ear, bell:
        bell.setblocking(False)
        ear.settimeout(BOUND)
        previous = signal.set_wakeup_fd(bell.fileno())
        yield ear
        signal.set_wakeup_fd(previous)


def test_no_signal_is_missed_at_whatever_moment_it_comes(stop: StopEvent) -> None:
    helper = subprocess.Popen(
        [sys.executable, "-c", HELPER.format(pid=os.getpid())], stdin=subprocess.PIPE
    )
    assert helper.stdin
    last = time.monotonic() + LONGEST
    with helper, helper.stdin:
        for _ in takewhile(lambda _: time.monotonic() < last, range(ROUNDS)):
            stop.clear()
            os.write(helper.stdin.fileno(), b"x")
            begin = time.perf_counter() + random.random() * LATEST
            while time.perf_counter() < begin:
                pass
            began = time.monotonic()
            assert stop.wait(3 * BOUND)
            # One that is missed costs a whole wait; then the handler is run all the same.
            assert time.monotonic() - began < 3 * BOUND


def test_another_thread_ends_the_wait_of_the_main_thread(stop: StopEvent) -> None:
    for _ in range(100):
        stop.clear()
        thread = threading.Thread(target=stop.set)
        thread.start()
        assert stop.wait(BOUND)
        thread.join()


def test_all_that_wait_go_on(stop: StopEvent) -> None:
    heard: list[bool] = []
    threads = [threading.Thread(target=lambda: heard.append(stop.wait(BOUND))) for _ in range(5)]
    for thread in threads:
        thread.start()
    signal.raise_signal(signal.SIGUSR2)
    assert stop.wait(BOUND)
    for thread in threads:
        thread.join()
    assert heard == [True] * 5


@pytest.mark.parametrize("timeout", [-1, 0, 0.01])
def test_a_wait_ends_when_its_time_is_over(stop: StopEvent, timeout: float) -> None:
    heard: list[bool] = []
    thread = threading.Thread(target=lambda: heard.append(stop.wait(timeout)))
    thread.start()
    thread.join(BOUND)
    assert not stop.wait(timeout)
    assert heard == [False]


def test_other_signals_do_not_end_it(stop: StopEvent, heard: list[int]) -> None:
    def signal_twice() -> None:
        ask()
        wait_for(lambda: heard, BOUND, "the other signal")
        os.kill(os.getpid(), signal.SIGUSR2)

    thread = threading.Thread(target=signal_twice)
    thread.start()
    assert stop.wait(BOUND)
    thread.join()
    assert heard == [signal.SIGUSR1]


def test_a_descriptor_of_the_programs_own_hears_of_signals_meanwhile_and_later(
    stop: StopEvent, ear: socket.socket
) -> None:
    thread = threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR2))
    thread.start()
    assert stop.wait(BOUND)
    thread.join()
    assert ear.recv(100) == bytes([signal.SIGUSR2])
    signal.raise_signal(signal.SIGUSR2)
    assert ear.recv(100) == bytes([signal.SIGUSR2])


def test_a_signal_that_comes_when_a_wait_ends_is_passed_on_too(
    heard: list[int], ear: socket.socket
) -> None:
    class Ending(StopEvent):
        def is_set(self) -> bool:
            ask()
            return True

    assert Ending().wait(BOUND)
    assert ear.recv(100) == bytes([signal.SIGUSR1])
    assert heard == [signal.SIGUSR1]


def test_who_waits_beside_the_main_thread_keeps_nothing_from_it() -> None:
    class Slow(queue.SimpleQueue[None]):
        def get(self, block: bool = True, timeout: float | None = None) -> None:
            super().get(block, timeout)
            taken.set()
            looked.wait(BOUND)  # the main thread finds it empty, and waits on

    class Looking(StopEvent):
        def is_set(self) -> bool:
            found = super().is_set()
            if taken.is_set():
                looked.set()
            return found

    taken, looked = threading.Event(), threading.Event()
    event = Looking()
    event._queue = Slow()
    thread = threading.Thread(target=event.wait)
    thread.start()
    event.set()
    assert taken.wait(BOUND)
    began = time.monotonic()
    assert event.wait(3 * BOUND)
    assert time.monotonic() - began < 2 * BOUND
    thread.join(BOUND)


# In a process of its own, where nothing else opens and closes descriptors.
WAITS = """
import signal, socket
from slingshot_microservice.signals import StopEvent
def lowest_free():
    with socket.socket() as probe:
        return probe.fileno()
stop = StopEvent()
before = lowest_free()
for _ in range(3):
    assert not stop.wait(0.001)
assert lowest_free() == before
assert signal.set_wakeup_fd(-1) == -1
"""


def test_nothing_is_left_open() -> None:
    subprocess.run([sys.executable, "-c", WAITS], check=True, timeout=3 * BOUND)
