"""One id may have no output, or a million."""

from __future__ import annotations

from .plan import Behaviour
from .scene import Scene
from .sizes import sized

MANY = sized(small=50_000, full=1_000_000)
OUTPUTS = {1: 0, 2: 1, 3: 1_000}
MANY_ID = 4
BYTES_AN_OUTPUT = 1_000


def test_an_id_with_many_outputs(scene: Scene) -> None:
    plan = {id: Behaviour(outputs=count) for id, count in {**OUTPUTS, MANY_ID: MANY}.items()}
    service = scene.service(special=plan)
    service.start()
    for id, count in OUTPUTS.items():
        scene.ledger.send([id], count)
    scene.ledger.wait_until_accounted(30)
    before = service.peak_memory()
    scene.ledger.send([MANY_ID], MANY)
    scene.ledger.wait_until_accounted(60 + MANY / 2_000)
    growth = service.peak_memory() - before
    scene.finish(service)
    scene.note(f"{MANY:,} outputs of one id; {growth / 2**20:.0f} MiB more memory at the most")
    scene.ledger.check()
    assert scene.ledger.repeats() == scene.ledger.duplicates() == 0
    assert growth <= MANY * BYTES_AN_OUTPUT
