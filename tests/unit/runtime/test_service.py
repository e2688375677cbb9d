"""A service is opened, started and stopped in the right order, and abandoned when that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recording import Journal, RecordingDatabase, RecordingStore
from servers.ports import wait_for

from slingshot_microservice.broker.memory import MemoryBroker, MemoryQueues
from slingshot_microservice.broker.protocol import Receiver
from slingshot_microservice.broker.requeue import RequeuePauses
from slingshot_microservice.broker.retries import RetryPolicy
from slingshot_microservice.errors import (
    BrokerError,
    ConfigurationUnavailableError,
    DatabaseError,
    DatabaseUnavailableError,
    DrainTimeoutError,
    StorageUnavailableError,
)
from slingshot_microservice.options import Options
from slingshot_microservice.runtime.request import Routes
from slingshot_microservice.runtime.service import Definition, Service, Surroundings

BOUND = 20.0  # seconds after which waiting has failed
LET_GO = ["session closed", "database closed", "store closed"]


class NotingBroker(MemoryBroker):
    """Queues in memory, which note when they are opened and closed."""

    journal: Journal

    def open(self, sleep: Callable[[float], object] = time.sleep) -> None:
        self.journal.note("open")
        super().open(sleep)

    def consume(self) -> None:
        self.journal.note("consume")
        super().consume()

    def receiver(self) -> Receiver:
        error = self.journal.failing.get("receive")
        if error is not None:
            raise error
        return super().receiver()

    def cancel(self) -> None:
        self.journal.note("cancel")
        super().cancel()

    def close(self, timeout: float) -> bool:
        self.journal.note("close")
        return super().close(timeout)


class Kit:
    """A service on queues in memory; its functions may be exchanged."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.queues = MemoryQueues()
        self.failures: list[BaseException] = []
        self.database = RecordingDatabase(journal)
        self.startup: Callable[..., Any] | None = None
        self.process: Callable[..., Any] = self.pass_on
        self.options = Options(
            retry_pause=0.001,
            reconnect_pause=0.001,
            reconnect_pause_limit=0.002,
            startup_timeout=BOUND,
            drain_timeout=BOUND,
        )

    @staticmethod
    def pass_on(request: int, *_others: object) -> Any:
        yield request, True

    def service(self) -> Service:
        """Put the service together."""
        broker = NotingBroker(
            self.queues,
            inbound="in",
            outbound=["out"],
            prefetch=10,
            policy=RetryPolicy(attempts=5, delays=(0.001,), deaths=3),
            pauses=RequeuePauses(0.001, 0.001),
        )
        broker.journal = self.journal
        surroundings = Surroundings(
            broker,
            Routes([(True, [0])]),
            self.database,  # type: ignore[arg-type]  # a stand-in
            RecordingStore(self.journal),
            str,
            lambda: self.journal.note("check the configuration"),
        )
        definition = Definition("shout", self.process, self.startup, self.options)
        return Service(definition, surroundings, self.failures.append)

    def run(self) -> None:
        """Run a service until its queue is empty."""
        service = self.service()
        service.open()
        service.start()
        assert self.queues.wait_until_idle(BOUND)
        service.stop()


@pytest.fixture
def kit(journal: Journal) -> Kit:
    return Kit(journal)


def test_a_stopped_service_leaves_no_local_copies_and_no_folder(kit: Kit, tmp_path: Path) -> None:
    folders: list[Path] = []

    def process(request: int, _read_file: Any, write_file: Any, _connection: Any) -> Any:
        assert write_file("out", request).name
        folders.extend(tmp_path.glob("slingshot-*"))
        yield request, True

    kit.process = process
    kit.queues.publish("in", [b"7"])
    service = kit.service()
    service.open()
    service.start()
    assert kit.queues.wait_until_idle(BOUND)
    service.stop()
    assert len(folders) == 1
    assert list(tmp_path.iterdir()) == []


def test_opens_starts_and_stops_in_order(kit: Kit) -> None:
    kit.run()
    assert kit.journal == ["check the database", "open", "consume", "cancel", "close", *LET_GO]


def test_processes_what_is_in_its_queue(kit: Kit) -> None:
    kit.queues.publish("in", [b"1", b"2", b"3"])
    kit.run()
    assert kit.queues.bodies("out") == [b"1", b"2", b"3"]
    assert not kit.failures


