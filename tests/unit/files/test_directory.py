"""A directory as an object store."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from slingshot_microservice.errors import ObjectNotFoundError, StorageError
from slingshot_microservice.files import DirectoryStore, ObjectStore

LIMIT = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(root, LIMIT)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"content")
    return path


def put(root: Path, bucket: str, id: int, data: bytes) -> None:
    (root / bucket).mkdir(parents=True, exist_ok=True)
    (root / bucket / str(id)).write_bytes(data)


def test_is_an_object_store(store: DirectoryStore) -> None:
    kept: ObjectStore = store
    kept.close()


@pytest.mark.parametrize("size", [0, LIMIT, LIMIT + 1])
def test_reads_what_is_there(store: DirectoryStore, root: Path, size: int) -> None:
    put(root, "texts", 42, b"x" * size)
    with store.read("texts", 42) as file:
        assert file.seek(0, io.SEEK_END) == size
        file.seek(0)
        assert file.read() == b"x" * size


def test_holds_small_objects_in_memory_and_large_ones_on_disk(
    store: DirectoryStore, root: Path
) -> None:
    put(root, "texts", 1, b"x" * LIMIT)
    put(root, "texts", 2, b"x" * (LIMIT + 1))
    with store.read("texts", 1) as small, store.read("texts", 2) as large:
        assert isinstance(small, io.BytesIO)
        assert os.fstat(large.fileno()).st_size == LIMIT + 1


def test_a_missing_object_is_named(store: DirectoryStore, root: Path) -> None:
    put(root, "texts", 41, b"")
    with pytest.raises(ObjectNotFoundError) as caught:
        store.read("texts", 42)
    assert "'texts'" in str(caught.value)
    assert str(root / "texts" / "42") in str(caught.value)
    assert (caught.value.bucket, caught.value.id) == ("texts", 42)


def test_a_missing_bucket_is_a_missing_object(store: DirectoryStore) -> None:
    with pytest.raises(ObjectNotFoundError, match="bucket 'nowhere' has no object 1"):
        store.read("nowhere", 1)


def test_makes_the_bucket_and_the_object(store: DirectoryStore, root: Path, source: Path) -> None:
    store.upload("texts", 2**64 - 1, source)
    assert (root / "texts" / "18446744073709551615").read_bytes() == b"content"


def test_replaces_an_object_and_leaves_nothing_else(
    store: DirectoryStore, root: Path, source: Path
) -> None:
    put(root, "texts", 42, b"before")
    store.upload("texts", 42, source)
    assert (root / "texts" / "42").read_bytes() == b"content"
    assert [path.name for path in (root / "texts").iterdir()] == ["42"]


def test_a_reader_keeps_the_object_it_opened(
    store: DirectoryStore, root: Path, source: Path
) -> None:
    put(root, "texts", 42, b"x" * (LIMIT + 1))
    with store.read("texts", 42) as file:
        store.upload("texts", 42, source)
        assert file.read() == b"x" * (LIMIT + 1)


def test_an_upload_that_fails_leaves_what_was_there(store: DirectoryStore, root: Path) -> None:
    put(root, "texts", 42, b"before")
    with pytest.raises(StorageError, match="cannot write object 42 of bucket 'texts'") as caught:
        store.upload("texts", 42, root / "no such file")
    assert not isinstance(caught.value, ObjectNotFoundError)
    assert (root / "texts" / "42").read_bytes() == b"before"
    assert [path.name for path in (root / "texts").iterdir()] == ["42"]


def test_a_folder_in_the_place_of_an_object_is_an_error(
    store: DirectoryStore, root: Path, source: Path
) -> None:
    (root / "texts" / "42").mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot read object 42 of bucket 'texts'"):
        store.read("texts", 42)
    with pytest.raises(StorageError, match="cannot write object 42 of bucket 'texts'"):
        store.upload("texts", 42, source)
    assert [path.name for path in (root / "texts").iterdir()] == ["42"]


def test_a_file_in_the_place_of_a_bucket_is_an_error(
    store: DirectoryStore, root: Path, source: Path
) -> None:
    root.mkdir()
    (root / "texts").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write object 42 of bucket 'texts'"):
        store.upload("texts", 42, source)
    with pytest.raises(StorageError, match="cannot read object 42 of bucket 'texts'"):
        store.read("texts", 42)


@pytest.mark.parametrize("bucket", ["", ".", "..", "a/b", "/etc", "../out", "a/", "nul\0l"])
def test_a_bucket_never_leaves_the_directory(
    store: DirectoryStore, root: Path, source: Path, bucket: str
) -> None:
    with pytest.raises(StorageError, match="cannot be a folder"):
        store.upload(bucket, 1, source)
    with pytest.raises(StorageError, match="cannot be a folder") as caught:
        store.read(bucket, 1)
    assert caught.value.bucket == bucket
    assert not root.exists()
