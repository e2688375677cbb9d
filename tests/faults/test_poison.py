"""Bodies that are no ids, among good ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

import hotpaths

from slingshot_microservice.hotpath import MalformedIdError

from .scene import Scene
from .sizes import sized


class Size(NamedTuple):
    bodies: int
    batch: int
    long: int
    huge: int


SIZE = sized(small=Size(1_000, 100, 2, 1), full=Size(100_000, 2_000, 20, 4))
GOOD_FROM = 1_000_000  # so that no good body is like a poisonous one
LONG = b"9" * 1_000_000
HUGE_BYTES = 16 * 1024 * 1024
KINDS = (
    b"",
    b"-1",
    b"1.0",
    b"1e3",
    b"0x10",
    b"1_000",
    b"-0",
    b"+",
    b"++1",
    b"1 2",
    b"%d" % 2**64,
    "٣".encode(),
    "१२".encode(),
    "1\uff12".encode(),
    b"\x00",
    b"1\x00",
    b"\x1c1",
    b"\xff\xfe1",
    b"\xc3",
    b"null",
    b'{"id": 1}',
)
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def is_id(body: bytes) -> bool:
    """Read a body as the contract has it, in the plainest way."""
    try:
        text = body.decode("utf-8").strip(WHITE_SPACE)
    except UnicodeDecodeError:
        return False
    if not re.fullmatch(r"\+?[0-9]+", text):
        return False
    digits = text.lstrip("+").lstrip("0") or "0"
    return len(digits) <= 20 and int(digits) < 2**64


def poison(random: Random, count: int) -> list[bytes]:
    bodies = [random.choice(KINDS) for _ in range(count // 2)]
    while len(bodies) < count:
        body = random.randbytes(random.randrange(1, 40))
        if not is_id(body):
            bodies.append(body)
    return bodies


def verdicts(bodies: Iterable[bytes], implementation: str) -> list[int | None]:
    decode_id = hotpaths.load(implementation).decode_id
    found: list[int | None] = []
    for body in bodies:
        try:
            found.append(decode_id(body))
        except MalformedIdError:
            found.append(None)
    return found


def test_poison_among_good_ones(scene: Scene) -> None:
    random = Random(4)
    huge = [random.randbytes(HUGE_BYTES) for _ in range(SIZE.huge)]
    seen = {LONG, *huge}
    service = scene.service()
    scene.ledger.announce(r"is no id|parked|malformed")
    scene.ledger.send_malformed([LONG] * SIZE.long)
    service.start()
    for begin in range(GOOD_FROM, GOOD_FROM + SIZE.bodies, SIZE.batch):
        bodies = poison(random, SIZE.batch)
        seen.update(bodies)
        scene.ledger.send_malformed(bodies)
        scene.ledger.send(range(begin, begin + SIZE.batch))
    for body in huge:
        scene.ledger.send_malformed([body])
    scene.finish(service, timeout=60 + SIZE.bodies / 200)
    scene.note(f"{len(seen):,} different bodies, to 16 MiB; each parked with its bytes")
    scene.ledger.check()
    assert scene.ledger.repeats() == scene.ledger.duplicates() == 0
    for implementation in hotpaths.IMPLEMENTATIONS:
        assert set(verdicts(seen, implementation)) == {None}
