"""The six steps of one request, in the contract's order, and what is left out when one fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recording import (
    Journal,
    RecordingBroker,
    RecordingDatabase,
    RecordingStore,
    local_copies,
)

from slingshot_microservice.errors import (
    DatabaseError,
    OutputError,
    RequestEndedError,
    StorageError,
    StorageUnavailableError,
)
from slingshot_microservice.files import FileAccess
from slingshot_microservice.runtime.request import RequestRunner, Routes
from slingshot_microservice.typing import ReadFileFn, WriteFileFn

BUCKETS = {"in": "texts", "out": "reports"}


class Kit:
    """A runner among stand-ins; `process` may be exchanged."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.store = RecordingStore(journal)
        self.session = RecordingDatabase(journal).the_session
        self.broker = RecordingBroker(journal)
        self.process: Callable[..., Any] = self.copy
        self.kept: object = None  # what process holds on to

    def copy(
        self, request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: object
    ) -> Iterator[tuple[int, bool]]:
        """Read, write and yield, as a user's function does."""
        assert connection is self.session.connection
        reader = read_file("in", request)
        writer = write_file("out", request)
        writer.write(reader.read().upper())
        assert writer.fileno() > 0  # so that there is a local copy, small as it is
        assert local_copies() == 1
        yield request, True
        self.journal.note("midway")
        writer.write("!")
        yield request + 1, False
        self.journal.note("exhausted")

    def runner(self) -> RequestRunner:
        return RequestRunner(
            self.process,
            routes=Routes([(True, [0, 1]), (False, [2])]),
            access=FileAccess(self.store, BUCKETS.__getitem__),
            session=self.session,  # type: ignore[arg-type]  # a stand-in
            broker=self.broker,
        )

    def run(self) -> None:
        """Take request 7, a delivery of epoch 5 and tag 3, through its steps."""
        self.runner().run(5, 3, 7)


@pytest.fixture
def kit(journal: Journal) -> Kit:
    return Kit(journal)


def test_the_steps_come_in_the_order_of_the_contract(kit: Kit) -> None:
    kit.run()
    assert kit.journal == [
        "read texts/7",
        "midway",
        "exhausted",  # 1. the iterable is exhausted
        "close texts/7",  # 2. every file is closed
        "upload reports/7 HELLO!",  # 3. staged files are uploaded …
        "commit with 0 local copies",  # … and local copies removed; 4. the transaction is committed
        "finish 5 3 [(0, 7), (1, 7), (2, 8)]",  # 5. ids are published, 6. then it is acknowledged
    ]


def test_the_next_request_finds_everything_as_new(kit: Kit) -> None:
    kit.run()
    first = list(kit.journal)
    kit.journal.clear()
    kit.run()
    assert kit.journal == first


def test_the_folder_of_local_copies_is_kept_until_the_runner_is_closed(
    kit: Kit, tmp_path: Path
) -> None:
    runner = kit.runner()
    runner.run(5, 3, 7)
    [folder] = tmp_path.glob("slingshot-*")
    runner.run(5, 4, 8)
    assert list(tmp_path.glob("slingshot-*")) == [folder]
    runner.close()
    assert not folder.exists()


def raise_at_once(kit: Kit) -> None:
    def process(*_arguments: object) -> Any:
        raise LookupError("at once")

    kit.process = process


def raise_midway(kit: Kit) -> None:
    kit.journal.failing["midway"] = LookupError("midway")


def raise_at_the_end(kit: Kit) -> None:
    kit.journal.failing["exhausted"] = LookupError("at the end")


def yield_nonsense(kit: Kit) -> None:
    def process(*arguments: Any) -> Any:
        yield from kit.copy(*arguments)
        yield -1, True

    kit.process = process


def spoil_the_file(kit: Kit) -> None:
    def process(request: int, _read: ReadFileFn, write_file: WriteFileFn, _c: object) -> Any:
        writer = write_file("out", request)
        writer.write("never reaches the disk")
        read_only = os.open(os.devnull, os.O_RDONLY)
        os.dup2(read_only, writer.fileno())
        os.close(read_only)
        kit.journal.note("spoiled")
        return [(request, True)]

    kit.process = process


def refuse_the_upload(kit: Kit) -> None:
    kit.store.fail()


def refuse_the_commit(kit: Kit) -> None:
    kit.session.fail()


