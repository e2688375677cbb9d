"""Which client of S3 is taken, what is said of it, and what is said when it cannot be."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from slingshot_microservice.errors import OptionError
from slingshot_microservice.files import ObjectStore
from slingshot_microservice.files.s3 import S3Store
from slingshot_microservice.files.s3_clients import OBSTORE_VERSIONS, open_s3_store
from slingshot_microservice.files.s3_obstore import ObstoreStore
from slingshot_microservice.options import ObjectStoreClient

INSTALL = r"pip install 'slingshot-microservice\[fast\]'"


@pytest.fixture(autouse=True)
def _hear_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def opened(client: ObjectStoreClient) -> ObjectStore:
    return open_s3_store(
        client, "http://s3.example", "access", "secret", memory_limit=1000, read_timeout=1
    )


def has_version(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(metadata, "version", lambda _name: version)


def is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)


def cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slingshot_microservice.files.s3_obstore", None)


@pytest.mark.parametrize("client", ["auto", "obstore"])
def test_obstore_is_taken_where_it_is_installed(
    client: ObjectStoreClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(opened(client), ObstoreStore)
    assert f"through obstore {metadata.version('obstore')}" in caplog.text


def test_an_option_takes_boto3_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(opened("boto3"), S3Store)
    assert "through boto3 (as option object_store_client says)" in caplog.text


def test_without_obstore_boto3_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_missing(monkeypatch)
    assert isinstance(opened("auto"), S3Store)
    assert re.search(rf"through boto3 \(obstore is not installed: {INSTALL}\)", caplog.text)


def test_an_obstore_that_was_asked_for_and_is_missing_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_missing(monkeypatch)
    with pytest.raises(
        OptionError,
        match=f"^option object_store_client is 'obstore', but obstore is not .*: {INSTALL}$",
    ):
        opened("obstore")


@pytest.mark.parametrize("version", ["0.10.9", "0.13.0", "1.0.0b2"])
def test_an_obstore_that_nobody_tried_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    has_version(monkeypatch, version)
    assert isinstance(opened("auto"), S3Store)
    assert f"obstore {version} is too old or too new" in caplog.text
    with pytest.raises(OptionError, match=f"obstore {version} is too old or too new: {INSTALL}"):
        opened("obstore")


def test_an_obstore_that_cannot_be_loaded_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cannot_be_loaded(monkeypatch)
    assert isinstance(opened("auto"), S3Store)
    assert "cannot be loaded" in caplog.text
    with pytest.raises(OptionError, match="cannot be loaded"):
        opened("obstore")


@pytest.mark.parametrize("name", ["AWS_CHECKSUM_ALGORITHM", "AWS_SERVER_SIDE_ENCRYPTION"])
def test_settings_that_obstore_would_obey_keep_it_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setenv(name, "sha256")
    assert isinstance(opened("auto"), S3Store)
    assert f"obstore would obey {name}: unset it" in caplog.text
    with pytest.raises(OptionError, match=f"obstore would obey {name}: unset it"):
        opened("obstore")


@pytest.mark.parametrize(
    ("client", "unwanted"), [("auto", "boto3"), ("obstore", "boto3"), ("boto3", "obstore")]
)
def test_only_what_is_taken_is_loaded(client: str, unwanted: str) -> None:
    program = f"""
import sys
from slingshot_microservice.files.s3_clients import open_s3_store
open_s3_store({client!r}, "http://s3.example", "a", "b", memory_limit=1, read_timeout=1)
sys.exit({unwanted!r} in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_extra_has_the_same_range() -> None:
    (first, end) = (".".join(map(str, version)) for version in OBSTORE_VERSIONS)
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'fast = ["obstore>={first},<{end}"]' in text