def test_a_request_that_fails_is_processed_again(kit: Kit) -> None:
    kit.queues.publish("in", [b"1", b"2"])
    attempts: list[int] = []

    def process(request: int, *_others: object) -> Any:
        attempts.append(request)
        if attempts.count(1) < 3 and request == 1:
            raise LookupError
        return [(request, True)]

    kit.process = process
    kit.run()
    assert sorted(kit.queues.bodies("out")) == [b"1", b"2"]
    assert attempts.count(1) == 3
    assert attempts.count(2) == 1


def test_startup_runs_before_the_first_request(kit: Kit) -> None:
    def startup(*_others: object) -> Any:
        kit.journal.note("startup")
        return [(9, True)]

    kit.startup = startup
    kit.queues.publish("in", [b"1"])
    kit.run()
    done = [line for line in kit.journal if not line.startswith("commit")]
    assert done[:4] == ["check the database", "open", "startup", "consume"]
    assert kit.queues.bodies("out") == [b"9", b"1"]


def test_a_startup_that_fails_is_raised_and_nothing_is_consumed(kit: Kit) -> None:
    def startup(*_others: object) -> Any:
        raise LookupError("not today")

    kit.startup = startup
    kit.queues.publish("in", [b"1"])
    with pytest.raises(LookupError, match="not today"):
        kit.service().open()
    assert kit.journal == ["check the database", "open", "rollback", "cancel", "close", *LET_GO]
    assert kit.queues.bodies("in") == [b"1"]


@pytest.mark.parametrize(
    ("step", "error"),
    [("check", DatabaseError("refused")), ("open", BrokerError("refused"))],
)
def test_lets_go_of_everything_when_it_cannot_open(kit: Kit, step: str, error: Exception) -> None:
    kit.journal.failing[step] = error
    with pytest.raises(type(error), match="refused"):
        kit.service().open()
    assert kit.journal[-5:] == ["cancel", "close", *LET_GO]


def test_lets_go_of_everything_when_it_cannot_consume(kit: Kit) -> None:
    kit.journal.failing["consume"] = BrokerError("refused")
    service = kit.service()
    service.open()
    with pytest.raises(BrokerError, match="refused"):
        service.start()
    assert kit.journal[-5:] == ["cancel", "close", *LET_GO]
    service.stop()


