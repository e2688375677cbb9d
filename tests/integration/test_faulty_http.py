"""The proxy that lets calls fail: what a client of an S3 server meets behind it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers.faulty_http import FAULTS, FaultyHttp
from servers.s3 import S3Server
from stores import StoreClass

from slingshot_microservice.errors import StorageUnavailableError
from slingshot_microservice.files import ObjectStore


@contextmanager
def behind(
    store_class: StoreClass, server: S3Server, *faults: str, share: float
) -> Iterator[tuple[FaultyHttp, ObjectStore]]:
    with FaultyHttp(server.port, share=share, faults=faults, hang_seconds=5) as proxy:
        store = store_class(
            proxy.endpoint,
            server.access_key,
            server.secret_key,
            memory_limit=2**20,
            # Short only where all calls hang: none is to succeed, however long it takes.
            read_timeout=0.2 if "hang" in faults and share else 30.0,
        )
        try:
            yield proxy, store
        finally:
            store.close()


@pytest.fixture
def bucket(rclone_s3: S3Server) -> str:
    name = f"behind-a-proxy-{uuid.uuid4().hex[:12]}"
    rclone_s3.create_bucket(name)
    return name


def test_passes_on_what_is_asked_and_answered(
    store_class: StoreClass, rclone_s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content" * 1000)
    with behind(store_class, rclone_s3, *FAULTS, share=0) as (proxy, store):
        store.upload(bucket, 1, tmp_path / "file")
        with store.read(bucket, 1) as file:
            assert file.read() == b"content" * 1000
        store.check(bucket)
    assert proxy.calls == 3
    assert not proxy.met


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_call_meets_is_an_error_and_never_a_part(
    store_class: StoreClass, rclone_s3: S3Server, bucket: str, tmp_path: Path, fault: str
) -> None:
    rclone_s3.put(bucket, 1, b"content")
    (tmp_path / "file").write_bytes(b"content")
    with behind(store_class, rclone_s3, fault, share=1) as (proxy, store):
        with pytest.raises(StorageUnavailableError):
            store.read(bucket, 1)
        with pytest.raises(StorageUnavailableError):
            store.upload(bucket, 2, tmp_path / "file")
    assert proxy.met == {fault: proxy.calls}


def test_most_calls_that_fail_are_tried_again_by_the_client(
    store_class: StoreClass, rclone_s3: S3Server, bucket: str
) -> None:
    rclone_s3.put(bucket, 1, b"content")
    with behind(store_class, rclone_s3, "500", "503", "reset", share=0.1) as (proxy, store):
        for _ in range(60):
            with store.read(bucket, 1) as file:
                assert file.read() == b"content"
    assert proxy.calls == 60 + proxy.met.total()
    assert 2 <= proxy.met.total() <= 14
