"""Secrets from mounted files, and what is said when GNU pass cannot help."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from servers.ports import wait_for

from slingshot_microservice.errors import SecretError
from slingshot_microservice.sysmap import secrets
from slingshot_microservice.sysmap.secrets import Secret, check_entry_name, read_secret


def mounted(directory: Path) -> dict[str, str]:
    return {"SLINGSHOT_SECRETS_DIR": str(directory), "PATH": "/nowhere"}


def fake_pass(directory: Path, script: str) -> dict[str, str]:
    """Put a program named pass on a PATH of its own."""
    program = directory / "pass"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}", "HOME": str(directory)}


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter2")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", "%s" % secret]  # noqa: UP031
    assert shown == ["***"] * len(shown)
    assert repr([secret]) == "[***]"
    assert secret.reveal() == "hunter2"


def test_secrets_can_be_compared() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize("entry", ["db", "slingshot/rabbitmq", "me@example.com", "a b", "..a", "ü"])
def test_names_of_entries(entry: str) -> None:
    check_entry_name(entry)


@pytest.mark.parametrize(
    "entry",
    ["", " ", "-c", "--version", "/etc/passwd", "..", "../x", "a/../../x", "a\0b", "a\nb", "\x7f"],
)
def test_a_name_that_is_an_option_or_climbs_out_is_refused(entry: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        check_entry_name(entry)
    with pytest.raises(SecretError, match="cannot be the name of a secret: it ") as caught:
        read_secret(entry, mounted(tmp_path))
    assert caught.value.entry == entry
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"hunter2", b"hunter2\n", b"  hunter2\t\r\nsecond line\n", b"hunter2\n\xff"]
)
def test_the_first_line_of_a_mounted_file_is_the_secret(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "slingshot").mkdir()
    (tmp_path / "slingshot" / "db").write_bytes(content)
    assert read_secret("slingshot/db", mounted(tmp_path)).reveal() == "hunter2"


def test_the_process_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "db").write_text("hunter2")
    monkeypatch.setenv("SLINGSHOT_SECRETS_DIR", str(tmp_path))
    assert read_secret("db").reveal() == "hunter2"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretError) as caught:
        read_secret("db", mounted(tmp_path))
    assert f"{tmp_path / 'db'}: there is no such file" in str(caught.value)
    assert caught.value.source == str(tmp_path / "db")


def test_a_folder_or_what_is_below_a_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(SecretError, match="folder: it is a folder"):
        read_secret("folder", mounted(tmp_path))
    with pytest.raises(SecretError, match="below: it cannot be read: Not a directory"):
        read_secret("file/below", mounted(tmp_path))


@pytest.mark.parametrize("content", [b"", b"\n", b"  \nhunter2", b"hun\xffter2\n"])
def test_an_empty_or_unreadable_line_is_refused_and_not_shown(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "db").write_bytes(content)
    with pytest.raises(
        SecretError, match=r"first line, which must hold it, is (empty|not UTF-8)"
    ) as (caught):
        read_secret("db", mounted(tmp_path))
    assert caught.value.__context__ is None
    assert "hun" not in str(caught.value)


def test_pass_not_installed(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(SecretError) as caught:
        read_secret("db", environment)
    assert "GNU pass is not installed; install it, or set SLINGSHOT_SECRETS_DIR" in str(
        caught.value
    )


def test_a_pass_that_cannot_be_started_is_said_so(tmp_path: Path) -> None:
    environment = fake_pass(tmp_path, "exit 0")
    (tmp_path / "pass").write_text("#!/nowhere/sh\n")
    (tmp_path / "pass").chmod(0o755)
    environment["PATH"] = str(tmp_path)
    with pytest.raises(SecretError, match="secret 'db' from pass: "):
        read_secret("db", environment)


def test_what_pass_prints_first_is_the_secret(tmp_path: Path) -> None:
    environment = fake_pass(tmp_path, 'echo " $1 $2 $# "; echo second; echo note >&2; cat')
    assert read_secret("a b", environment).reveal() == "show a b 2"


def test_what_pass_complains_about_last_is_said_and_its_output_never(tmp_path: Path) -> None:
    environment = fake_pass(
        tmp_path, "echo hunter2; echo gpg: first >&2; echo gpg: No secret key >&2; echo >&2; exit 2"
    )
    with pytest.raises(SecretError) as caught:
        read_secret("db", environment)
    assert str(caught.value) == "secret 'db' from pass: gpg: No secret key"
    assert caught.value.entry == "db"


def test_a_pass_that_fails_in_silence_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="pass ended with status 3"):
        read_secret("db", fake_pass(tmp_path, "exit 3"))


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=r"secret 'db' from pass: its first line.* is empty"):
        read_secret("db", fake_pass(tmp_path, "echo; echo login: me"))


def test_a_pass_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_PASS_TIMEOUT_SECONDS", 0.5)
    held = tmp_path / "held"
    os.mkfifo(held)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    environment = fake_pass(tmp_path, f"echo hunter2; sleep 100 > '{held}'; echo never")
    with pytest.raises(SecretError, match=r"pass gave no answer within 0\.5 s") as caught:
        read_secret("db", environment)
    assert caught.value.__context__ is None

    def nobody_holds_it() -> bool:
        try:
            return os.read(reader, 1) == b""
        except BlockingIOError:
            return False

    wait_for(nobody_holds_it, what="the end of what pass started")
    os.close(reader)


def test_pass_does_not_read_our_input(tmp_path: Path) -> None:
    ours, other_end = os.pipe()
    os.write(other_end, b"typed ahead")
    os.close(other_end)
    kept = os.dup(0)
    os.dup2(ours, 0)
    try:
        assert read_secret("db", fake_pass(tmp_path, 'echo "[$(cat)]"')).reveal() == "[]"
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(ours)


def test_a_folder_of_the_store_is_no_secret(tmp_path: Path) -> None:
    environment = fake_pass(tmp_path, "echo tree")
    (tmp_path / ".password-store" / "slingshot").mkdir(parents=True)
    for entry in ("slingshot", "slingshot/"):
        with pytest.raises(SecretError, match="it is a folder of the password store"):
            read_secret(entry, environment)
    (tmp_path / "other" / "db").mkdir(parents=True)
    environment["PASSWORD_STORE_DIR"] = str(tmp_path / "other")
    with pytest.raises(SecretError, match="it is a folder of the password store"):
        read_secret("db", environment)
    (tmp_path / "other" / "db.gpg").touch()
    for entry in ("db", "db/"):
        assert read_secret(entry, environment).reveal() == "tree"
