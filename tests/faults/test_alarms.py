"""The broker runs out of memory or disk, and stops whoever publishes."""

from __future__ import annotations

import time

import pytest

from .alarms import ALARMS, alarm
from .gauges import Gauges
from .plan import Behaviour
from .scene import Scene
from .sizes import sized
from .waiting import pass_time, wait_for_log, wait_for_runs

IDS = 600
SECONDS = sized(small=2.5, full=60.0)
SECONDS_EACH = 0.02  # long enough for work to be left when the alarm has been set off
RESUME_SECONDS = sized(small=30.0, full=5.0)  # only the latter is a measurement
IDLE_CPU = 0.05  # of one processor
IN_HAND = 2  # requests that may begin after the alarm: until the broker says so, and the next


@pytest.mark.parametrize("resource", ALARMS)
def test_alarm(scene: Scene, resource: str) -> None:
    scene.scenario = f"{resource} alarm"
    ledger = scene.ledger
    ledger.send(range(IDS))
    service = scene.service(Behaviour(seconds=SECONDS_EACH))
    service.start()
    wait_for_runs(ledger, IDS // 4)
    with alarm(scene.world.rabbitmq, resource) as ended:
        wait_for_log(service, "blocks publishers")
        runs, before, begin = ledger.runs(), Gauges.of(service.pid), time.monotonic()
        pass_time(begin, SECONDS)
        begun = ledger.runs() - runs
        cpu = (Gauges.of(service.pid).cpu_seconds - before.cpu_seconds) / SECONDS
    ledger.fault_ended(*ended)
    scene.finish(service)
    scene.note(f"{SECONDS:.0f} s; CPU meanwhile {cpu:.1%}; {begun} requests begun in it")
    ledger.check()
    recovery = ledger.recovery_seconds()
    assert recovery is not None
    assert recovery <= RESUME_SECONDS
    assert cpu < IDLE_CPU
    assert begun <= IN_HAND
