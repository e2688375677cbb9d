"""A GNU pass store of our own, with a throw-away GnuPG key."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from .processes import LastWill, find_program

__all__ = ["PasswordStore"]

_INSTALL = "install GNU pass and GnuPG (on Debian and Ubuntu: apt-get install pass gnupg)"
_KEY = "slingshot-test"
_SECONDS = 60.0


class PasswordStore:
    """A store whose key has no passphrase.

    Attributes:
        environment: The variables under which ``pass`` finds the store, for a child process or
            for ``monkeypatch.setenv``.
    """

    def __init__(self) -> None:
        self._pass = find_program("pass", install=_INSTALL)
        self._gpg = find_program("gpg", install=_INSTALL)
        # /tmp, because the path of gpg-agent's socket may have 107 bytes at most.
        self._temporary = tempfile.TemporaryDirectory(prefix="slingshot-pass-", dir="/tmp")
        home = Path(self._temporary.name)
        (home / "gnupg").mkdir(mode=0o700)
        self.environment = {
            "GNUPGHOME": str(home / "gnupg"),
            "HOME": str(home),
            "PASSWORD_STORE_DIR": str(home / "store"),
            "PATH": os.environ.get("PATH", os.defpath),
        }
        self._will = LastWill("gpgconf --kill all", environment=self.environment)
        key = ["--quick-generate-key", _KEY, "future-default", "default", "never"]
        self._run(self._gpg, "--batch", "--quiet", "--passphrase", "", *key)
        self._run(self._pass, "init", _KEY)

    def __enter__(self) -> PasswordStore:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def insert(self, entry: str, secret: str) -> None:
        """Store ``secret``, of one or more lines, as ``entry``; an older one is replaced."""
        self._run(self._pass, "insert", "--multiline", "--force", entry, text=secret)

    def show(self, entry: str) -> str:
        """Return what ``pass show`` prints for ``entry``."""
        return self._run(self._pass, "show", entry)

    def close(self) -> None:
        """End the agent, and remove the store."""
        self._run("gpgconf", "--kill", "all")
        self._will.revoke()
        self._temporary.cleanup()

    def _run(self, *command: str | Path, text: str = "") -> str:
        result = subprocess.run(
            command,
            input=text,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_SECONDS,
        )
        if result.returncode:
            raise RuntimeError(f"{command[0]} ended with {result.returncode}: {result.stdout}")
        return result.stdout
