"""One thing after another goes wrong, for a long time. Only `make faults` has it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from itertools import count as counter

from servers.proxy import Direction, Proxy

from .alarms import alarm
from .gauges import Gauges
from .plan import Behaviour
from .scene import Scene
from .service import Service
from .sizes import SOAK_VARIABLE, sized
from .waiting import pass_time, wait_for_runs

MINUTES = float(os.environ.get(SOAK_VARIABLE) or sized(small=1.0, full=30.0))
ROUND_SECONDS = sized(small=10.0, full=30.0)
FAULT_SECONDS = sized(small=2.0, full=8.0)
IDS_A_ROUND = sized(small=500, full=1_500)
WARM_UP = 0.2  # of the time
FLAT = 0.02
SEED = 30


class Misfortunes:
    """What can go wrong with the service that is killed, the wire and the broker."""

    def __init__(self, scene: Scene, proxy: Proxy, victim: Service) -> None:
        self._broker = scene.world.rabbitmq
        self._proxy = proxy
        self._victim = victim
        self.all: tuple[Callable[[], None], ...] = (
            self.cut,
            self.cut_soon,
            self.hold,
            self.slow,
            self.kill_service,
            self.restart_service,
            self.kill_broker,
            self.restart_broker,
            self.alarm,
        )

    def cut(self) -> None:
        self._proxy.cut()

    def cut_soon(self) -> None:
        self._proxy.cut_after(1_000, Direction.DOWN, times=2)

    def hold(self) -> None:
        self._proxy.hold()
        pass_time(time.monotonic(), FAULT_SECONDS)
        self._proxy.release()

    def slow(self) -> None:
        self._proxy.slow(20_000)
        pass_time(time.monotonic(), FAULT_SECONDS)
        self._proxy.slow(0)

    def kill_service(self) -> None:
        self._victim.kill()
        self._victim.start()

    def restart_service(self) -> None:
        self._victim.stop()
        self._victim.start()

    def kill_broker(self) -> None:
        self._broker.kill()
        self._broker.start()

    def restart_broker(self) -> None:
        self._broker.restart()

    def alarm(self) -> None:
        with alarm(self._broker, "memory"):
            pass_time(time.monotonic(), FAULT_SECONDS)


def test_soak(scene: Scene, proxy: Proxy) -> None:
    chance, ledger, ids = random.Random(SEED), scene.ledger, counter()
    lasting = scene.service(Behaviour(seconds=0.005), heartbeat=2)
    victim = scene.service(Behaviour(seconds=0.005), heartbeat=2)
    misfortunes = Misfortunes(scene, proxy, victim)
    for service in (lasting, victim):
        service.start()
    begin, readings, names = time.monotonic(), [], []
    while (now := time.monotonic()) < begin + 60 * MINUTES:
        runs = ledger.runs()
        ledger.send([next(ids) for _ in range(IDS_A_ROUND)])
        wait_for_runs(ledger, runs + IDS_A_ROUND // 10)
        misfortune = chance.choice(misfortunes.all)
        names.append(misfortune.__name__)
        misfortune()
        ledger.fault_ended(time.time())
        ledger.wait_until_accounted(60)
        pass_time(now, max(ROUND_SECONDS, time.monotonic() - now))
        readings.append((time.monotonic() - begin, Gauges.of(lasting.pid).memory_bytes))
    victim.stop()
    scene.finish(lasting)
    growth = fitted_growth([it for it in readings if it[0] > 60 * MINUTES * WARM_UP])
    scene.note(f"{MINUTES:g} min, seed {SEED}, {len(names)} faults; memory {growth:+.1%}")
    ledger.check()
    assert growth <= FLAT, names


def fitted_growth(readings: list[tuple[float, int]]) -> float:
    """Return by what share of its mean the line through the readings rises over their time."""
    times, values = zip(*readings, strict=True)
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((t - middle) ** 2 for t in times)
    slope = sum((t - middle) * (v - mean) for t, v in readings) / spread if spread else 0.0
    return float(slope * (times[-1] - times[0]) / mean)
