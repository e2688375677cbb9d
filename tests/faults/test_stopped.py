"""The process is asked to end, as every update of a deployment does."""

from __future__ import annotations

import time
from random import Random
from typing import NamedTuple

from .plan import Behaviour
from .scene import Scene
from .sizes import sized


class Restarts(NamedTuple):
    ids: int
    restarts: int
    longest: float  # seconds


SIZE = sized(small=Restarts(600, 2, 0.5), full=Restarts(10_000, 20, 2.0))
LONG_JOBS = 100  # one of so many is no short one
# Long enough for work to be left after the last stop.
SHORT_SECONDS = sized(small=0.005, full=0.001)
EXIT_SECONDS = sized(small=15.0, full=1.0)  # only the latter is a measurement


def test_stopped_under_load(scene: Scene) -> None:
    random = Random(15)
    jobs = {
        id: Behaviour(seconds=random.uniform(0, SIZE.longest))
        for id in range(0, SIZE.ids, LONG_JOBS)
    }
    scene.ledger.send(range(SIZE.ids))
    service = scene.service(Behaviour(seconds=SHORT_SECONDS), jobs)
    service.start()
    slowest = 0.0
    for _ in range(SIZE.restarts):
        scene.wait_for_runs(random.randrange(1, SIZE.ids // (SIZE.restarts + 1)))
        slowest = max(slowest, service.stop())
        scene.ledger.fault_ended(time.time())
        service.start()
    scene.finish(service, timeout=60 + SIZE.ids / 20)
    scene.note(f"{SIZE.restarts} restarts, jobs to {SIZE.longest} s; slowest exit {slowest:.1f} s")
    scene.ledger.check()
    assert scene.ledger.repeats() == scene.ledger.duplicates() == 0
    assert slowest <= SIZE.longest + EXIT_SECONDS
