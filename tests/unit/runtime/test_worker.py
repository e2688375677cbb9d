"""The thread that processes: nothing that process does ends it, and stopping loses nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from recording import Journal, RecordingBroker
from servers.ports import wait_for

from slingshot_microservice.errors import (
    DatabaseUnavailableError,
    Reject,
    Retry,
    StorageUnavailableError,
)
from slingshot_microservice.hotpath import Work
from slingshot_microservice.runtime import outcome
from slingshot_microservice.runtime.gate import Gate, Need
from slingshot_microservice.runtime.worker import Worker

BOUND = 20.0  # seconds after which waiting has failed


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text today")


class Kit:
    """A worker on prepared deliveries; `act` is what processing a request does."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.act: Callable[[int], object] = lambda request: None
        self.failures: list[BaseException] = []
        self.broker = RecordingBroker(journal)
        self.needs = [
            Need("database", self.is_missed_in, lambda _error: self.journal.note("probe"))
        ]

    def worker(self, *works: Work) -> Worker:
        """Return a worker that has not begun."""
        self.broker = RecordingBroker(self.journal, works)
        gate = Gate(
            "shout",
            self.broker,
            self.needs,
            first_pause=0.001,
            longest_pause=0.002,
            on_failure=self.failures.append,
        )
        return Worker("shout", self.broker, self.run, gate, self.failures.append)

    @staticmethod
    def is_missed_in(error: BaseException) -> bool:
        """Only the database can be away here."""
        return isinstance(error, DatabaseUnavailableError)

    def work(self, *requests: int) -> None:
        """Process requests, which have the tags from 1 and the epoch 1, to the end."""
        worker = self.worker(*((1, (tag, id, False)) for tag, id in enumerate(requests, 1)))
        worker.start()
        assert worker.join(BOUND)

    def run(self, epoch: int, tag: int, request: int) -> None:
        """Stand in for the runner."""
        self.journal.note(f"run {epoch} {tag} {request}")
        self.act(request)


@pytest.fixture
def kit(journal: Journal) -> Kit:
    return Kit(journal)


def fail_with(error: BaseException) -> Callable[[int], None]:
    def act(request: int) -> None:
        if request == 10:
            raise error

    return act


def test_deliveries_are_processed_in_order(kit: Kit) -> None:
    worker = kit.worker((1, (1, 30, False)), (1, (2, 10, True)), (1, (3, 20, False)))
    worker.start()
    assert worker.join(BOUND)
    assert kit.journal == ["run 1 1 30", "run 1 2 10", "run 1 3 20"]
    assert not kit.failures


def test_process_runs_on_a_thread_that_is_called_after_its_service(kit: Kit) -> None:
    seen: list[str] = []
    kit.act = lambda _request: seen.append(threading.current_thread().name)
    kit.work(1)
    assert seen == ["shout"]


