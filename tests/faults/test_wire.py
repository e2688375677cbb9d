"""The network between the service and the broker breaks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import count as counter
from random import Random
from typing import NamedTuple

import pytest
from servers.ports import wait_for
from servers.proxy import Direction, Proxy

from .gauges import Gauges
from .plan import Behaviour
from .scene import Scene
from .sizes import FULL, sized
from .waiting import pass_time, wait_for_runs

LINKS = 2  # one connection consumes, one publishes
IDS_A_CUT = sized(small=60, full=100)
# In each direction: within the greeting, within the first messages, and among many.
CUTS_AFTER = sized(
    small=(64, 512, 2_048),
    full=(64, 128, 256, 512, 768, 1_024, 1_536, 2_048, 4_096, 5_120),
)
STALE_TAG = re.compile("unknown delivery tag", re.IGNORECASE)

HEARTBEAT = sized(small=2, full=5)  # seconds
HELD_HEARTBEATS = 3
NOTICED_HEARTBEATS = 2
WAYS = {"up": (Direction.UP,), "down": (Direction.DOWN,), "both ways": tuple(Direction)}
TESTED_WAYS = sized(small=("up", "down"), full=tuple(WAYS))


class Flaps(NamedTuple):
    ids: int
    cuts: int


FLAPS = sized(small=Flaps(100, 40), full=Flaps(1_000, 400))
FLAP_SECONDS = 0.06
FLAP_BYTES = 4_000  # of a greeting, and of the first messages

FLAT = 1.02


class Reconnects(NamedTuple):
    warm_up: int
    measured: int


RECONNECTS = sized(small=Reconnects(15, 30), full=Reconnects(50, 1_000))
RECONNECTS_AN_ID = 5


def test_connection_cut_after_so_many_bytes(scene: Scene, proxy: Proxy) -> None:
    broker, ledger = scene.world.rabbitmq, scene.ledger
    logged = len(broker.log)
    service = scene.service()
    service.start()
    wait_for(lambda: proxy.open == LINKS, what="both connections")
    ids = counter()
    for size in CUTS_AFTER:
        for direction in Direction:
            # The second connection to be cut may be one that is just being made.
            proxy.cut_after(size, direction, times=LINKS, reset=size % 256 == 0)
            ledger.send([next(ids) for _ in range(IDS_A_CUT)])
            ledger.wait_until_accounted(30)
            proxy.cut_after(size, direction, times=0)
    scene.finish(service)
    points = len(CUTS_AFTER) * len(Direction)
    scene.note(f"{points} points, {proxy.cuts} cuts; no stale delivery tag")
    ledger.check()
    assert proxy.cuts >= points
    assert STALE_TAG.findall(broker.log[logged:]) == []
    assert STALE_TAG.findall(service.log.read_text()) == []


@pytest.mark.parametrize("way", TESTED_WAYS)
def test_network_held(scene: Scene, proxy: Proxy, way: str) -> None:
    scene.scenario = f"network held, {way}"
    ids = 100 * HEARTBEAT
    scene.ledger.send(range(ids))
    service = scene.service(Behaviour(seconds=0.01), heartbeat=HEARTBEAT)
    service.start()
    wait_for_runs(scene.ledger, ids // 4)
    accepted = proxy.accepted
    proxy.hold(*WAYS[way])
    begin = time.monotonic()
    limit = HELD_HEARTBEATS * HEARTBEAT
    wait_for(lambda: proxy.accepted >= accepted + LINKS, 30, "both to be made again")
    noticed = time.monotonic() - begin
    pass_time(begin, limit)
    proxy.release()
    scene.ledger.fault_ended(time.time())
    scene.finish(service)
    scene.note(f"heartbeat {HEARTBEAT} s, held {limit} s, noticed after {noticed:.1f} s")
    scene.ledger.check()
    if FULL:
        assert noticed <= NOTICED_HEARTBEATS * HEARTBEAT


def test_connection_flaps_under_load(scene: Scene, proxy: Proxy) -> None:
    chance = Random(11)
    scene.ledger.send(range(FLAPS.ids))
    service = scene.service(
        Behaviour(seconds=0.01), reconnect_pause=0.01, reconnect_pause_limit=0.02
    )
    service.start()
    for number in range(FLAPS.cuts):
        wait_for(lambda: proxy.open == LINKS, what="both connections")
        proxy.cut_after(chance.randrange(1, FLAP_BYTES), Direction.DOWN)
        pass_time(time.monotonic(), chance.uniform(0, FLAP_SECONDS))
        if number % 2:
            proxy.cut()
    proxy.cut_after(1, Direction.DOWN, times=0)
    scene.finish(service)
    scene.note(f"{proxy.cuts} cuts; no request was blamed for them")
    scene.ledger.check()
    assert "worker died" not in service.log.read_text()


def test_reconnecting_again_and_again(scene: Scene, proxy: Proxy) -> None:
    service = scene.service(reconnect_pause=0.01, reconnect_pause_limit=0.02)
    service.start()
    ids = counter()
    reconnect(scene, proxy, RECONNECTS.warm_up, ids)
    before = Gauges.of(service.pid)
    reconnect(scene, proxy, RECONNECTS.measured, ids)
    after = Gauges.of(service.pid)
    scene.finish(service)
    growth = after.memory_bytes / before.memory_bytes - 1
    scene.note(
        f"{proxy.cuts} cuts; descriptors {before.descriptors} → {after.descriptors}, "
        f"threads {before.threads} → {after.threads}, memory {growth:+.1%}"
    )
    scene.ledger.check()
    assert (after.descriptors, after.threads) == (before.descriptors, before.threads)
    assert after.memory_bytes <= before.memory_bytes * FLAT


def reconnect(scene: Scene, proxy: Proxy, times: int, ids: Iterator[int]) -> None:
    """Cut both connections so often; return when the last ones have done some work."""
    for number in range(times):
        wait_for(lambda: proxy.open == LINKS, what="both connections")
        proxy.cut(reset=number % 2 == 0)
        if number % RECONNECTS_AN_ID == 0 or number == times - 1:
            scene.ledger.send([next(ids)])
            scene.ledger.wait_until_accounted(30)
