"""The S3 store on boto3 before anything is sent: its errors, its secrets, its client."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any

import boto3.exceptions
import boto3.session
import botocore.exceptions
import botocore.parsers
import pytest
import urllib3.exceptions

from slingshot_microservice.errors import (
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
)
from slingshot_microservice.files.s3 import S3Store

ENDPOINT = "http://s3.example:9000"
ACCESS_KEY = "GK31c2f218a2e44f48"
SECRET_KEY = "s3cret/with+odd=characters"


class FailingClient:
    """Stands for boto3's client, and raises what it was given."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get_object(self, **_: object) -> None:
        raise self._error

    def put_object(self, **_: object) -> None:
        raise self._error

    def head_bucket(self, **_: object) -> None:
        raise self._error

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def store() -> S3Store:
    return S3Store(ENDPOINT, ACCESS_KEY, SECRET_KEY, memory_limit=1000)


def failing(store: S3Store, monkeypatch: pytest.MonkeyPatch, error: Exception) -> S3Store:
    client = FailingClient(error)
    monkeypatch.setattr(boto3.session.Session, "client", lambda *_, **__: client)
    return store


def answer(code: str, status: int, message: str = "what the store said") -> Exception:
    return botocore.exceptions.ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},  # type: ignore[typeddict-item]
        },
        "GetObject",
    )


def every_error() -> list[type[Exception]]:
    elsewhere = (
        botocore.exceptions.UndefinedModelAttributeError,  # of a broken installation
        botocore.exceptions.ClientError,  # tested by what the store answered
        Warning,
    )
    found = {botocore.parsers.ResponseParserError, urllib3.exceptions.SSLError}
    for module in (botocore.exceptions, boto3.exceptions):
        for _, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, Exception) and not issubclass(value, elsewhere):
                found.add(value)
    return sorted(found, key=lambda value: value.__name__)


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_boto3_becomes_one_of_ours(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], tmp_path: Path
) -> None:
    failing(store, monkeypatch, kind.__new__(kind))
    with pytest.raises(StorageError, match="cannot read object 42 of bucket 'texts'"):
        store.read("texts", 42)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write object 42 of bucket 'texts'"):
        store.upload("texts", 42, tmp_path / "file")


@pytest.mark.parametrize(
    ("code", "status", "kind", "text"),
    [
        ("NoSuchKey", 404, ObjectNotFoundError, f"bucket 'texts' has no object 42 at {ENDPOINT}"),
        ("404", 404, ObjectNotFoundError, f"bucket 'texts' has no object 42 at {ENDPOINT}"),
        ("NoSuchBucket", 404, ObjectNotFoundError, f"no bucket 'texts' at {ENDPOINT}"),
        ("AccessDenied", 403, StorageError, "the store refused the access key (AccessDenied)"),
        ("InvalidAccessKeyId", 403, StorageError, "the store refused the access key"),
        ("SignatureDoesNotMatch", 403, StorageError, "the store refused the access key"),
        ("RequestTimeTooSkewed", 403, StorageError, "clock"),
        ("Unauthorized", 401, StorageError, "the store refused the access key"),
        ("InternalError", 500, StorageUnavailableError, f"{ENDPOINT}: InternalError what the"),
        ("503", 503, StorageUnavailableError, ENDPOINT),
        ("SlowDown", 429, StorageUnavailableError, "SlowDown"),
        ("InvalidBucketName", 400, StorageError, "InvalidBucketName what the store said"),
    ],
)
def test_what_the_store_answers_is_said_in_one_line(
    store: S3Store,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    status: int,
    kind: type[StorageError],
    text: str,
) -> None:
    failing(store, monkeypatch, answer(code, status))
    with pytest.raises(StorageError) as caught:
        store.read("texts", 42)
    assert type(caught.value) is kind
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.bucket, caught.value.id) == ("texts", 42)


def test_keys_are_in_no_message_and_no_repr(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = f"No such key: {ACCESS_KEY} ({SECRET_KEY})"
    failing(store, monkeypatch, answer("Malformed", 400, message))
    with pytest.raises(StorageError, match="No such key") as caught:
        store.read("texts", 42)
    shown = f"{caught.value} {caught.value!r} {store!r}"
    assert ACCESS_KEY not in shown
    assert SECRET_KEY not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_threads_share_one_client(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    barrier = threading.Barrier(8)
    client = FailingClient(answer("NoSuchKey", 404))

    def make(*_: Any, **__: Any) -> FailingClient:
        made.append(client)
        return client

    def read() -> None:
        barrier.wait()
        with pytest.raises(ObjectNotFoundError):
            store.read("texts", 42)

    monkeypatch.setattr(boto3.session.Session, "client", make)
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_keys_are_in_no_message_of_a_check(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(store, monkeypatch, botocore.exceptions.HTTPClientError(error=SECRET_KEY))
    with pytest.raises(StorageUnavailableError, match="does not answer") as caught:
        store.check("texts")
    assert SECRET_KEY not in str(caught.value)
    assert caught.value.__suppress_context__
