"""One service's database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from ..errors import DatabaseError, DatabaseRefusedError
from .engines import postgresql_engine, sqlite_engine
from .errors import connect_error, is_of_absence
from .limits import DatabaseLimits
from .session import DatabaseSession
from .slots import Slots

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["Database"]

_DEFAULT_LIMITS = DatabaseLimits()


class Database:
    """A database that worker threads take their sessions from. Safe to share between threads.

    Nothing is connected before `check` or the first use of a session.

    Args:
        url: Where the database is, as of `postgresql_url`.
        application_name: What PostgreSQL lists the connections under.
        limits: How many connections there may be, and how long is waited for what. Of PostgreSQL
            only: a SQLite file has none of them.
    """

    def __init__(
        self, url: URL, *, application_name: str, limits: DatabaseLimits = _DEFAULT_LIMITS
    ) -> None:
        self._target = _target(url)
        self._limits = limits
        self._slots: Slots | None = None
        if url.get_backend_name() == "sqlite":
            self._engine = sqlite_engine(url)
        else:
            self._engine = postgresql_engine(url, application_name, limits)
            self._slots = Slots(limits.shared) if limits.shared else None
        self._stop_server: Callable[[], None] | None = None

    @classmethod
    def sqlite(cls, path: Path) -> Database:
        """Use a SQLite file, which is made, with its folder, when it is missing.

        Several services, in threads or processes, may share the file: a transaction takes the
        write lock with its first statement, and others wait for it for up to 30 seconds.

        Raises:
            DatabaseError: The folder cannot be made.
        """
        path = path.absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(
                f"cannot make the folder of the SQLite file {path}: {error.strerror}"
            ) from error
        return cls(URL.create("sqlite", database=str(path)), application_name="")

    @classmethod
    def embedded_postgresql(
        cls,
        directory: Path,
        *,
        application_name: str = "slingshot-microservice",
        limits: DatabaseLimits = _DEFAULT_LIMITS,
    ) -> Database:
        """Start a PostgreSQL server of our own on a data directory, made when it is missing.

        Two that name one directory share one server; it is stopped when the last is closed. Run
        as root, the wheel behind it adds a system user and lets that one into the directory.

        Raises:
            DatabaseError: The wheel is not installed, or the server does not start.
        """
        from ..embedded_postgresql import start_server

        server = start_server(directory.absolute())
        query = {"host": server.host, "port": str(server.port)}
        url = URL.create("postgresql+psycopg2", "postgres", database="postgres", query=query)
        database = cls(url, application_name=application_name, limits=limits)
        database._stop_server = server.stop
        return database

    def __repr__(self) -> str:
        return f"Database({self._target!r})"

    def check(self) -> None:
        """Connect and ask for an answer, so that a mistake is known before work begins.

        Raises:
            DatabaseUnavailableError: The database cannot be reached now; worth another attempt.
            DatabaseRefusedError: The database refused, and would again: a wrong password, no such
                database, no permission.
        """
        connection = self._connect()
        try:
            # Without a transaction, which on SQLite would wait for the write lock.
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("SELECT 1")
        except SQLAlchemyError as error:
            raise connect_error(error, self._target) from error
        finally:
            connection.close()

    def is_missed_in(self, error: BaseException) -> bool:
        """Tell whether an error says that the database is away, lost, or lets nobody in any more.

        It may be ours, SQLAlchemy's or psycopg2's. What it was raised from is not looked at.
        """
        return is_of_absence(error, self._engine.dialect)

    def session(self) -> DatabaseSession:
        """Return a session for one worker; it connects when it is first used."""
        if self._slots is None:
            return DatabaseSession(self._connect, self._target)
        return DatabaseSession(self._connect_in_turn, self._target, self._slots.give)

    def close(self) -> None:
        """Close the pooled connections, and stop the server if it is ours.

        Close the sessions first.
        """
        self._engine.dispose()
        stop, self._stop_server = self._stop_server, None
        if stop is not None:
            stop()

    def _connect_in_turn(self) -> Connection:
        assert self._slots is not None
        limits = self._limits
        if not self._slots.take(limits.pool_timeout):
            self.check()  # whether it is PostgreSQL that keeps the others so long
            raise DatabaseError(
                f"none of the {limits.shared} connections to {self._target} became free within "
                f"{limits.pool_timeout:g} s; raise database_connections or database_pool_timeout"
            )
        try:
            return self._connect()
        except BaseException:
            self._slots.give()
            raise

    def _connect(self) -> Connection:
        try:
            return self._engine.connect()
        except SQLAlchemyError as error:
            raise connect_error(error, self._target) from error
        except ValueError:  # without its cause, which holds the password
            raise DatabaseRefusedError(
                f"cannot connect to {self._target}: its name, user or password holds a character "
                f"that cannot be sent; correct the configuration or the secret"
            ) from None


def _target(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"the SQLite file {url.database}"
    host = f"{url.host}:{url.port}" if url.host else url.query.get("host")
    return f"PostgreSQL at {host}, database {url.database!r}, user {url.username!r}"
