"""The S3 store on obstore before anything is sent: its errors, its secrets, its clients."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore.exceptions
import obstore.store
import pytest

from slingshot_microservice.errors import (
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
)
from slingshot_microservice.files.s3_obstore import ObstoreStore

ENDPOINT = "http://s3.example:9000"
ACCESS_KEY = "GK31c2f218a2e44f48"
SECRET_KEY = "s3cret/with+odd=characters"
BASE = obstore.exceptions.BaseError


class FakeClient:
    """Stands for obstore's client of a bucket: raises what it was given, or answers."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome

    def get(self, _key: str) -> Any:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def put(self, _key: str, _content: bytes, *, use_multipart: bool) -> Any:
        assert not use_multipart
        return self.get("")


class ShortAnswer:
    """An answer that ends before its end."""

    def __init__(self, announced: int) -> None:
        self.range = (0, announced)

    def bytes(self) -> Any:
        return b"half of it"

    def stream(self, _size: int) -> Iterator[Any]:
        yield b"half of it"


@pytest.fixture
def store() -> ObstoreStore:
    return ObstoreStore(ENDPOINT, ACCESS_KEY, SECRET_KEY, memory_limit=1000)


def answering(monkeypatch: pytest.MonkeyPatch, outcome: Any) -> None:
    monkeypatch.setattr(obstore.store, "S3Store", lambda *_, **__: FakeClient(outcome))


def answer(status: str, body: str = "") -> str:
    """Return what obstore says of an answer."""
    message = (
        "Generic S3 error: Error performing GET http://s3.example:9000/texts/42 in 1.9ms, after 2 "
        f"retries, max_retries: 2, retry_timeout: 150s  - Server returned non-2xx status code: "
        f"{status}: {body}"
    )
    return f'{message}\n\nDebug source:\nGeneric {{\n    store: "S3",\n    status: {status} }}'


def body(code: str, message: str = "what the store said") -> str:
    return f"<Error>\n  <Code>{code}</Code><Message>{message}</Message>\n</Error>"


def every_error() -> list[type[Exception]]:
    found = {
        value
        for _, value in inspect.getmembers(obstore.exceptions, inspect.isclass)
        if issubclass(value, BASE)
    }
    return sorted({*found, FileNotFoundError, OSError, ValueError}, key=lambda one: one.__name__)


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_obstore_becomes_one_of_ours(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], tmp_path: Path
) -> None:
    answering(monkeypatch, kind("something went wrong"))
    with pytest.raises(StorageError, match="cannot read object 42 of bucket 'texts'"):
        store.read("texts", 42)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write object 42 of bucket 'texts'"):
        store.upload("texts", 42, tmp_path / "file")


@pytest.mark.parametrize(
    ("status", "text", "kind", "said"),
    [
        ("404 Not Found", body("NoSuchKey"), ObjectNotFoundError, "bucket 'texts' has no object"),
        ("404 Not Found", "", ObjectNotFoundError, f"'texts' has no object 42 at {ENDPOINT}"),
        ("404 Not Found", body("NoSuchBucket"), ObjectNotFoundError, "there is no bucket 'texts'"),
        ("403 Forbidden", body("AccessDenied"), StorageError, "access key (AccessDenied)"),
        ("403 Forbidden", "", StorageError, "the store refused the access key (HTTP 403)"),
        ("401 Unauthorized", "", StorageError, "the store refused the access key (HTTP 401)"),
        ("500 Internal Server Error", "", StorageUnavailableError, f"{ENDPOINT}: HTTP 500"),
        ("503 Service Unavailable", body("SlowDown"), StorageUnavailableError, "SlowDown what"),
        ("429 Too Many Requests", "", StorageUnavailableError, f"{ENDPOINT}: HTTP 429"),
        (
            "400 Bad Request",
            body("InvalidBucketName", "a &lt; b"),
            StorageError,
            "InvalidBucketName a < b",
        ),
    ],
)
def test_what_the_store_answers_is_said_in_one_line(
    store: ObstoreStore,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    text: str,
    kind: type[StorageError],
    said: str,
) -> None:
    answering(monkeypatch, obstore.exceptions.GenericError(answer(status, text)))
    with pytest.raises(StorageError) as caught:
        store.read("texts", 42)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.bucket, caught.value.id) == ("texts", 42)


def test_keys_are_in_no_message_and_no_repr(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = body("Malformed", f"No such key: {ACCESS_KEY} ({SECRET_KEY})")
    answering(monkeypatch, obstore.exceptions.GenericError(answer("400 Bad Request", text)))
    with pytest.raises(StorageError, match="No such key") as caught:
        store.read("texts", 42)
    shown = f"{caught.value} {caught.value!r} {store!r}"
    assert ACCESS_KEY not in shown
    assert SECRET_KEY not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("length", range(285, 310))
def test_no_part_of_a_key_is_left_where_a_message_is_cut(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    text = body("Malformed", "x" * (length - len("Malformed ")) + SECRET_KEY)
    answering(monkeypatch, obstore.exceptions.GenericError(answer("400 Bad Request", text)))
    with pytest.raises(StorageError) as caught:
        store.read("texts", 42)
    assert SECRET_KEY[:4] not in str(caught.value)


@pytest.mark.parametrize("announced", [999, 2000])
def test_a_part_is_never_taken_for_the_whole(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch, announced: int
) -> None:
    answering(monkeypatch, ShortAnswer(announced))
    with pytest.raises(StorageUnavailableError, match=f"broke off after 10 of {announced} bytes"):
        store.read("texts", 42)


def test_threads_share_one_client_for_each_bucket(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    barrier = threading.Barrier(8)

    def make(bucket: str, **_: Any) -> FakeClient:
        made.append(bucket)
        return FakeClient(FileNotFoundError(answer("404 Not Found")))

    def read(bucket: str) -> None:
        barrier.wait()
        with pytest.raises(ObjectNotFoundError):
            store.read(bucket, 42)

    monkeypatch.setattr(obstore.store, "S3Store", make)
    threads = [threading.Thread(target=read, args=(f"bucket-{n % 2}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == ["bucket-0", "bucket-1"]
