"""Secrets, from GNU pass or from files that a container mounts.

A secret lives in a `Secret` until the moment it is used, and is never part of a message, an
argument list or an exception.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from ..errors import SecretError

__all__ = ["Secret", "check_entry_name", "read_secret"]

_DIRECTORY_VARIABLE = "SLINGSHOT_SECRETS_DIR"
_PASS_TIMEOUT_SECONDS = 60.0  # time enough to type a passphrase where someone is asked for one
_MASK = "***"


class Secret:
    """A string that does not show itself: `reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret. Hand it on at once, and to nothing that logs."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return _MASK

    def __format__(self, format_spec: str) -> str:
        return _MASK


def check_entry_name(entry: str) -> None:
    """Check that ``entry`` names a secret and nothing else.

    It becomes an argument of a program and a path below a folder, so it may neither read as an
    option nor lead out of the folder.

    Raises:
        ValueError: It may not be used; the message says why.
    """
    if not entry.strip():
        raise ValueError("it is empty")
    if entry.startswith("-"):
        raise ValueError("it begins with '-'")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in entry):
        raise ValueError("it holds a control character")
    if entry.startswith(("/", "\\")) or Path(entry).is_absolute():
        raise ValueError("it is an absolute path")
    if ".." in re.split(r"[/\\]", entry):
        raise ValueError("it climbs out of its folder with '..'")


def read_secret(entry: str, environment: Mapping[str, str] = os.environ) -> Secret:
    """Read a secret: the first line, trimmed, of a file or of what ``pass show`` prints.

    Args:
        entry: The name of the ``pass`` entry, such as ``slingshot/rabbitmq``.
        environment: Where ``SLINGSHOT_SECRETS_DIR`` is looked up: when it is set, the secret is
            the file of that name below it, and ``pass`` is not asked. ``pass`` inherits the
            whole of it.

    Raises:
        SecretError: There is no such secret, it is empty, or it cannot be read.
    """
    try:
        check_entry_name(entry)
    except ValueError as error:
        message = f"{entry!r} cannot be the name of a secret: {error}"
        raise SecretError(message, source="", entry=entry) from None
    directory = environment.get(_DIRECTORY_VARIABLE)
    if directory:
        return _read_file(entry, Path(directory) / entry)
    return _read_pass(entry, environment)


def _read_file(entry: str, path: Path) -> Secret:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        reason = f"there is no such file (it is looked for because {_DIRECTORY_VARIABLE} is set)"
    except IsADirectoryError:
        reason = "it is a folder; name a file in it"
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    else:
        return _first_line(entry, str(path), content)
    raise SecretError(f"secret file {path}: {reason}", source=str(path), entry=entry)


def _read_pass(entry: str, environment: Mapping[str, str]) -> Secret:
    if _is_folder(entry, environment):
        _fail(entry, "it is a folder of the password store; name an entry in it")
    status, output, complaint = _run_pass(entry, environment)
    if "is not in the password store" in complaint:
        _fail(
            entry, f"it is not in the password store; add it with: pass insert {shlex.quote(entry)}"
        )
    if status != 0:
        _fail(entry, complaint or f"pass ended with status {status}")
    return _first_line(entry, "pass", output)


def _is_folder(entry: str, environment: Mapping[str, str]) -> bool:
    """Tell whether ``pass show`` would print a folder's tree as if it were a secret."""
    store = environment.get("PASSWORD_STORE_DIR")
    home = environment.get("HOME")
    path = Path(store) if store else (Path(home) if home else Path.home()) / ".password-store"
    name = entry.rstrip("/")
    return (path / name).is_dir() and not (path / f"{name}.gpg").is_file()


def _run_pass(entry: str, environment: Mapping[str, str]) -> tuple[int, bytes, str]:
    """Run ``pass show``; return its exit status, its output and its last line of complaint."""
    try:
        # A session of its own, so that gpg can be ended together with the script that started it.
        process = subprocess.Popen(
            ["pass", "show", entry],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError:
        _fail(entry, f"GNU pass is not installed; install it, or set {_DIRECTORY_VARIABLE}")
    except OSError as error:
        _fail(entry, f"GNU pass cannot be started: {error.strerror}")
    with process:
        answer = _answer_in_time(process)
    if answer is None:
        _fail(entry, f"pass gave no answer within {_PASS_TIMEOUT_SECONDS:g} s")
    output, complaint = answer
    lines = complaint.decode(errors="replace").split("\n")
    return process.returncode, output, next((s.strip() for s in reversed(lines) if s.strip()), "")


def _answer_in_time(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes] | None:
    try:
        return process.communicate(timeout=_PASS_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)


def _first_line(entry: str, source: str, content: bytes) -> Secret:
    secret = _decode(content.split(b"\n", 1)[0])
    if not secret:
        reason = "is not UTF-8 text" if secret is None else "is empty"
        message = f"secret {entry!r} from {source}: its first line, which must hold it, {reason}"
        raise SecretError(message, source=source, entry=entry)
    return Secret(secret)


def _decode(line: bytes) -> str | None:
    # Returned, not raised: a UnicodeDecodeError would carry the secret into a traceback.
    try:
        return line.decode().strip()
    except UnicodeDecodeError:
        return None


def _fail(entry: str, reason: str) -> NoReturn:
    raise SecretError(f"secret {entry!r} from pass: {reason}", source="pass", entry=entry)