def test_waits_for_a_database_that_comes_up(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    def come_up(attempts: int) -> Callable[[], None]:
        refusals = iter([DatabaseUnavailableError("starting up")] * attempts)

        def check() -> None:
            for error in refusals:
                raise error
            kit.journal.note("check the database")

        return check

    kit.database.check = come_up(3)  # type: ignore[method-assign]
    kit.run()
    assert kit.journal[:2] == ["check the database", "open"]
    assert [message.partition(";")[0] for message in caplog.messages[:3]] == ["starting up"] * 3


def test_gives_up_on_a_database_that_does_not_come_up(kit: Kit) -> None:
    kit.options = Options(startup_timeout=0.01, reconnect_pause=0.002)

    def check() -> None:
        raise DatabaseUnavailableError("away")

    kit.database.check = check  # type: ignore[method-assign]
    with pytest.raises(DatabaseUnavailableError, match="away"):
        kit.service().open()
    assert "open" not in kit.journal
    assert kit.journal[-3:] == LET_GO


def test_waiting_for_a_database_may_be_ended(kit: Kit) -> None:
    def check() -> None:
        raise DatabaseUnavailableError("away")

    def sleep(_seconds: float) -> None:
        raise InterruptedError

    kit.database.check = check  # type: ignore[method-assign]
    with pytest.raises(InterruptedError):
        kit.service().open(sleep)
    assert kit.journal == ["cancel", "close", *LET_GO]


@pytest.mark.parametrize(
    ("error", "probe"),
    [
        (StorageUnavailableError("away", bucket="texts", id=1), "check the store for texts"),
        (DatabaseUnavailableError("away"), "check the database"),
        (ConfigurationUnavailableError("away", source="map"), "check the configuration"),
    ],
    ids=["object store", "database", "configuration"],
)
def test_what_is_away_is_asked_for_an_answer(kit: Kit, error: Exception, probe: str) -> None:
    errors = iter([error])

    def process(request: int, *_others: object) -> Any:
        for each in errors:
            raise each
        yield request, True

    kit.process = process
    kit.queues.publish("in", [b"1"])
    kit.run()
    assert kit.queues.bodies("out") == [b"1"]
    assert kit.journal[3:-5] == ["rollback", probe, "commit with 0 local copies"]


def test_a_stop_does_not_wait_for_what_is_away(kit: Kit) -> None:
    kit.options = replace(kit.options, retry_pause=1000.0, retry_pause_limit=1000.0)

    def process(*_others: object) -> Any:
        raise DatabaseUnavailableError("away")

    def note_pause(reason: str) -> None:
        kit.journal.note(f"pause {reason!r}")
        paused.set()

    paused = threading.Event()
    kit.process = process
    kit.queues.publish("in", [b"1", b"2"])
    service = kit.service()
    service._around.broker.pause = note_pause  # type: ignore[method-assign]
    service.open()
    kit.journal.failing["check"] = DatabaseUnavailableError("still away")
    service.start()
    assert paused.wait(BOUND)
    began = time.monotonic()
    service.stop()
    assert time.monotonic() - began < 50
    assert sorted(kit.queues.bodies("in")) == [b"1", b"2"]


def test_stop_finishes_what_runs_and_hands_back_the_rest(kit: Kit) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def process(request: int, *_others: object) -> Any:
        begun.set()
        assert go_on.wait(BOUND)
        return [(request, True)]

    kit.process = process
    kit.queues.publish("in", [b"1", b"2", b"3"])
    service = kit.service()
    service.open()
    service.start()
    assert begun.wait(BOUND)
    stopping = threading.Thread(target=service.stop)
    stopping.start()
    with kit.queues.changed:  # cancel notifies, once it is noted
        assert kit.queues.changed.wait_for(lambda: "cancel" in kit.journal, BOUND)
    go_on.set()
    stopping.join(BOUND)
    assert kit.queues.bodies("out") == [b"1"]
    assert sorted(kit.queues.bodies("in")) == [b"2", b"3"]
    assert kit.journal[-3:] == LET_GO


def test_a_request_that_never_ends_is_handed_back_and_reported(kit: Kit) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def process(request: int, *_others: object) -> Any:
        begun.set()
        go_on.wait(BOUND)
        ended.set()
        return [(request, True)]

    kit.process = process
    kit.options = Options(drain_timeout=0.01)
    kit.queues.publish("in", [b"1", b"2"])
    service = kit.service()
    service.open()
    service.start()
    assert begun.wait(BOUND)
    with pytest.raises(DrainTimeoutError, match="'shout' was still running 0 s after the stop"):
        service.stop()
    assert kit.queues.bodies("in") == [b"1", b"2"]
    assert kit.journal[-1] == "close", "its session and its files are still in use"
    go_on.set()
    assert ended.wait(BOUND)


def test_says_what_keeps_it_from_taking_requests(kit: Kit) -> None:
    service = kit.service()
    assert service.trouble() == "starting"
    service.open()
    assert service.trouble() == "starting"
    service.start()
    assert service.trouble() is None
    service._around.broker.pause("the database is away")
    assert service.trouble() == "paused: the database is away"
    service._around.broker.resume("the database is away")
    assert service.trouble() is None
    service.stop()
    assert service.trouble() == "stopping"


def test_no_thread_is_missed_before_it_starts_or_when_it_is_stopped(kit: Kit) -> None:
    service = kit.service()
    assert service.fault() is None
    service.open()
    service.start()
    assert service.fault() is None
    service.stop()
    assert service.fault() is None


def test_a_worker_that_has_died_is_missed(kit: Kit) -> None:
    kit.journal.failing["receive"] = MemoryError("no more")
    service = kit.service()
    service.open()
    service.start()
    wait_for(lambda: service.fault() == "a worker has died", BOUND)
    assert [type(failure) for failure in kit.failures] == [MemoryError]
    service.stop()


def test_a_broker_that_has_died_is_missed(kit: Kit) -> None:
    service = kit.service()
    service.open()
    service.start()
    service._around.broker.has_died = lambda: True  # type: ignore[method-assign]
    assert service.fault() == "the I/O thread has died"
    service.stop()
    assert service.fault() is None


def test_a_service_that_could_not_start_is_stopping(kit: Kit) -> None:
    kit.journal.failing["consume"] = BrokerError("refused")
    service = kit.service()
    service.open()
    with pytest.raises(BrokerError):
        service.start()
    assert service.trouble() == "stopping"
    assert service.fault() is None
