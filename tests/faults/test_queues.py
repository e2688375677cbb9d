"""Queues vanish, or take no more."""

from __future__ import annotations

import os
import signal
import time

import pytest
from servers.ports import wait_for

from .plan import Behaviour
from .scene import QUEUE_TYPES, Scene
from .sizes import sized
from .waiting import pass_time, wait_for_log, wait_for_runs

IDS = sized(small=60, full=1_000)
DELETIONS = sized(small=2, full=20)
RESUME_SECONDS = sized(small=30.0, full=10.0)  # only the latter is a measurement
FULL_LENGTH = 10
FULL_SECONDS = sized(small=2.0, full=20.0)
# A request is long enough for its predecessor's output to be taken, and the queue deleted.
UNHURRIED = Behaviour(seconds=0.5)


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_inbound_queue_deleted(scene: Scene) -> None:
    ledger, broker = scene.ledger, scene.world.rabbitmq
    ledger.announce("cancelled|deleted")
    ledger.send(range(IDS))
    service = scene.service(Behaviour(seconds=0.01))
    service.start()
    for number in range(DELETIONS):
        wait_for_runs(ledger, IDS * (number + 1) // (DELETIONS + 1))
        broker.delete(scene.inbound)
        ledger.fault_ended(time.time())
        wait_for(lambda: broker.exists(scene.inbound), what="the inbound queue")
        # What the queue held is gone with it; whoever sent it sends it again.
        ledger.send_missing()
    scene.finish(service)
    scene.note(f"{DELETIONS} deletions; what the queue held was sent again")
    ledger.check()
    recovery = ledger.recovery_seconds()
    assert recovery is not None
    assert recovery <= RESUME_SECONDS


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_outbound_queue_deleted(scene: Scene) -> None:
    ledger, broker = scene.ledger, scene.world.rabbitmq
    ledger.send(range(5 * DELETIONS))
    service = scene.service(UNHURRIED)
    service.start()
    for number in range(DELETIONS):
        done = 2 * (number + 1)
        wait_for(lambda done=done: has_come(scene, done), what=f"{done} outputs")  # type: ignore[misc]
        # The service is held meanwhile, or what it sends just then would be thrown away.
        os.kill(service.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: all_is_taken(scene), what="the last output to be taken")
            with broker.channel() as channel:
                held = channel.queue_delete(scene.outbound).method.message_count
        finally:
            os.kill(service.pid, signal.SIGCONT)
        assert held == 0, "the test threw outputs away"
    scene.finish(service)
    scene.note(f"{DELETIONS} deletions")
    ledger.check()


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_outbound_queue_full(scene: Scene) -> None:
    ledger, broker = scene.ledger, scene.world.rabbitmq
    broker.delete(scene.outbound)
    limit = {"x-queue-type": scene.queue_type, "x-max-length": FULL_LENGTH}
    broker.declare(scene.outbound, arguments={**limit, "x-overflow": "reject-publish"})
    ledger.announce("cannot be sent")
    ids = 4 * FULL_LENGTH
    ledger.send(range(ids))
    service = scene.service(Behaviour(seconds=0.02), retry_delays=[0.2, 0.5, 1.0], attempts=100)
    service.start()
    wait_for_log(service, "cannot be sent")
    pass_time(time.monotonic(), FULL_SECONDS)
    # What is told of quorum queues is some seconds old.
    wait_for(lambda: held(scene) >= ids, 60, "a home for every output that was acknowledged")
    ledger.fault_ended(time.time())
    scene.finish(service)
    scene.note(f"{ids} outputs for {FULL_LENGTH} places, full for {FULL_SECONDS:.0f} s")
    ledger.check()


def held(scene: Scene) -> int:
    """Count what has come out and what is yet to be done; what moves just then may be missed."""
    counts = scene.world.rabbitmq.holdings()
    names = (queue for queue in counts if queue.startswith((scene.inbound, scene.outbound)))
    return sum(counts[queue] for queue in names)


def all_is_taken(scene: Scene) -> bool:
    """Collect, and tell whether nothing is left to be taken."""
    scene.ledger.collect()
    return scene.depth(scene.outbound) == 0


def has_come(scene: Scene, outputs: int) -> bool:
    """Collect, and tell whether so many outputs have come."""
    scene.ledger.collect()
    return scene.ledger.outputs.total() >= outputs
