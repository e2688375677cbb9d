"""What a service needs besides its broker fails, or goes away and comes back."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from servers.faulty_http import FaultyHttp
from servers.ports import wait_for
from servers.sys_map import Answer

from .plan import Behaviour
from .scene import QUEUE_TYPES, Scene
from .service import Service
from .sizes import sized

QUICK_GATE: dict[str, Any] = {"retry_pause": 0.1, "retry_pause_limit": 1.0}
FAULTY_IDS = sized(small=200, full=5_000)
FAULTY_SHARE = 0.1
AWAY_IDS = sized(small=400, full=5_000)
AWAY_SECONDS = sized(small=3.0, full=60.0)
TERMINATED_IDS = sized(small=1_000, full=10_000)
TERMINATED_EVERY_SECONDS = sized(small=0.3, full=1.0)
# Or it would be the same id that is hit again and again, and to blame for it.
RUNS_A_BEAT = 20
RESTARTED_IDS = sized(small=500, full=10_000)
RESTARTS = sized(small=2, full=5)
# Long enough for work to be left at the last restart.
RESTARTED_RUN_SECONDS = sized(small=0.005, full=0.002)
UNCONFIGURED_SECONDS = sized(small=3.0, full=30.0)
CONTENT_LINES = 3_000


def content_of(id: int) -> bytes:
    """Return what an object holds: more than one packet of it, and of this id only."""
    return b"%d\n" % id * CONTENT_LINES


def pass_time(seconds: float) -> None:
    """Let a fault last."""
    threading.Event().wait(seconds)


class Beat:
    """Does something every so often, for as long as it is asked, and only while work goes on."""

    def __init__(self, seconds: float, runs: Callable[[], int], act: Callable[[], object]) -> None:
        self._seconds = seconds
        self._runs = runs
        self._act = act
        self._next = time.monotonic() + seconds
        self._enough = 0
        self.count = 0

    def __call__(self) -> None:
        if time.monotonic() >= self._next and self._runs() >= self._enough:
            self._act()
            self.count += 1
            self._next = time.monotonic() + self._seconds
            self._enough = self._runs() + RUNS_A_BEAT


def test_object_store_fails_in_a_tenth_of_the_calls(scene: Scene) -> None:
    world = scene.world
    for id in range(FAULTY_IDS):
        world.s3.put(world.bucket_in, id, content_of(id))
    hang = sized(small=2.0, full=4.0)
    with FaultyHttp(world.s3.port, share=FAULTY_SHARE, hang_seconds=hang) as proxy:
        scene.describe(storage={"host": proxy.endpoint})
        scene.ledger.send(range(FAULTY_IDS))
        service = scene.service(
            Behaviour(copies=True), attempts=3, storage_timeout=hang / 4, **QUICK_GATE
        )
        service.start()
        scene.finish(service, timeout=60 + FAULTY_IDS / 2)
    met = ", ".join(f"{count} {fault}" for fault, count in sorted(proxy.met.items()))
    scene.note(f"of {proxy.calls:,} calls met {met}; no part taken for a whole")
    scene.ledger.check()
    wrong = [id for id, body in scene.files().items() if body != content_of(id)]
    assert not wrong
    assert scene.files().keys() == set(range(FAULTY_IDS))


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_object_store_away(scene: Scene) -> None:
    store = scene.world.s3
    for id in range(AWAY_IDS):
        store.put(scene.world.bucket_in, id, content_of(id))
    scene.ledger.send(range(AWAY_IDS))
    service = scene.service(Behaviour(copies=True), attempts=1, **QUICK_GATE)
    service.start()
    scene.wait_for_runs(AWAY_IDS // 4)
    store.stop()
    try:
        wait_for(lambda: "the object store is away" in service.log.read_text(), 60, "the gate")
        pass_time(AWAY_SECONDS)
    finally:
        store.start()
    scene.ledger.fault_ended(time.time())
    scene.finish(service, timeout=60 + AWAY_IDS / 20)
    scene.note(f"away for {AWAY_SECONDS:.0f} s; {scene.ledger.repeats()} runs again, none counted")
    scene.ledger.check()
    assert scene.ledger.repeats() <= 2
    assert all(body == content_of(id) for id, body in scene.files().items())


def test_database_sessions_terminated(scene: Scene) -> None:
    database = scene.fresh_database()
    beat = Beat(
        TERMINATED_EVERY_SECONDS, scene.ledger.runs, lambda: terminate_sessions(scene, database)
    )
    scene.ledger.send(range(TERMINATED_IDS))
    service = scene.service(
        Behaviour(seconds=0.003, row=True), attempts=1, prefetch=20, **QUICK_GATE
    )
    service.start()
    scene.ledger.wait_until_accounted(60 + TERMINATED_IDS / 20, beat)
    scene.finish(service)
    scene.note(f"{beat.count} times all sessions; each id has one row, no run counted")
    scene.ledger.check()
    assert beat.count >= 3
    assert scene.rows(database) == dict.fromkeys(range(TERMINATED_IDS), 1)


def terminate_sessions(scene: Scene, database: str) -> None:
    """Terminate every session of a database, from another one."""
    with scene.world.postgresql.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (database,),
        )


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_database_restarted(scene: Scene, end: str) -> None:
    scene.scenario = f"database restarted ({end})"
    database = scene.fresh_database()
    scene.ledger.send(range(RESTARTED_IDS))
    service = scene.service(
        Behaviour(seconds=RESTARTED_RUN_SECONDS, row=True), attempts=1, **QUICK_GATE
    )
    service.start()
    for _ in range(RESTARTS):
        scene.wait_for_runs(RESTARTED_IDS // (RESTARTS + 1) // 2)
        getattr(scene.world.postgresql, end)()
        pass_time(1.0)
        scene.world.postgresql.start()
        scene.ledger.fault_ended(time.time())
    scene.finish(service, timeout=60 + RESTARTED_IDS / 20)
    scene.note(f"{RESTARTS} times; each id has one row, no run counted")
    scene.ledger.check()
    assert scene.rows(database) == dict.fromkeys(range(RESTARTED_IDS), 1)


def answer_everything(scene: Scene, answer: Answer) -> Mapping[str, Answer]:
    """Let the configuration service give one answer to all; return those that it gave before."""
    answers = scene.world.sys_map.answers
    kept = dict(answers)
    answers |= dict.fromkeys(kept, answer)
    return kept


@pytest.mark.parametrize("status", [0, 503])
def test_configuration_service_away_at_start(scene: Scene, status: int) -> None:
    scene.scenario = f"configuration service away at start ({status or 'hangs up'})"
    kept = answer_everything(scene, Answer(status))
    scene.ledger.send(range(100))
    service = scene.service(startup_timeout=120)
    service.start()
    wait_for(lambda: "trying again" in service.log.read_text(), what="the first attempt")
    pass_time(UNCONFIGURED_SECONDS)
    assert service.running
    scene.world.sys_map.answers |= kept
    scene.ledger.fault_ended(time.time())
    scene.finish(service)
    scene.note(f"away for {UNCONFIGURED_SECONDS:.0f} s; started when it was back")
    scene.ledger.check()


def test_configuration_service_slow(scene: Scene) -> None:
    answers = scene.world.sys_map.answers
    for path, answer in dict(answers).items():
        answers[path] = Answer(answer.status, answer.body, answer.content_type, delay=1.5)
    scene.ledger.send(range(100))
    service = scene.service(startup_timeout=60)
    service.start()
    scene.finish(service)
    scene.note("1.5 s for each answer")
    scene.ledger.check()


@pytest.mark.parametrize(
    ("fault", "answer", "said"),
    [
        ("away", Answer(503), r"HTTP 503; tried for \d+\.\d s .*is the configuration service up"),
        ("no JSON", Answer(body=b'{"in": "queue", '), "answered something that is not JSON"),
        ("a wrong field", Answer(body=b'{"in": 5, "out": []}'), "/faulty: in is 5"),
    ],
)
def test_configuration_that_cannot_be_used(
    scene: Scene, fault: str, answer: Answer, said: str
) -> None:
    scene.scenario = f"configuration that cannot be used: {fault}"
    kept = answer_everything(scene, answer)
    scene.ledger.send(range(100))
    scene.ledger.announce(r"^Traceback|^  |^slingshot_microservice\.errors\.Configuration")
    failing = scene.service(startup_timeout=2)
    failing.start()
    wait_until_ended(failing)
    failing.stop(expected=[1])
    last = failing.log.read_text().splitlines()[-1]
    scene.world.sys_map.answers |= kept
    scene.ledger.fault_ended(time.time())
    service = scene.service()
    service.start()
    scene.finish(service)
    scene.note("ends with 1 and says what is wrong; nothing taken meanwhile")
    scene.ledger.check()
    assert failing.deaths == 1
    assert re.search(said, last)


def wait_until_ended(service: Service) -> None:
    """Wait until a service has given up by itself."""
    wait_for(lambda: not service.running, what="the end of the service")
