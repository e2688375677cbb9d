"""What every client of S3 refuses before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from stores import StoreClass

from slingshot_microservice.errors import StorageError
from slingshot_microservice.files import ObjectStore

ENDPOINT = "http://s3.example:9000"
ACCESS_KEY = "GK31c2f218a2e44f48"
SECRET_KEY = "s3cret/with+odd=characters"


@pytest.fixture
def store(store_class: StoreClass) -> ObjectStore:
    return store_class(ENDPOINT, ACCESS_KEY, SECRET_KEY, memory_limit=1000)


def test_is_an_object_store_and_shows_no_key(store: ObjectStore) -> None:
    assert ENDPOINT in repr(store)
    assert ACCESS_KEY not in repr(store)
    assert SECRET_KEY not in repr(store)


@pytest.mark.parametrize("endpoint", ["", "s3.example:9000", "http://two words", "http://"])
def test_a_useless_endpoint_is_named(store_class: StoreClass, endpoint: str) -> None:
    store = store_class(endpoint, ACCESS_KEY, SECRET_KEY, memory_limit=1000)
    with pytest.raises(StorageError, match="cannot read object 42"):
        store.read("texts", 42)
    store.close()


def test_a_bucket_name_that_s3_cannot_have_is_named(store: ObjectStore) -> None:
    with pytest.raises(StorageError, match="'no bucket'") as caught:
        store.read("no bucket", 42)
    assert type(caught.value) is StorageError
    store.close()


def test_a_file_that_is_not_there_is_an_error(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write object 42 .*No such file"):
        store.upload("texts", 42, tmp_path / "missing")
    store.close()


def test_closing_is_harmless_before_and_after(store: ObjectStore) -> None:
    store.close()
    store.close()
