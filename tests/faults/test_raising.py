"""What ``process`` may raise, and that nothing comes out of a run that failed."""

from __future__ import annotations

from .plan import Behaviour
from .scene import Scene
from .sizes import sized

KINDS = ("Exception", "SystemExit", "KeyboardInterrupt", "MemoryError", "RecursionError")
YIELDS = (0, 3)  # before it is raised
IDS_EACH = sized(small=4, full=100)
ATTEMPTS = 3
GOOD_FROM = 1_000_000


def test_process_raises(scene: Scene) -> None:
    database = scene.fresh_database()
    cases = [(kind, yields) for kind in KINDS for yields in YIELDS]
    plan = {
        number * IDS_EACH + id: Behaviour(writes=True, row=True, outputs=yields, raises=kind)
        for number, (kind, yields) in enumerate(cases)
        for id in range(IDS_EACH)
    }
    good = range(GOOD_FROM, GOOD_FROM + len(plan))
    scene.ledger.announce("failed|parked")
    scene.ledger.send_doomed(plan, "failed")
    scene.ledger.send(good)
    service = scene.service(
        Behaviour(writes=True, row=True), plan, attempts=ATTEMPTS, retry_delays=[0.1, 0.2]
    )
    service.start()
    scene.finish(service, timeout=60 + len(plan) / 5)
    scene.note(f"{ATTEMPTS} runs each, then parked; no file, no row, no output of them")
    scene.ledger.check()
    assert {id: scene.ledger.journal.starts[id] for id in plan} == dict.fromkeys(plan, ATTEMPTS)
    assert {parked.headers["slingshot-attempts"] for parked in scene.ledger.parked} == {ATTEMPTS}
    for parked in scene.ledger.parked:
        assert parked.headers["slingshot-error-type"] == plan[int(parked.body)].raises
    assert scene.files().keys() == set(good)
    assert scene.rows(database) == dict.fromkeys(good, 1)


def test_process_rejects(scene: Scene) -> None:
    plan = {id: Behaviour(outputs=2, raises="Reject") for id in range(IDS_EACH)}
    good = range(GOOD_FROM, GOOD_FROM + len(plan))
    scene.ledger.announce("rejected|parked")
    scene.ledger.send_doomed(plan, "rejected")
    scene.ledger.send(good)
    service = scene.service(special=plan, retry_delays=[60])
    service.start()
    scene.finish(service)
    scene.note("parked at once, without another run")
    scene.ledger.check()
    assert scene.ledger.repeats() == 0
