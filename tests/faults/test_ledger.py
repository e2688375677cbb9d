"""The ledger itself: a mistake of the service's must show in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from servers.rabbitmq import RabbitMQNode

from .journal import JournalWriter
from .ledger import Ledger
from .plan import output_id
from .rows import Row


class Books:
    """A ledger, with a service that is played by the test."""

    def __init__(self, rabbitmq: RabbitMQNode, inbound: str, outbound: str, path: Path) -> None:
        self.rabbitmq = rabbitmq
        self.inbound, self.outbound = inbound, outbound
        self.journal = JournalWriter(path)
        self.ledger = Ledger(rabbitmq, inbound, outbound, path)
        for queue in (inbound, outbound, f"{inbound}.dead"):
            rabbitmq.declare(queue)

    def run(self, id: int, *outputs: int) -> None:
        self.journal.write("start", id)
        self.rabbitmq.publish(self.outbound, [b"%d" % output for output in outputs])
        self.journal.write("end", id)

    def park(self, body: bytes, reason: str) -> None:
        self.rabbitmq.publish(f"{self.inbound}.dead", [body], headers={"slingshot-reason": reason})

    def row(self) -> Row:
        self.ledger.collect()
        return self.ledger.row("played", "classic", "")


@pytest.fixture
def books(rabbitmq: RabbitMQNode, queue_name: Callable[..., str], tmp_path: Path) -> Books:
    inbound, outbound = queue_name("in"), queue_name("out")
    it = Books(rabbitmq, inbound, outbound, tmp_path / "journal")
    it.journal.write("hello", text="compiled")
    return it


def test_what_is_done_or_parked_as_it_should_be_is_accounted_for(books: Books) -> None:
    books.ledger.send([1, 2])
    books.ledger.send([3], outputs=2)
    books.ledger.send([4], outputs=0)
    books.ledger.send_doomed([5], "failed")
    books.ledger.send_malformed([b"x", b"x"])
    for id, outputs in {1: [1], 2: [2], 3: [3, output_id(3, 1)], 4: []}.items():
        assert not books.ledger.is_accounted
        books.run(id, *outputs)
    books.park(b"5", "failed")
    books.park(b"x", "malformed-id")
    books.park(b"x", "malformed-id")
    row = books.row()
    assert books.ledger.is_accounted
    assert (row.attempted, row.done, row.lost, row.duplicated) == (7, 4, 0, 0)
    assert (row.parked, row.unexpected, row.repeated) == (3, 0, 0)
    assert row.implementation == "compiled"
    books.ledger.check()


def test_what_is_missing_is_lost(books: Books) -> None:
    books.ledger.send([1, 2])
    books.ledger.send([3], outputs=2)
    books.ledger.send([4], outputs=0)
    books.ledger.send_doomed([5], "failed")
    books.ledger.send_malformed([b"x", b"x"])
    books.run(1, 1)
    books.run(3, 3)
    books.park(b"x", "malformed-id")
    assert books.row().lost == 5
    with pytest.raises(AssertionError, match=r"5 lost: \[2, 3, 4, b'5', b'x'\]"):
        books.ledger.check()


def test_what_comes_again_is_counted(books: Books) -> None:
    books.ledger.send([1, 2])
    books.run(1, 1)
    books.run(1, 1)
    books.run(2, 2)
    row = books.row()
    assert (row.done, row.duplicated, row.repeated) == (2, 1, 1)
    books.ledger.check()


def test_what_nobody_asked_for_is_unexpected(books: Books) -> None:
    books.ledger.send([1])
    books.ledger.send_doomed([2, 3], "failed")
    books.ledger.send_malformed([b"x"])
    books.run(1, 1, output_id(1, 1))
    books.run(2, 2)
    books.park(b"1", "failed")
    books.park(b"2", "failed")
    books.park(b"3", "rejected")
    for _ in range(2):
        books.park(b"x", "malformed-id")
    books.row()
    with pytest.raises(AssertionError, match="5 unexpected") as it:
        books.ledger.check()
    assert f"output {output_id(1, 1)}, which nobody was to send" in str(it.value)
    assert "b'1' is parked for 'failed', due was None" in str(it.value)
    assert "b'3' is parked for 'rejected', due was 'failed'" in str(it.value)
    assert "b'x' is parked 2 times" in str(it.value)


def test_the_time_to_recover_is_that_to_the_next_run(books: Books) -> None:
    books.journal.write("start", 1)
    (first,) = [event.time for event in books.ledger.journal.read() if event.kind == "start"]
    books.ledger.fault_ended(first - 2.5)
    books.ledger.fault_ended(first + 1e6)
    assert books.ledger.recovery_seconds() == pytest.approx(2.5)