@pytest.mark.parametrize(
    "error",
    [
        LookupError("no"),
        SystemExit(3),
        KeyboardInterrupt(),
        MemoryError(),
        GeneratorExit(),
        RecursionError(),
        UnprintableError(),
        StorageUnavailableError("the store is away", bucket="b", id=1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_process_raises_is_a_failed_run_and_the_next_is_processed(
    kit: Kit, error: BaseException
) -> None:
    kit.act = fail_with(error)
    kit.work(10, 20)
    assert kit.journal == ["run 1 1 10", "fail 1 1 failed", "run 1 2 20"]
    (failure,) = kit.broker.failures
    assert failure.error_type.endswith(type(error).__name__)
    assert "in act\n" in failure.traceback
    assert failure.after is None
    assert not kit.failures


def test_a_request_may_be_rejected(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    kit.act = fail_with(Reject("no such\norder"))
    kit.work(10, 20)
    assert kit.journal == ["run 1 1 10", "fail 1 1 rejected", "run 1 2 20"]
    assert kit.broker.failures[0].error == "no such\norder"
    assert caplog.messages == ["request 10 is rejected: no such order"]
    assert "Traceback" not in caplog.text


def test_a_request_may_ask_to_be_tried_again(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    kit.act = fail_with(Retry("not yet", after=2.5))
    kit.work(10)
    assert kit.journal == ["run 1 1 10", "fail 1 1 failed"]
    assert kit.broker.failures[0].after == 2.5
    assert caplog.messages == ["request 10 is to be tried again: not yet"]
    assert "Traceback" not in caplog.text


def test_what_is_away_costs_the_request_nothing(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    kit.act = fail_with(DatabaseUnavailableError("lost the\nconnection"))
    kit.work(10, 20)
    assert kit.journal == ["run 1 1 10", "probe", "hand_back 1 1", "run 1 2 20"]
    (message,) = caplog.messages
    assert message == "request 10 is handed back, and the run not counted: lost the connection"
    assert "Traceback" not in caplog.text


def test_a_request_that_says_itself_what_is_to_become_of_it_is_not_excused(kit: Kit) -> None:
    def act(_request: int) -> None:
        try:
            raise DatabaseUnavailableError("away")
        except DatabaseUnavailableError as error:
            raise Reject("without a database") from error

    kit.act = act
    kit.work(10)
    assert kit.journal == ["run 1 1 10", "fail 1 1 rejected"]


def test_what_was_received_goes_back_while_something_is_away(kit: Kit) -> None:
    probes: list[bool] = []
    back = threading.Event()

    def probe(_error: BaseException) -> None:
        probes.append(back.is_set())
        if not back.is_set():
            raise DatabaseUnavailableError("still away")

    worker = kit.worker(*((1, (tag, 10 * tag, False)) for tag in range(1, 5)))
    kit.needs[0] = kit.needs[0]._replace(probe=probe)
    kit.act = fail_with(DatabaseUnavailableError("away"))
    kit.broker.on_hand_back = lambda tag: back.set() if tag == 4 else None
    worker.start()
    assert worker.join(BOUND)
    wait_for(lambda: "resume 'the database is away'" in kit.journal, BOUND)
    kit.journal.remove("resume 'the database is away'")  # when, is another thread's affair
    assert kit.journal == [
        "run 1 1 10",
        "pause 'the database is away'",
        "hand_back 1 1",
        "hand_back 1 2",
        "hand_back 1 3",
        "hand_back 1 4",
    ]
    assert probes[0] is False
    assert probes[-1] is True


def test_a_log_that_fails_does_not_end_the_worker(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_keywords: object) -> None:
        raise MemoryError

    monkeypatch.setattr(outcome, "_log", SimpleNamespace(error=fail, warning=fail))
    kit.act = fail_with(LookupError())
    kit.work(10, 20)
    assert kit.journal == ["run 1 1 10", "fail 1 1 failed", "run 1 2 20"]
    assert not kit.failures


def test_the_error_of_a_user_is_logged_with_its_stack(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    kit.act = fail_with(LookupError("no such\ncolour"))
    kit.work(10)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message == "request 10 failed: LookupError: no such\ncolour"
    assert "in act\n" in caplog.text, "the stack names the user's function"


def test_an_error_of_ours_is_logged_in_one_line(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    kit.act = fail_with(StorageUnavailableError("the store is away", bucket="b", id=1))
    kit.work(10)
    (record,) = caplog.records
    assert record.message == "request 10 failed: the store is away"
    assert "Traceback" not in caplog.text


def test_an_error_without_a_text_is_named_by_its_type(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    kit.act = fail_with(UnprintableError())
    kit.work(10)
    assert "UnprintableError: its text cannot be had: RuntimeError" in caplog.text


def test_after_a_stop_what_comes_is_handed_back(kit: Kit) -> None:
    worker = kit.worker(*((1, (tag, 10 * tag, False)) for tag in range(1, 5)))
    kit.act = lambda _request: worker.stop()
    worker.start()
    assert worker.join(BOUND)
    assert kit.journal == [
        "run 1 1 10",
        "hand_back 1 2",
        "hand_back 1 3",
        "hand_back 1 4",
    ]


def test_join_says_whether_the_end_has_come(kit: Kit) -> None:
    go_on = threading.Event()
    worker = kit.worker((1, (1, 10, False)))
    kit.act = lambda _request: go_on.wait(BOUND)
    assert worker.join(0), "one that never began has ended"
    worker.start()
    assert not worker.join(0.01)
    go_on.set()
    assert worker.join(BOUND)


def test_a_request_that_never_ends_does_not_keep_the_program_from_ending(kit: Kit) -> None:
    daemons: list[bool] = []
    kit.act = lambda _request: daemons.append(threading.current_thread().daemon)
    kit.work(1)
    assert daemons == [True]


def test_a_worker_that_dies_is_reported(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    error = RuntimeError("a bug in a broker")
    kit.journal.failing["fail"] = error
    kit.act = fail_with(LookupError())
    kit.work(10, 20)
    assert kit.failures == [error]
    assert "the worker has died" in caplog.text
