"""Requests that take longer than RabbitMQ expects of a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from servers.proxy import Proxy
from servers.rabbitmq import RabbitMQNode

from .plan import Behaviour
from .scene import Scene
from .sizes import sized

HEARTBEAT = 5  # seconds
HEARTBEATS_A_JOB = 3
_DEFAULT_TIMEOUT_MS, _DEFAULT_TICK_MS = 1_800_000, 60_000
MAX_RUNS = 2


class Patience(NamedTuple):
    timeout: float  # seconds for which the broker waits
    job: float  # seconds
    ids: dict[str, int]  # by type of queue: one job after another takes its time


PATIENCE = sized(
    small=Patience(2.0, 4.0, {"quorum": 2}),
    full=Patience(60.0, 90.0, {"classic": 20, "quorum": 4}),
)
# The warning beforehand comes in a matter of seconds only.
WORDS = sized(
    small="delivery acknowledgement on channel 1 timed out", full="(option consumer_timeout)"
)


def test_process_sleeps_longer_than_heartbeats(scene: Scene, proxy: Proxy) -> None:
    scene.ledger.send(range(1))
    service = scene.service(Behaviour(seconds=HEARTBEATS_A_JOB * HEARTBEAT), heartbeat=HEARTBEAT)
    service.start()
    scene.finish(service)
    scene.note(f"heartbeat {HEARTBEAT} s; {proxy.accepted} connections, none lost")
    scene.ledger.check()
    assert scene.ledger.repeats() == 0
    assert proxy.accepted == 2, "one consumes, one publishes"


@pytest.mark.parametrize("queue_type", PATIENCE.ids)
def test_jobs_longer_than_the_consumer_timeout(scene: Scene) -> None:
    ledger, ids = scene.ledger, PATIENCE.ids[scene.queue_type]
    ledger.send(range(ids))
    with patience(scene.world.rabbitmq, PATIENCE.timeout):
        service = scene.service(Behaviour(seconds=PATIENCE.job), consumer_timeout=PATIENCE.timeout)
        service.start()
        scene.finish(service, timeout=60 + 3 * PATIENCE.job * ids)
    runs = max(ledger.journal.starts.values())
    scene.note(
        f"timeout {PATIENCE.timeout:.0f} s, jobs of {PATIENCE.job:.0f} s, {runs} runs at most"
    )
    ledger.check()
    assert runs <= MAX_RUNS
    assert WORDS in service.log.read_text()


@contextmanager
def patience(node: RabbitMQNode, seconds: float) -> Iterator[None]:
    """Let the broker wait so long for an acknowledgement, on channels that are opened meanwhile."""
    milliseconds = int(1_000 * seconds)
    set_patience(node, milliseconds, milliseconds // 4)
    try:
        yield
    finally:
        set_patience(node, _DEFAULT_TIMEOUT_MS, _DEFAULT_TICK_MS)


def set_patience(node: RabbitMQNode, timeout: int, tick: int) -> None:
    """Set the consumer timeout, and how often it is looked at; both in milliseconds."""
    node.control(
        "eval",
        f"ok = application:set_env(rabbit, consumer_timeout, {timeout}), "
        f"ok = application:set_env(rabbit, channel_tick_interval, {tick}).",
    )
