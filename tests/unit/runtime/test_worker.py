"""The thread that processes: nothing that process does ends it, and stopping loses nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest
from recording import Journal, RecordingBroker

from slingshot_microservice.broker.protocol import Batch
from slingshot_microservice.errors import StorageUnavailableError
from slingshot_microservice.runtime.failures import FailurePauses
from slingshot_microservice.runtime.worker import Worker

BOUND = 20.0  # seconds after which waiting has failed


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text today")


class Kit:
    """A worker on prepared batches; `act` is what processing a request does."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.act: Callable[[int], object] = lambda request: None
        self.failures: list[BaseException] = []
        self.broker = RecordingBroker(journal)

    def worker(self, *batches: Batch) -> Worker:
        """Return a worker that has not begun."""
        self.broker = RecordingBroker(self.journal, batches)
        pauses = FailurePauses(1, 30)
        return Worker("shout", self.broker, self.run, pauses, self.failures.append)

    def work(self, *requests: int) -> None:
        """Process requests, which have the tags from 1 and the epoch 1, to the end."""
        worker = self.worker(Batch(1, [(tag, id, False) for tag, id in enumerate(requests, 1)]))
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
    worker = kit.worker(Batch(1, [(1, 30, False), (2, 10, True)]), Batch(1, [(3, 20, False)]))
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
def test_whatever_process_raises_is_handed_back_and_the_next_is_processed(
    kit: Kit, error: BaseException
) -> None:
    kit.act = fail_with(error)
    kit.work(10, 20)
    assert kit.journal == ["run 1 1 10", "hand_back 1 1 later", "run 1 2 20"]
    assert not kit.failures


def test_the_error_of_a_user_is_logged_with_its_stack(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    kit.act = fail_with(LookupError("no such\ncolour"))
    kit.work(10)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message.startswith("request 10 failed: LookupError: no such\ncolour; handed back")
    assert "in act\n" in caplog.text, "the stack names the user's function"


def test_an_error_of_ours_is_logged_in_one_line(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    kit.act = fail_with(StorageUnavailableError("the store is away", bucket="b", id=1))
    kit.work(10)
    (record,) = caplog.records
    assert record.message.startswith("request 10 failed: the store is away; handed back to its")
    assert "Traceback" not in caplog.text


def test_an_error_without_a_text_is_named_by_its_type(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    kit.act = fail_with(UnprintableError())
    kit.work(10)
    assert "request 10 failed: UnprintableError, whose text fails: RuntimeError" in caplog.text


def test_stop_hands_back_the_rest_of_a_batch_at_once(kit: Kit) -> None:
    worker = kit.worker(
        Batch(1, [(1, 10, False), (2, 20, False), (3, 30, False)]), Batch(1, [(4, 40, False)])
    )
    kit.act = lambda _request: worker.stop()
    worker.start()
    assert worker.join(BOUND)
    assert kit.journal == [
        "run 1 1 10",
        "hand_back 1 2 now",
        "hand_back 1 3 now",
        "hand_back 1 4 now",
    ]


def test_deliveries_of_a_lost_channel_are_left_to_others(kit: Kit) -> None:
    worker = kit.worker(Batch(1, [(1, 10, False), (2, 20, False)]), Batch(2, [(1, 20, True)]))

    def lose_the_channel(_request: int) -> None:
        kit.broker.epoch = 2

    kit.act = lose_the_channel
    worker.start()
    assert worker.join(BOUND)
    assert kit.journal == ["run 1 1 10", "run 2 1 20"], "20 is processed once, when it comes again"


def test_join_says_whether_the_end_has_come(kit: Kit) -> None:
    go_on = threading.Event()
    worker = kit.worker(Batch(1, [(1, 10, False)]))
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
    kit.journal.failing["hand_back"] = error
    kit.act = fail_with(LookupError())
    kit.work(10, 20)
    assert kit.failures == [error]
    assert "the worker has died" in caplog.text
