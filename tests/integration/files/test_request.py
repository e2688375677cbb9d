"""The files of one request, on S3."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recording import files_below
from servers.s3 import S3Server
from stores import StoreClass

from slingshot_microservice.errors import ObjectNotFoundError, StorageError
from slingshot_microservice.files import FileAccess, RequestFiles

MIB = 1024 * 1024


@pytest.fixture
def names(s3: S3Server) -> dict[str, str]:
    """Which bucket each key stands for."""
    names = {key: f"{key}-{uuid.uuid4().hex[:12]}" for key in ("in", "out")}
    for name in names.values():
        s3.create_bucket(name)
    names["also-out"] = names["out"]
    return names


@pytest.fixture
def make(
    s3: S3Server, store_class: StoreClass, names: dict[str, str]
) -> Iterator[Callable[[int], RequestFiles]]:
    store = store_class(s3.endpoint, s3.access_key, s3.secret_key, memory_limit=8 * MIB)
    access = FileAccess(store, names.__getitem__)
    yield lambda request: RequestFiles(request, access)
    access.close()
    store.close()


@pytest.fixture
def temporary(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert s3.running  # so that nothing but a request's files is made here
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("size", [0, 5, 20 * MIB])
def test_a_file_goes_from_bucket_to_bucket(
    s3: S3Server,
    names: dict[str, str],
    make: Callable[[int], RequestFiles],
    temporary: Path,
    size: int,
) -> None:
    data = os.urandom(size)
    s3.put(names["in"], 42, data)
    files = make(42)
    files.write_file("out", 43).write(files.read_file("in", 42).read())
    files.close()
    assert s3.keys(names["out"]) == []
    files.upload()
    assert s3.get(names["out"], 43) == data
    files.discard()
    assert files_below(temporary) == []


def test_of_two_files_for_one_object_the_later_stands(
    s3: S3Server, names: dict[str, str], make: Callable[[int], RequestFiles]
) -> None:
    files = make(1)
    files.write_file("out", 43).write("earlier")
    files.write_file("also-out", 43).write("later")
    files.close()
    files.upload()
    files.discard()
    assert s3.keys(names["out"]) == ["43"]
    assert s3.get(names["out"], 43) == b"later"


def test_a_request_that_failed_stores_nothing(
    s3: S3Server, names: dict[str, str], make: Callable[[int], RequestFiles], temporary: Path
) -> None:
    files = make(1)
    files.write_file("out", 43).write("half of it")
    with pytest.raises(ObjectNotFoundError, match=f"bucket '{names['in']}' has no object 404"):
        files.read_file("in", 404)
    files.discard()
    assert s3.keys(names["out"]) == []
    assert files_below(temporary) == []


def test_a_bucket_that_is_missing_fails_the_upload(
    s3: S3Server, names: dict[str, str], make: Callable[[int], RequestFiles], temporary: Path
) -> None:
    names["lost"] = "no-such-bucket"
    files = make(1)
    for key in ("out", "lost"):
        files.write_file(key, 43).write(key)
    files.close()
    with pytest.raises(StorageError, match="no-such-bucket"):
        files.upload()
    files.discard()
    assert s3.keys(names["out"]) == ["43"], "what had begun was not waited for"
    assert files_below(temporary) == []


def test_many_files_of_a_request_arrive(
    s3: S3Server, names: dict[str, str], make: Callable[[int], RequestFiles], temporary: Path
) -> None:
    files = make(1)
    for id in range(20):
        files.write_file("out", id).write(f"earlier {id}")
    for id in range(20):
        files.write_file("also-out", id).write(f"later {id}")
    files.close()
    files.upload()
    assert files_below(temporary) == []
    assert {key: s3.get(names["out"], key) for key in s3.keys(names["out"])} == {
        str(id): b"later %d" % id for id in range(20)
    }
