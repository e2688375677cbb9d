"""The broker runs out of memory or disk, and stops whoever publishes."""

from __future__ import annotations

import os
import signal
import time

import pytest
from servers.ports import wait_for

from .alarms import ALARMS, alarm
from .gauges import Gauges
from .plan import Behaviour
from .scene import Scene
from .sizes import sized
from .waiting import pass_time, wait_for_log, wait_for_runs

IDS = 600
SECONDS = sized(small=2.5, full=60.0)
SECONDS_EACH = 0.02
RESUME_SECONDS = sized(small=30.0, full=5.0)  # only the latter is a measurement
IDLE_CPU = 0.05  # of one processor
IN_HAND = 2  # requests that may still begin when there is no consumer any more


@pytest.mark.parametrize("resource", ALARMS)
def test_alarm(scene: Scene, resource: str) -> None:
    scene.scenario = f"{resource} alarm"
    broker, ledger = scene.world.rabbitmq, scene.ledger
    ledger.send(range(IDS))
    service = scene.service(Behaviour(seconds=SECONDS_EACH))
    service.start()
    wait_for_runs(ledger, IDS // 4)
    # The service is held meanwhile, or it might be through before there is an alarm.
    os.kill(service.pid, signal.SIGSTOP)
    with alarm(broker, resource) as ended:
        os.kill(service.pid, signal.SIGCONT)
        wait_for_log(service, "blocks publishers")
        wait_for(lambda: broker.consumers(scene.inbound) == 0, what="the consumer to go")
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
