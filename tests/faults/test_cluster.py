"""Nodes of a cluster die and fall silent. Only `make faults` has the time for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count as counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from servers.cluster import RabbitMQCluster
from servers.rabbitmq import RabbitMQNode

from slingshot_microservice.broker.prefetch import PREFETCH_MAX

from .plan import Behaviour
from .scene import Scene
from .sizes import sized
from .waiting import pass_time, wait_for_runs

if TYPE_CHECKING:
    from servers.queues import QueueClient

SECONDS = sized(small=20.0, full=180.0)
# Longer than it takes the others to miss a leader, and than the client to miss its broker.
AWAY_SECONDS = 25.0
HEARTBEAT = 4
IDS_A_ROUND = 6_500  # more than can be done while the node is away
# More than is in hand at most: what is in hand still runs when there is no leader.
TAKEN_OVER = PREFETCH_MAX + 500
TAKE_OVER_SECONDS = 100.0
BEFORE_THE_FAULT = 200
JOB = Behaviour(seconds=0.004)
DRAIN_SECONDS = 120.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitMQCluster]:
    """Three nodes."""
    with RabbitMQCluster() as cluster:
        yield cluster


@pytest.fixture
def rabbitmq(cluster: RabbitMQCluster) -> QueueClient:
    """Whatever node can answer, in the place of the one that other scenarios have."""
    return cluster


@pytest.fixture
def queue_type() -> str:
    return "quorum"


@pytest.mark.parametrize("how", ["killed", "partitioned"])
def test_leader(scene: Scene, cluster: RabbitMQCluster, how: str) -> None:
    scene.scenario = f"leader of three nodes {how}"
    scene.describe(rabbitmq={"host": list(cluster.hosts)})
    ledger, ids = scene.ledger, counter()
    ledger.announce("cannot be sent|cannot be put aside")  # while a queue has no leader
    service = scene.service(JOB, heartbeat=HEARTBEAT)
    service.start()
    begin, pauses = time.monotonic(), list[float]()
    while time.monotonic() < begin + SECONDS:
        runs = ledger.runs()
        ledger.send([next(ids) for _ in range(IDS_A_ROUND)])
        wait_for_runs(ledger, runs + BEFORE_THE_FAULT)
        # The one that leads what comes in, and the one that leads what goes out, in turn.
        leader = cluster.leader((scene.inbound, scene.outbound)[len(pauses) % 2])
        lose(leader, how)
        moment, lost = time.time(), time.monotonic()
        wait_for_runs(ledger, ledger.runs() + TAKEN_OVER, TAKE_OVER_SECONDS)
        pass_time(lost, AWAY_SECONDS)
        pauses.append(longest_pause(scene, moment))
        cluster.find(leader)
        for queue in (scene.inbound, scene.outbound):
            cluster.leader(queue)
        ledger.wait_until_accounted(DRAIN_SECONDS)
    scene.finish(service, timeout=DRAIN_SECONDS)
    scene.note(
        f"{SECONDS:.0f} s, {len(pauses)} times; longest pause in work {max(pauses):.1f} s; "
        "drained, queues empty at the end"
    )
    ledger.check()


def longest_pause(scene: Scene, moment: float) -> float:
    """Return the most seconds since then, of Unix time, in which no request was begun."""
    scene.ledger.journal.read()
    begun = (it.time for it in scene.ledger.journal.events if it.kind == "start")
    times = [moment, *(time for time in begun if time > moment), time.time()]
    return max(later - earlier for earlier, later in pairwise(times))


def lose(node: RabbitMQNode, how: str) -> None:
    """Take a node from the others and from the service."""
    if how == "killed":
        node.kill()
    else:
        node.pause()
