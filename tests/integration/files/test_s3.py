"""The S3 store against servers that others wrote."""

from __future__ import annotations

import os
import tracemalloc
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers.ports import LOOPBACK, free_port
from servers.s3 import S3Server
from stores import StoreClass

from slingshot_microservice.errors import (
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
)
from slingshot_microservice.files import ObjectStore

MIB = 1024 * 1024
LIMIT = 1 * MIB


@contextmanager
def store_of(
    store_class: StoreClass,
    server: S3Server,
    *,
    access_key: str | None = None,
    secret_key: str | None = None,
) -> Iterator[ObjectStore]:
    store = store_class(
        server.endpoint,
        access_key or server.access_key,
        secret_key or server.secret_key,
        memory_limit=LIMIT,
    )
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def store(store_class: StoreClass, s3: S3Server) -> Iterator[ObjectStore]:
    with store_of(store_class, s3) as store:
        yield store


@pytest.fixture
def bucket(s3: S3Server) -> str:
    name = f"texts-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(name)
    return name


def file_of(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "staged"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("size", [0, 1, LIMIT, LIMIT + 1])
def test_reads_what_is_there(s3: S3Server, store: ObjectStore, bucket: str, size: int) -> None:
    data = os.urandom(size)
    s3.put(bucket, 2**64 - 1, data)
    with store.read(bucket, 2**64 - 1) as file:
        assert file.readable()
        assert file.read() == data
        file.seek(0)
        assert file.read(1) == data[:1]


def test_a_large_object_goes_through_a_file_and_not_through_memory(
    s3: S3Server, store: ObjectStore, bucket: str
) -> None:
    data = os.urandom(20 * MIB)
    s3.put(bucket, 1, data)
    store.read(bucket, 1).close()  # so that what boto3 loads once is not counted
    tracemalloc.start()
    try:
        file = store.read(bucket, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    with file:
        assert os.fstat(file.fileno()).st_size == 20 * MIB
        assert peak < 8 * MIB
        assert file.read() == data


@pytest.mark.parametrize("size", [0, 5, LIMIT])
def test_a_small_file_is_one_put(
    s3: S3Server, store: ObjectStore, bucket: str, tmp_path: Path, size: int
) -> None:
    data = os.urandom(size)
    store.upload(bucket, 7, file_of(tmp_path, data))
    assert s3.get(bucket, 7) == data
    assert "-" not in s3.client().head_object(Bucket=bucket, Key="7")["ETag"]


def test_a_large_file_arrives_whole(
    s3: S3Server, store: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    data = os.urandom(20 * MIB)
    store.upload(bucket, 7, file_of(tmp_path, data))
    assert s3.get(bucket, 7) == data


def test_a_large_file_is_uploaded_in_parts(
    moto_s3: S3Server, store_class: StoreClass, tmp_path: Path
) -> None:
    bucket = f"in-parts-{uuid.uuid4().hex[:12]}"
    moto_s3.create_bucket(bucket)
    with store_of(store_class, moto_s3) as store:
        store.upload(bucket, 7, file_of(tmp_path, b"x" * 20 * MIB))
    etag = moto_s3.client().head_object(Bucket=bucket, Key="7")["ETag"]
    assert etag.endswith('-3"')  # rclone's ETags do not tell


def test_replaces_an_object(s3: S3Server, store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    s3.put(bucket, 7, b"before")
    store.upload(bucket, 7, file_of(tmp_path, b"after"))
    assert s3.get(bucket, 7) == b"after"


def test_a_missing_object_is_named(s3: S3Server, store: ObjectStore, bucket: str) -> None:
    with pytest.raises(ObjectNotFoundError) as caught:
        store.read(bucket, 42)
    assert str(caught.value) == f"bucket '{bucket}' has no object 42 at {s3.endpoint}"
    assert (caught.value.bucket, caught.value.id) == (bucket, 42)


@pytest.mark.parametrize("size", [1, LIMIT + 1])
def test_a_missing_bucket_is_named(
    s3: S3Server, store: ObjectStore, tmp_path: Path, size: int
) -> None:
    with pytest.raises(ObjectNotFoundError, match=f"no bucket 'nowhere' at {s3.endpoint}"):
        store.read("nowhere", 42)
    with pytest.raises(ObjectNotFoundError, match=f"no bucket 'nowhere' at {s3.endpoint}"):
        store.upload("nowhere", 42, file_of(tmp_path, b"x" * size))


@pytest.mark.parametrize("size", [1, LIMIT + 1])
def test_a_refused_key_is_said_and_not_shown(
    rclone_s3: S3Server, store_class: StoreClass, tmp_path: Path, size: int
) -> None:
    wrong = {"access_key": "someone-else", "secret_key": "wrong-secret"}
    for name, value in wrong.items():
        with store_of(store_class, rclone_s3, **{name: value}) as store:
            with pytest.raises(StorageError, match="refused the access key") as reading:
                store.read("texts", 42)
            with pytest.raises(StorageError, match="refused the access key") as writing:
                store.upload("texts", 42, file_of(tmp_path, b"x" * size))
        assert type(reading.value) is type(writing.value) is StorageError
        assert value not in f"{reading.value!r} {writing.value!r}"


def test_settings_of_the_environment_do_not_leak_in(
    s3: S3Server,
    store_class: StoreClass,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://127.0.0.1:1\nbroken")
    for name, value in {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "config"),
        "AWS_PROFILE": "no-such-profile",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_MAX_ATTEMPTS": "100",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_S3_EXPRESS": "true",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_UNSIGNED_PAYLOAD": "true",
        "AWS_REQUEST_PAYER": "true",
        "AWS_CONDITIONAL_PUT": "nonsense",
        "AWS_COPY_IF_NOT_EXISTS": "nonsense",
        "AWS_DISABLE_TAGGING": "nonsense",
        "AWS_PROXY_URL": "http://127.0.0.1:1",
        "AWS_TIMEOUT": "1ns",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "no-such-file"),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/other",
    }.items():
        monkeypatch.setenv(name, value)
    with store_of(store_class, s3) as store:
        store.upload(bucket, 7, file_of(tmp_path, b"content"))
        with store.read(bucket, 7) as file:
            assert file.read() == b"content"


def test_a_store_that_is_away_is_named(store_class: StoreClass, tmp_path: Path) -> None:
    endpoint = f"http://{LOOPBACK}:{free_port()}"
    store = store_class(endpoint, "access", "secret", memory_limit=LIMIT)
    with pytest.raises(StorageUnavailableError, match=endpoint):
        store.read("texts", 42)
    with pytest.raises(StorageUnavailableError, match=endpoint):
        store.upload("texts", 42, file_of(tmp_path, b"x" * (LIMIT + 1)))
    store.close()


def test_a_store_that_comes_back_is_used_again(
    rclone_s3: S3Server, store_class: StoreClass
) -> None:
    bucket = f"back-again-{uuid.uuid4().hex[:12]}"
    rclone_s3.create_bucket(bucket)
    rclone_s3.put(bucket, 1, b"content")
    with store_of(store_class, rclone_s3) as store:
        rclone_s3.stop()
        try:
            with pytest.raises(StorageUnavailableError):
                store.read(bucket, 1)
        finally:
            rclone_s3.start()
        with store.read(bucket, 1) as file:
            assert file.read() == b"content"


def test_a_check_is_content_with_a_store_that_works(store: ObjectStore, bucket: str) -> None:
    store.check(bucket)
    store.check("no-such-bucket")
