"""What the benchmark says of several processes is what they did."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.ports import wait_for
from servers.rabbitmq import RabbitMQNode

_ROOT = Path(__file__).resolve().parents[2]
_COUNT = 2_000
_BURNT_SECONDS = 0.2
_BURN = f"""
from bench.contestants.work import burn
burn({_BURNT_SECONDS})
print("burnt", flush=True)
input()
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the benchmark."""
    monkeypatch.syspath_prepend(str(_ROOT))
    return lambda name: importlib.import_module(f"bench.{name}")


@pytest.fixture
def assignment(
    bench: Callable[[str], Any], rabbitmq: RabbitMQNode, queue_name: Callable[[str], str]
) -> Any:
    """Two processes of two threads, and work that waits."""
    return bench("contestants.work").Assignment(
        url=rabbitmq.url,
        inbound=queue_name("in"),
        outbound=queue_name("out"),
        work="wait",
        seconds=0.001,
        processes=2,
        at_once=2,
    )


def test_a_fleet_of_two_processes_is_watched_and_checked(
    bench: Callable[[str], Any], assignment: Any, rabbitmq: RabbitMQNode
) -> None:
    fleets = bench("fleets")
    slingshot = bench("contestants.fleet").Slingshot()

    with fleets.RunningFleet(rabbitmq, os.getpid(), slingshot, assignment) as fleet:
        window = fleet.pass_through(_COUNT)
        with fleets.Gauge(rabbitmq) as gauge:
            # One may just be between two consumers, of another prefetch each.
            wait_for(lambda: gauge.consumers(assignment.inbound) == 2, what="two consumers")

    assert window.ids == _COUNT
    assert window.cpu > 0
    assert window.rate > 0
    assert 0 < window.busy <= 1
    assert not rabbitmq.exists(assignment.inbound)
    assert not rabbitmq.exists(assignment.outbound)


def test_a_fleet_that_puts_out_other_ids_is_found_out(
    bench: Callable[[str], Any], assignment: Any, rabbitmq: RabbitMQNode
) -> None:
    fleets = bench("fleets")

    class Wrong(bench("contestants.fleet").Slingshot):  # type: ignore[misc]  # imported at run time
        def body(self, assignment: object, id: int) -> bytes:
            return b"%d" % max(id, 100_000_001)

    with (
        pytest.raises(RuntimeError, match="other ids than it was sent"),
        fleets.RunningFleet(rabbitmq, os.getpid(), Wrong(), assignment) as fleet,
    ):
        fleet.pass_through(3)


def test_cpu_of_processes_below_a_fleet_counts(bench: Callable[[str], Any]) -> None:
    usage = bench("usage")
    with subprocess.Popen(
        [sys.executable, "-c", _BURN],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout
        before = usage.look(os.getpid(), child.pid)
        assert child.stdout.readline()
        after = usage.look(os.getpid(), child.pid)
        child.communicate(b"\n")
    assert after.fleet > after.broker >= _BURNT_SECONDS * 0.9
    assert after.since(before).all > 0
