"""Uses every part of an implementation over and over, and prints what that left in memory.

usage: python leaks.py MODULE ROUNDS

Prints one line a part: its name, the KiB by which the process grew over ROUNDS rounds after as
many to warm up with, and by how many objects the interpreter then knows more.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import streams

hot: Any = importlib.import_module(f"slingshot_microservice.hotpath.{sys.argv[1]}")
RANDOM = Random(1)
WHOLE = streams.stream(RANDOM, 40)
LIES = [streams.lie(RANDOM, streams.stream(RANDOM, 3)) for _ in range(50)]
BODIES = [b"12", b"18446744073709551615", b" +7 ", b"0" * 40, b"no id", b"\xff", b""]
TABLE = hot.RoutingTable([(True, [0]), (1, [1, 0]), ("a", [])])
OUTPUTS = [(5, True), (2**64 - 1, 1), [7, "a"], (8, "unlisted")]
BAD_OUTPUTS = [(1,), (-1, True), (True, True), (1, None), (1, 2**200), "ab", 5]
RESIDENT = "VmRSS:"


@contextmanager
def refused() -> Iterator[None]:
    """Expect an error."""
    try:
        yield
    except (ValueError, ArithmeticError, LookupError, TypeError):
        return
    raise AssertionError("there was no error")


def decode() -> None:
    for body in BODIES[:4]:
        hot.decode_id(body)
    for body in BODIES[4:]:
        with refused():
            hot.decode_id(body)


def route() -> None:
    TABLE.lookup("a")
    TABLE.plan(OUTPUTS)
    TABLE.plan(output for output in OUTPUTS)
    for output in BAD_OUTPUTS:
        with refused():
            TABLE.plan([(1, True), output])
    with refused():
        hot.RoutingTable([("a", 5)])
    hot.RoutingTable([(True, [0]), ("b", [1])])


def read() -> None:
    reader = hot.FrameReader(streams.CHANNEL)
    reader.feed(WHOLE)
    reader.feed(WHOLE[:100])  # and is gone in the middle of a message
    for data in LIES:
        reader = hot.FrameReader(streams.CHANNEL)
        try:
            reader.feed(data[:50])
            reader.feed(data[50:])
        except ValueError:
            continue
    with refused():
        hot.FrameReader(-1)


def write() -> None:
    writer = hot.FrameWriter(1, ["a", "b" * 255])
    for id in (0, 2**64 - 1):
        writer.publish(1, id)
        writer.ack(id, False)
        writer.nack(id, True)
    for queue, id in ((2, 1), (-1, 1), (0, -1), (0, 2**64)):
        with refused():
            writer.publish(queue, id)
    writer.take()
    writer.publish(0, 5)  # and is gone with it
    with refused():
        hot.FrameWriter(1, ["b" * 256])


def keep_books() -> None:
    ledger = hot.Ledger()
    writer = hot.FrameWriter(1, ["a", "b"])
    ledger.deliver([(tag, 5, False) for tag in range(1, 400)])
    for tag in range(1, 400):
        ledger.publish(tag, [(0, tag), (1, tag)] * 2, writer)
    with refused():
        ledger.publish(1, [(0, 1), (9, 1)], writer)
    with refused():
        ledger.deliver([(1, 5, False)])
    ledger.returned((0, 7))
    ledger.confirm([(1, False, False), (100, True, True), (200, False, True), (300, True, False)])
    ledger.acknowledge(writer)
    ledger.take_refused()
    ledger.forget_publishes()
    ledger.forget_deliveries()
    writer.take()


def hand_over() -> None:
    inbox = hot.Inbox(lambda _epoch, delivery: delivery[1] == 7)
    seats = [inbox.seat(), inbox.seat()]
    inbox.put([(tag, tag, True) for tag in range(1, 11)])
    assert [seats[0].receive()[1][0] for _ in range(8)] == [1, 2, 3, 4, 5, 6, 8, 9]
    inbox.renew(1)
    inbox.put([(tag, tag, False) for tag in range(1, 11)])
    assert len(inbox.take_back(5)) == 5
    assert inbox.busy_seconds >= 0
    inbox.close()
    assert seats[1].receive() is not None
    inbox.take_back()
    assert seats[1].receive() is None
    inbox.put([(5, 5, False)])  # and is gone with it


def live_long() -> None:
    """Pass many messages through objects that stay, beside one that is never finished."""
    LEDGER.deliver([(LEDGER_TAGS[0] + tag, 5, False) for tag in range(64)])
    for tag in range(64):
        LEDGER.publish(LEDGER_TAGS[0] + tag, [(0, tag)], WRITER)
    LEDGER.confirm([(0, True, True)])
    assert LEDGER.acknowledge(WRITER) == 64
    LEDGER_TAGS[0] += 64
    WRITER.take()
    READER.feed(WHOLE)


LEDGER, WRITER, READER = hot.Ledger(), hot.FrameWriter(1, ["a"]), hot.FrameReader(1)
LEDGER.deliver([(1, 5, False)])
LEDGER_TAGS = [2]
PARTS: dict[str, tuple[Callable[[], None], int]] = {  # and how many operations a round has
    "decode_id": (decode, 7),
    "RoutingTable": (route, 12),
    "FrameReader": (read, 102),
    "FrameWriter": (write, 13),
    "Ledger": (keep_books, 410),
    "Inbox": (hand_over, 20),
    "for long": (live_long, 67),
}


def resident_kib() -> int:
    """Return the process's memory; 0 where the system does not say, objects are counted there."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = status.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(RESIDENT))


def known_objects() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def repeat(part: Callable[[], None], rounds: int) -> None:
    for _ in range(rounds):
        part()


def main() -> None:
    operations = int(sys.argv[2])
    for name, (part, size) in PARTS.items():
        rounds = max(operations // size, 20)
        repeat(part, rounds)
        kib, objects = resident_kib(), known_objects()
        repeat(part, rounds)
        objects = known_objects() - objects
        print(f"{name}: {resident_kib() - kib} KiB, {objects} objects")


if __name__ == "__main__":
    main()
