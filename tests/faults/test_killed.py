"""The process is gone from one moment to the next."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest
from servers.ports import wait_for

from slingshot_microservice.broker.prefetch import PREFETCH_MAX

from .deaths import STEPS
from .plan import Behaviour
from .scene import QUEUE_TYPES, Scene
from .service import Service
from .sizes import sized

PREFETCH = 100


class Kills(NamedTuple):
    ids: int
    kills: int


UNDER_LOAD = sized(small=Kills(1_000, 2), full=Kills(100_000, 50))
# Of one run, divided by the threads: long enough for work to be left after the last kill.
SECONDS = sized(small=0.005, full=0.001)
KILLS_A_STEP = sized(small=1, full=50)
AFTER_CONFIRM = ("confirm", "before-ack")
NEIGHBOURS = sized(small=100, full=1_000)
KILLERS = sized(small=[10, 11], full=[10, 11, 12, 300, 310, 500, 550, 601, 980, 999])


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_killed_under_load(scene: Scene) -> None:
    service = scene.service(Behaviour(seconds=SECONDS), prefetch=PREFETCH)
    kill_under_load(scene, service, PREFETCH)


def test_killed_under_load_with_threads(scene: Scene) -> None:
    scene.scenario = "killed under load, 8 threads, prefetch auto"
    service = scene.service(Behaviour(seconds=8 * SECONDS), threads=8, prefetch="auto")
    kill_under_load(scene, service, PREFETCH_MAX)


def kill_under_load(scene: Scene, service: Service, prefetch: int) -> None:
    random = Random(9)
    ids, kills = UNDER_LOAD
    scene.ledger.send(range(ids))
    service.start()
    for _ in range(kills):
        scene.wait_for_runs(random.randrange(1, ids // (kills + 1)))
        service.kill()
        scene.ledger.fault_ended(time.time())
        service.start()
    scene.finish(service, timeout=60 + ids / 100)
    scene.note(f"{kills} kills, prefetch up to {prefetch}: at most {kills * prefetch:,} duplicates")
    scene.ledger.check()
    assert scene.ledger.duplicates() <= kills * prefetch


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_a_step(scene: Scene, step: str) -> None:
    scene.scenario = f"killed after: {step}"
    database = scene.fresh_database()
    ids = range(2 * KILLS_A_STEP)
    for id in ids:
        scene.world.s3.put(scene.world.bucket_in, id, b"content")
    work = Behaviour(reads=True, writes=True, row=True)
    deadly = Behaviour(reads=True, writes=True, row=True, dies_after=step)
    scene.ledger.send(ids)
    service = scene.service(work, dict.fromkeys(ids[::2], deadly), prefetch=1)
    service.start()
    for _ in range(KILLS_A_STEP):
        wait_for(lambda: not service.running, what="a death")
        assert_outputs_have_files_and_rows(scene, database)
        scene.revive(service, [-signal.SIGKILL])
    scene.finish(service)
    scene.note(f"{service.deaths} deaths; at each, every output has its file and its row")
    scene.ledger.check()
    assert_outputs_have_files_and_rows(scene, database)
    assert service.deaths == KILLS_A_STEP
    if step != "publish":  # what is on the wire may have come in, or not
        assert scene.ledger.duplicates() == (KILLS_A_STEP if step in AFTER_CONFIRM else 0)


def assert_outputs_have_files_and_rows(scene: Scene, database: str) -> None:
    scene.ledger.collect()
    outputs = scene.ledger.outputs.keys()
    assert outputs <= scene.files().keys()
    assert outputs <= scene.rows(database).keys()


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_one_id_segfaults(scene: Scene) -> None:
    let_some_segfault(scene, [NEIGHBOURS // 2])


@pytest.mark.parametrize("threads", [1, 4])
def test_several_ids_segfault(scene: Scene, threads: int) -> None:
    # Neighbours of each other, too: what dies with the one must not be counted against the other.
    scene.ledger.let_parked_come_again()
    if threads > 1:
        scene.scenario = f"several ids segfault, {threads} threads"
    let_some_segfault(scene, KILLERS, threads)


def let_some_segfault(scene: Scene, killers: Sequence[int], threads: int = 1) -> None:
    bounds = [-1, *killers, NEIGHBOURS]
    for before, after in pairwise(bounds):
        scene.ledger.send(range(before + 1, after))
        if after in killers:
            scene.ledger.send_doomed([after], "worker-died")
    scene.ledger.announce("parked")
    plan = dict.fromkeys(killers, Behaviour(segfaults=True))
    service = scene.service(special=plan, prefetch=PREFETCH, threads=threads)
    service.start()
    scene.finish(service, timeout=60 + 20 * len(killers), dies_of=[-signal.SIGSEGV])
    scene.note(f"{service.deaths} deaths, prefetch {PREFETCH}; no neighbour parked")
    scene.ledger.check()
    runs_of_killers = sum(scene.ledger.journal.starts[killer] for killer in killers)
    assert service.deaths == runs_of_killers if threads == 1 else service.deaths <= runs_of_killers