@pytest.mark.parametrize(
    ("fail", "error", "last"),
    [
        (raise_at_once, LookupError, []),
        (raise_midway, LookupError, ["midway", "rollback"]),
        (raise_at_the_end, LookupError, ["exhausted", "rollback"]),
        (yield_nonsense, OutputError, ["exhausted", "rollback"]),
        (spoil_the_file, StorageError, ["spoiled", "rollback"]),
        (refuse_the_upload, StorageUnavailableError, ["upload reports/7 HELLO!", "rollback"]),
        (refuse_the_commit, DatabaseError, ["commit with 0 local copies", "rollback"]),
    ],
)
def test_nothing_comes_after_a_step_that_fails(
    kit: Kit, fail: Callable[[Kit], None], error: type[Exception], last: list[str]
) -> None:
    fail(kit)
    with pytest.raises(error):
        kit.run()
    done = [line for line in kit.journal if not line.startswith("close ")]
    assert done[-2:] == (last or ["rollback"])
    assert not any(line.startswith(("finish", "send")) for line in done)
    assert local_copies() == 0


@pytest.mark.parametrize("step", ["midway", "upload", "commit"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_even_what_is_no_exception_rolls_back(
    kit: Kit, step: str, kind: type[BaseException]
) -> None:
    kit.journal.failing[step] = kind()
    with pytest.raises(kind):
        kit.run()
    assert "rollback" in kit.journal
    assert not any(line.startswith("finish") for line in kit.journal)
    assert local_copies() == 0


def test_nothing_is_uploaded_after_the_first_upload_that_fails(kit: Kit) -> None:
    def process(_request: int, _read: ReadFileFn, write_file: WriteFileFn, _c: object) -> None:
        for id in (1, 2, 3):
            write_file("out", id).write(str(id))

    kit.process = process
    kit.store.fail()
    with pytest.raises(StorageUnavailableError):
        kit.run()
    assert kit.journal == ["upload reports/1 1", "rollback"]


def test_no_connection_means_no_process(kit: Kit) -> None:
    class Unreachable:
        @property
        def connection(self) -> object:
            raise DatabaseError("away")

        def rollback(self) -> None:
            kit.journal.note("rollback")

    kit.session = Unreachable()  # type: ignore[assignment]  # a stand-in of a stand-in
    with pytest.raises(DatabaseError):
        kit.run()
    assert kit.journal == ["rollback"]


def test_a_file_staged_when_the_generator_ends_is_uploaded(kit: Kit) -> None:
    def process(request: int, _read: ReadFileFn, write_file: WriteFileFn, _c: object) -> Any:
        try:
            yield request, True
        finally:
            write_file("out", request).write("last words")

    kit.process = process
    kit.run()
    assert kit.journal[0] == "upload reports/7 last words"


def test_an_abandoned_generator_still_has_its_files(kit: Kit) -> None:
    def process(request: int, _read: ReadFileFn, write_file: WriteFileFn, _c: object) -> Any:
        try:
            yield request, None
        finally:
            write_file("out", request).write("last words")
            kit.journal.note("cleaned up")

    kit.process = process
    with pytest.raises(OutputError):
        kit.run()
    assert kit.journal == ["cleaned up", "rollback"]


def test_what_was_only_read_is_closed_before_the_commit(kit: Kit) -> None:
    def process(request: int, read_file: ReadFileFn, *_others: object) -> Any:
        reader = read_file("in", request)
        yield request, reader.read() == b"hello"
        kit.kept = reader

    kit.process = process
    kit.run()
    assert kit.journal == [
        "read texts/7",
        "close texts/7",
        "commit with 0 local copies",
        "finish 5 3 [(0, 7), (1, 7)]",
    ]


def test_no_outputs_are_finished_like_others(kit: Kit) -> None:
    kit.process = lambda *_: None
    kit.run()
    assert kit.journal == ["commit with 0 local copies", "finish 5 3 []"]


def test_files_end_with_their_request(kit: Kit) -> None:
    kept: list[WriteFileFn] = []

    def process(_request: int, _read: ReadFileFn, write_file: WriteFileFn, _c: object) -> None:
        kept.append(write_file)

    kit.process = process
    kit.run()
    with pytest.raises(RequestEndedError, match="request 7"):
        kept[0]("out", 7)


def test_startup_goes_through_the_same_steps(kit: Kit) -> None:
    def startup(read_file: ReadFileFn, write_file: WriteFileFn, connection: object) -> Any:
        assert connection is kit.session.connection
        write_file("out", 0).write(read_file("in", 0).read())
        yield 1, True

    kit.runner().run_startup(startup)
    lines = [line for line in kit.journal if not line.startswith("close ")]
    assert lines == [
        "read texts/0",
        "upload reports/0 hello",
        "commit with 0 local copies",
        "send [(0, 1), (1, 1)]",
    ]


def test_a_startup_that_fails_sends_nothing(kit: Kit) -> None:
    def startup(*_arguments: object) -> Any:
        yield 1, True
        raise LookupError("midway")

    with pytest.raises(LookupError):
        kit.runner().run_startup(startup)
    assert kit.journal == ["rollback"]
