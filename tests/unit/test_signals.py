"""What SIGUSR1 does while a service runs is undone afterwards."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from slingshot_microservice.signals import show_stacks_on_signal

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
