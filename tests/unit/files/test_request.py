"""The files of one request: what process is given, and what becomes of it."""

from __future__ import annotations

import enum
import gc
import io
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from recording import files_below

from slingshot_microservice.errors import (
    ConfigurationError,
    ObjectNotFoundError,
    RequestEndedError,
    StorageError,
    StorageUnavailableError,
    UsageError,
)
from slingshot_microservice.files import Content, DirectoryStore, FileAccess, RequestFiles
from slingshot_microservice.typing import ReadFileFn, WriteFileFn, WriteHandle

BUCKETS = {"in": "texts", "out": "reports", "also-out": "reports"}
LIMIT = 1000
LARGE = b"x" * 100_000  # too large for a local copy in memory


class RecordingStore(DirectoryStore):
    """Notes the order of uploads, and can be told to fail."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, LIMIT)
        self.uploads: list[tuple[str, int]] = []
        self.failing: int | None = None

    def upload(self, bucket: str, id: int, content: Content) -> None:
        if id == self.failing:
            raise StorageUnavailableError("the store is away", bucket=bucket, id=id)
        self.uploads.append((bucket, id))
        super().upload(bucket, id, content)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where local copies are made; nothing else is."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "objects" / "texts").mkdir(parents=True)
    return tmp_path / "objects"


@pytest.fixture
def store(root: Path) -> RecordingStore:
    return RecordingStore(root)


@pytest.fixture
def files(store: RecordingStore, temporary: Path) -> RequestFiles:
    return RequestFiles(7, FileAccess(store, BUCKETS.__getitem__))


def finish(files: RequestFiles) -> None:
    files.close()
    files.upload()
    files.discard()


def test_gives_what_the_public_types_promise(files: RequestFiles) -> None:
    read_file: ReadFileFn = files.read_file
    write_file: WriteFileFn = files.write_file
    handle: WriteHandle = write_file("out", 1)
    assert callable(read_file)
    assert not handle.closed
    files.discard()


def test_reads_and_writes_the_buckets_that_keys_stand_for(files: RequestFiles, root: Path) -> None:
    (root / "texts" / "42").write_bytes(b"hello")
    files.write_file("out", 43).write(files.read_file("in", 42).read().upper())
    finish(files)
    assert (root / "reports" / "43").read_bytes() == b"HELLO"


def test_a_request_without_files_leaves_no_trace(
    files: RequestFiles, root: Path, temporary: Path
) -> None:
    finish(files)
    assert files_below(temporary) == []
    assert [path.name for path in root.iterdir()] == ["texts"]


def test_nothing_is_stored_before_upload(files: RequestFiles, root: Path) -> None:
    with files.write_file("out", 1) as file:
        file.write(b"staged")
    files.close()
    assert not (root / "reports").exists()
    files.discard()
    assert not (root / "reports").exists()


def test_close_closes_every_file(files: RequestFiles, root: Path) -> None:
    (root / "texts" / "1").write_bytes(b"small")
    (root / "texts" / "2").write_bytes(b"x" * (LIMIT + 1))
    opened = [files.read_file("in", 1), files.read_file("in", 2), files.write_file("out", 3)]
    files.close()
    assert [file.closed for file in opened] == [True, True, True]
    files.discard()


def test_process_may_close_files_itself(files: RequestFiles, root: Path) -> None:
    (root / "texts" / "1").write_bytes(b"x" * (LIMIT + 1))
    with files.read_file("in", 1) as reader, files.write_file("out", 2) as writer:
        shutil.copyfileobj(reader, writer)
    files.write_file("out", 3).close()
    finish(files)
    assert (root / "reports" / "2").read_bytes() == b"x" * (LIMIT + 1)
    assert (root / "reports" / "3").read_bytes() == b""


def test_uploads_in_the_order_of_first_staging(files: RequestFiles, store: RecordingStore) -> None:
    for id in (5, 3, 9, 3):
        files.write_file("out", id)
    finish(files)
    assert store.uploads == [("reports", 5), ("reports", 3), ("reports", 9)]


@pytest.mark.parametrize("later", ["out", "also-out"])
def test_of_two_files_for_one_object_the_later_stands(
    files: RequestFiles, root: Path, store: RecordingStore, later: str
) -> None:
    earlier = files.write_file("out", 1)
    files.write_file(later, 1).write(b"later")
    earlier.write(b"earlier, and written last")
    finish(files)
    assert (root / "reports" / "1").read_bytes() == b"later"
    assert store.uploads == [("reports", 1)]


def test_the_copy_of_the_earlier_file_is_removed_at_once(
    files: RequestFiles, temporary: Path
) -> None:
    for _ in range(3):
        files.write_file("out", 1).write(LARGE)
    [folder] = temporary.iterdir()
    assert len(list(folder.iterdir())) == 1
    files.discard()


def test_local_copies_are_gone_after_the_upload(files: RequestFiles, temporary: Path) -> None:
    files.write_file("out", 1).write(LARGE)
    [folder] = temporary.iterdir()
    assert folder.name.startswith("slingshot-")
    files.close()
    files.upload()
    assert files_below(temporary) == []


def test_a_failed_upload_stops_there_and_leaves_no_copies(
    files: RequestFiles, store: RecordingStore, temporary: Path
) -> None:
    for id in (1, 2, 3):
        files.write_file("out", id).write(LARGE)
    store.failing = 2
    files.close()
    with pytest.raises(StorageUnavailableError):
        files.upload()
    files.discard()
    assert store.uploads == [("reports", 1)]
    assert files_below(temporary) == []


def test_discard_closes_removes_and_may_be_repeated(
    files: RequestFiles, root: Path, temporary: Path
) -> None:
    (root / "texts" / "1").write_bytes(b"x" * (LIMIT + 1))
    opened = [files.read_file("in", 1), files.write_file("out", 2)]
    opened[1].write(LARGE)
    files.discard()
    files.discard()
    files.close()
    files.upload()
    assert [file.closed for file in opened] == [True, True]
    assert files_below(temporary) == []
    assert not (root / "reports").exists()


@pytest.mark.parametrize("end", [RequestFiles.close, RequestFiles.discard])
def test_no_files_after_the_end(files: RequestFiles, end: Callable[[RequestFiles], None]) -> None:
    end(files)
    with pytest.raises(RequestEndedError, match=r"write_file was called after request 7 had ended"):
        files.write_file("out", 1)
    with pytest.raises(RequestEndedError, match=r"read_file was called after request 7 had ended"):
        files.read_file("in", 1)
    files.discard()


def test_no_files_after_startup(store: RecordingStore) -> None:
    files = RequestFiles(None, FileAccess(store, BUCKETS.__getitem__))
    files.close()
    with pytest.raises(RequestEndedError, match="after startup had ended"):
        files.write_file("out", 1)


def test_an_object_that_arrives_after_the_end_is_closed(tmp_path: Path) -> None:
    late = io.BytesIO(b"late")

    class SlowStore(DirectoryStore):
        def read(self, bucket: str, id: int) -> BinaryIO:
            ending.close()  # as the main thread does while a thread of process is still reading
            return late

    ending = RequestFiles(7, FileAccess(SlowStore(tmp_path, LIMIT), BUCKETS.__getitem__))
    with pytest.raises(RequestEndedError, match="read_file"):
        ending.read_file("in", 1)
    assert late.closed


@pytest.mark.parametrize("id", [-1, 2**64, True, False, 1.0, "1", None])
def test_what_is_no_id_is_named(files: RequestFiles, temporary: Path, id: int) -> None:
    with pytest.raises(UsageError, match=r"write_file: id is .*; expected an int from 0 to 184"):
        files.write_file("out", id)
    with pytest.raises(UsageError, match=r"read_file: id is .*; expected an int from 0 to 184"):
        files.read_file("in", id)
    assert files_below(temporary) == []


@pytest.mark.parametrize("key", [None, 1, b"out"])
def test_what_is_no_key_is_named(files: RequestFiles, key: str) -> None:
    with pytest.raises(UsageError, match="write_file: key is"):
        files.write_file(key, 1)
    with pytest.raises(UsageError, match="read_file: key is"):
        files.read_file(key, 1)


class Report(enum.IntEnum):
    """An id that has a name."""

    DAILY = 11


@pytest.mark.parametrize("id", [0, 2**64 - 1, Report.DAILY])
def test_ids_of_every_size_name_their_object(files: RequestFiles, root: Path, id: int) -> None:
    files.write_file("out", id).write(b"x")
    finish(files)
    assert [path.name for path in (root / "reports").iterdir()] == [format(int(id))]


def test_errors_of_the_store_and_the_configuration_pass(store: RecordingStore) -> None:
    def resolve(key: str) -> str:
        if key != "in":
            raise ConfigurationError("no such key", source="test")
        return "texts"

    files = RequestFiles(7, FileAccess(store, resolve))
    with pytest.raises(ObjectNotFoundError, match="bucket 'texts' has no object 404"):
        files.read_file("in", 404)
    with pytest.raises(ConfigurationError):
        files.write_file("out", 1)
    files.discard()


def test_a_full_disk_is_an_error_that_names_the_object(
    files: RequestFiles, root: Path, temporary: Path
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    handle = files.write_file("out", 1)
    beside = files.write_file("out", 2)
    os.dup2(full, handle.fileno())
    os.close(full)
    handle.write(b"does not fit")
    with pytest.raises(
        StorageError, match=r"object 1 of bucket 'reports': No space left"
    ) as caught:
        files.close()
    assert str(temporary) in str(caught.value)
    assert (handle.closed, beside.closed) == (True, True)
    files.discard()
    assert not (root / "reports").exists()


def test_a_local_file_that_cannot_be_made_is_an_error(
    files: RequestFiles, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    for id in range(64):  # so many small ones need no file
        files.write_file("out", id).write(b"small")
    with pytest.raises(StorageError, match="object 64 of bucket 'reports': No such file"):
        files.write_file("out", 64)
    files.discard()


def test_a_local_file_that_cannot_be_made_in_the_end_is_an_error(
    files: RequestFiles, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    handle = files.write_file("out", 1)
    handle.seek(100_000)
    handle.write(b"far behind")  # is in the handle's buffer until it is closed
    with pytest.raises(StorageError, match="object 1 of bucket 'reports': No such file"):
        files.close()
    files.discard()


def test_of_very_many_files_most_are_on_disk(
    files: RequestFiles, temporary: Path, root: Path
) -> None:
    for id in range(100):
        with files.write_file("out", id) as file:
            file.write(b"%d" % id)
    [folder] = temporary.iterdir()
    assert len(list(folder.iterdir())) == 36
    finish(files)
    written = {path.name: path.read_text() for path in (root / "reports").iterdir()}
    assert written == {str(id): str(id) for id in range(100)}
    assert files_below(temporary) == []


def test_discard_never_raises(files: RequestFiles, root: Path, temporary: Path) -> None:
    (root / "texts" / "1").write_bytes(b"small")
    reader = files.read_file("in", 1)
    assert isinstance(reader, io.BytesIO)
    view = reader.getbuffer()  # a BytesIO cannot be closed while this lives
    raw = files.write_file("out", 2).detach()
    assert raw.fileno() > 0
    files.discard()
    view.release()
    raw.close()
    assert files_below(temporary) == []


def test_objects_in_memory_go_when_process_drops_them(files: RequestFiles, root: Path) -> None:
    (root / "texts" / "1").write_bytes(b"small")
    reader = weakref.ref(files.read_file("in", 1))
    gc.collect()
    assert reader() is None
    files.discard()


def test_threads_of_process_may_share_the_functions(
    files: RequestFiles, root: Path, temporary: Path
) -> None:
    barrier = threading.Barrier(8)

    def write(thread: int) -> None:
        barrier.wait()
        for id in range(thread * 20, thread * 20 + 20):
            with files.write_file("out", id) as file:
                file.write(str(id))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(temporary.iterdir())) == 1
    finish(files)
    written = {path.name: path.read_text() for path in (root / "reports").iterdir()}
    assert written == {str(id): str(id) for id in range(160)}
