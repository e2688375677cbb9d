"""The broker goes away, in good order or not, and comes back."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from slingshot_microservice.options import Options

from .plan import Behaviour
from .scene import QUEUE_TYPES, Scene
from .sizes import sized
from .waiting import wait_for_runs

# After the port opens, with the pauses that users get by default; only the latter is a measurement.
RESUME_SECONDS = sized(small=30.0, full=5.0)


class Outages(NamedTuple):
    ids: int
    outages: int


SIZE = sized(small=Outages(600, 1), full=Outages(20_000, 5))
# Long enough for work to be left when the broker has gone away.
SECONDS = sized(small=0.02, full=0.002)
CASES = sized(
    small=[("restarted", "classic"), ("killed", "quorum")],
    full=[(how, queue_type) for how in ("restarted", "killed") for queue_type in QUEUE_TYPES],
)


@pytest.mark.parametrize(("how", "queue_type"), CASES)
def test_broker(scene: Scene, how: str) -> None:
    scene.scenario = f"broker {how}"
    broker, ledger = scene.world.rabbitmq, scene.ledger
    ledger.send([0])
    defaults = Options()
    service = scene.service(
        Behaviour(seconds=SECONDS),
        reconnect_pause=defaults.reconnect_pause,
        reconnect_pause_limit=defaults.reconnect_pause_limit,
    )
    service.start()
    wait_for_runs(ledger, 1)
    broker.write_down()
    ledger.send(range(1, SIZE.ids))
    for number in range(SIZE.outages):
        wait_for_runs(ledger, SIZE.ids * (number + 1) // (SIZE.outages + 1))
        if how == "killed":
            broker.kill()
        else:
            broker.stop()
        broker.start()
        ledger.fault_ended(broker.opened)
    scene.finish(service, timeout=60 + SIZE.ids / 50)
    scene.note(f"{SIZE.outages} outages; at work ≤ {RESUME_SECONDS:.0f} s after the port opens")
    ledger.check()
    recovery = ledger.recovery_seconds()
    assert recovery is not None
    assert recovery <= RESUME_SECONDS
    assert defaults.reconnect_pause_limit < RESUME_SECONDS, "an outage may be longer than this one"
