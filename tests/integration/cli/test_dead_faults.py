"""``dead replay`` of many, while something happens to it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from servers.command_line import Command
from servers.parked import ParkedService
from servers.ports import wait_for
from servers.proxy import Direction, Proxy

_MANY = 10_000
_ENOUGH = 1_000  # messages that are through when it happens
_SLOW_BYTES = 500_000  # a second; a message takes some hundreds
_WINDOW = 500  # messages that may be sent a second time


@pytest.fixture(params=["classic", "quorum"])
def full(request: pytest.FixtureRequest, shout: ParkedService) -> ParkedService:
    """The service, with many parked messages in a queue of either type."""
    shout.remove(shout.dead)
    shout.rabbitmq.declare(shout.dead, arguments={"x-queue-type": request.param})
    shout.park(*(b"%d" % id for id in range(_MANY)))
    return shout


@pytest.fixture
def wire(full: ParkedService) -> Iterator[Proxy]:
    """The wire to the broker, slow enough for a replay to be in its middle for some seconds."""
    with Proxy(full.rabbitmq.host, full.rabbitmq.port) as proxy:
        proxy.slow(_SLOW_BYTES, Direction.UP)
        full.lead_to(proxy.host, proxy.port)
        yield proxy


def _wait_until_it_is_in_the_middle(shout: ParkedService) -> None:
    wait_for(lambda: shout.rabbitmq.depth(shout.inbound) >= _ENOUGH, what="a part of the replay")


def _wait_until_nobody_holds(shout: ParkedService) -> None:
    mq, dead = shout.rabbitmq, shout.dead
    wait_for(lambda: mq.unsettled(dead) == mq.depth(dead), what="all to be given back")


def _repeated(shout: ParkedService) -> int:
    """Check that every id is there, and return how many are there twice."""
    rabbitmq = shout.rabbitmq
    _wait_until_nobody_holds(shout)
    sent = Counter(rabbitmq.drain(shout.inbound, rabbitmq.depth(shout.inbound)))
    kept = Counter(rabbitmq.drain(shout.dead, rabbitmq.depth(shout.dead)))
    assert set(sent) | set(kept) == {b"%d" % id for id in range(_MANY)}
    assert max((sent + kept).values()) <= 2
    return (sent + kept).total() - _MANY


def test_a_kill_loses_nothing_and_repeats_one_window(full: ParkedService, wire: Proxy) -> None:
    with Command("dead", "replay", "shout", folder=full.folder) as command:
        _wait_until_it_is_in_the_middle(full)
        command.signal(signal.SIGKILL)
        wire.slow(0)
        assert command.wait() == -signal.SIGKILL
    _wait_until_nobody_holds(full)
    assert full.rabbitmq.depth(full.dead) > 0

    assert full.run("replay", "shout").wait() == 0

    assert full.rabbitmq.depth(full.dead) == 0
    assert _repeated(full) <= _WINDOW


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_repetition(
    number: signal.Signals, full: ParkedService, wire: Proxy
) -> None:
    with Command("dead", "replay", "shout", folder=full.folder) as command:
        _wait_until_it_is_in_the_middle(full)
        command.signal(number)
        wire.slow(0)
        assert command.wait() == 130
        (line,) = command.output
    assert command.errors == []
    sent = full.rabbitmq.depth(full.inbound)
    assert line == f"{sent:,} of {_MANY:,} messages parked in '{full.dead}' replayed"
    assert sent < _MANY
    assert _repeated(full) == 0


def test_a_lost_connection_is_one_line_and_loses_nothing(full: ParkedService) -> None:
    with Command("dead", "replay", "shout", folder=full.folder) as command:
        _wait_until_it_is_in_the_middle(full)
        command.signal(signal.SIGSTOP)  # or it might be through before rabbitmqctl has started
        full.rabbitmq.control("close_all_connections", "gone for a test")
        command.signal(signal.SIGCONT)
        command.wait()
    assert command.wait() == 3, "\n".join(command.errors)
    (line,) = command.errors
    assert "was lost: 320 CONNECTION_FORCED" in line
    assert "all others stay parked" in line
    assert _repeated(full) <= _WINDOW
