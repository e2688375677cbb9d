"""Secrets from the real GNU pass."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator

import pytest
from servers.pass_store import PasswordStore

from slingshot_microservice.errors import SecretError
from slingshot_microservice.sysmap.secrets import read_secret


@pytest.mark.parametrize("secret", ["hunter2", "p@ss/wörd %41 'x' \"y\" $HOME", "x" * 4_000])
def test_the_first_line_is_the_secret(secret: str, password_store: PasswordStore) -> None:
    password_store.insert("sysmap/db main", f"  {secret}  \nlogin: me\n")
    assert read_secret("sysmap/db main", password_store.environment).reveal() == secret


def test_an_entry_that_is_missing(password_store: PasswordStore) -> None:
    with pytest.raises(SecretError) as caught:
        read_secret("sysmap/missing", password_store.environment)
    assert str(caught.value) == (
        "secret 'sysmap/missing' from pass: it is not in the password store; "
        "add it with: pass insert sysmap/missing"
    )


def test_an_empty_secret(password_store: PasswordStore) -> None:
    password_store.insert("sysmap/empty", "\nsecond line\n")
    with pytest.raises(SecretError, match="its first line, which must hold it, is empty"):
        read_secret("sysmap/empty", password_store.environment)


def test_a_folder_is_not_taken_for_a_secret(password_store: PasswordStore) -> None:
    password_store.insert("sysmap/folder/entry", "hunter2\n")
    with pytest.raises(SecretError, match="it is a folder of the password store"):
        read_secret("sysmap/folder", password_store.environment)


def test_an_entry_beside_a_folder_of_its_name_is_read(password_store: PasswordStore) -> None:
    password_store.insert("sysmap/both", "hunter2\n")
    password_store.insert("sysmap/both/entry", "other\n")
    assert read_secret("sysmap/both", password_store.environment).reveal() == "hunter2"


@pytest.fixture
def keyless(password_store: PasswordStore) -> Iterator[dict[str, str]]:
    """The store, seen by someone who has not its key."""
    # /tmp, because the path of gpg-agent's socket may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="slingshot-keyless-", dir="/tmp") as home:
        environment = {**password_store.environment, "GNUPGHOME": home}
        yield environment
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=True, timeout=60)


def test_a_key_that_is_missing_is_said_so(
    password_store: PasswordStore, keyless: dict[str, str]
) -> None:
    password_store.insert("sysmap/locked", "hunter2\n")
    with pytest.raises(SecretError, match="secret 'sysmap/locked' from pass: gpg: ") as caught:
        read_secret("sysmap/locked", keyless)
    assert "hunter2" not in str(caught.value)
