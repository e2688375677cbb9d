"""The database: one engine a service, one connection a worker. The only importer of SQLAlchemy.

A worker keeps its connection over many requests, because taking one from the pool and giving it
back costs more than a short request. So each request must find it as if it were fresh:
`DatabaseSession` sees to that when the request before it ends, not when it begins.
"""

from __future__ import annotations

import math
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from sqlalchemy import URL, create_engine, event
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

from .errors import DatabaseError, DatabaseRefusedError, DatabaseUnavailableError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

__all__ = ["Database", "DatabaseSession", "postgresql_url"]

_DEFAULT_CONNECT_TIMEOUT_SECONDS = 10.0
_SQLITE_BUSY_SECONDS = 30.0

# A peer that vanished without a word is noticed after about a minute, not after hours.
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 30,  # seconds
    "keepalives_interval": 10,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}

# Refusals to connect that pass by themselves. psycopg2 gives no SQLSTATE for a connection that
# never was, so the text is all there is.
_PASSING = re.compile(
    r"starting up|shutting down|recovery|not (yet )?accepting connections|too many clients"
    r"|too many connections|connection slots|terminating connection|database is locked"
)

# SQLSTATEs of a server that is not there for us: class 08 is of connections, 53300 of too many;
# the others are of a server that ends sessions, or lets nobody in.
_LOST_CLASS = "08"
_LOST = {"53300", "57P01", "57P02", "57P03", "57P05"}
# SQLAlchemy's code for using a lost connection without having rolled back.
_LOST_AND_USED_AGAIN = "8s2b"


def postgresql_url(host: str, port: int, username: str, password: str, database: str) -> URL:
    """Build the URL of a PostgreSQL database; its text form hides the password.

    Args:
        host: Host name or address.
        port: TCP port.
        username: The user to log in as.
        password: The password itself; any character will do.
        database: The database's name.
    """
    # SQLAlchemy 2.1 takes psycopg 3 for a bare `postgresql`.
    return URL.create("postgresql+psycopg2", username, password, host, port, database)


class Database:
    """A database that worker threads take their sessions from. Safe to share between threads.

    Nothing is connected before `check` or the first use of a session.

    Args:
        url: Where the database is, as of `postgresql_url`.
        application_name: What PostgreSQL lists the connections under.
        connect_timeout: Seconds for one attempt to connect.
    """

    def __init__(
        self,
        url: URL,
        *,
        application_name: str,
        connect_timeout: float = _DEFAULT_CONNECT_TIMEOUT_SECONDS,
    ) -> None:
        self._target = _target(url)
        if url.get_backend_name() == "sqlite":
            self._engine = _sqlite_engine(url)
        else:
            self._engine = _postgresql_engine(url, application_name, connect_timeout)
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
        cls, directory: Path, *, application_name: str = "slingshot-microservice"
    ) -> Database:
        """Start a PostgreSQL server of our own on a data directory, made when it is missing.

        Two that name one directory share one server; it is stopped when the last is closed. Run
        as root, the wheel behind it adds a system user and lets that one into the directory.

        Raises:
            DatabaseError: The wheel is not installed, or the server does not start.
        """
        from .embedded_postgresql import start_server

        server = start_server(directory.absolute())
        query = {"host": server.host, "port": str(server.port)}
        url = URL.create("postgresql+psycopg2", "postgres", database="postgres", query=query)
        database = cls(url, application_name=application_name)
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
            raise _connect_error(error, self._target) from error
        finally:
            connection.close()

    def is_missed_in(self, error: BaseException) -> bool:
        """Tell whether an error says that the database is away, lost, or lets nobody in any more.

        It may be ours, SQLAlchemy's or psycopg2's. What it was raised from is not looked at.
        """
        if isinstance(error, DBAPIError):
            return error.connection_invalidated or self.is_missed_in(error.orig or Exception())
        if isinstance(error, PendingRollbackError):
            return error.code == _LOST_AND_USED_AGAIN
        if isinstance(error, psycopg2.OperationalError):
            code = error.pgcode  # none where not the server but the driver found the error
            return code is None or code.startswith(_LOST_CLASS) or code in _LOST
        if isinstance(error, psycopg2.InterfaceError):
            return self._engine.dialect.is_disconnect(error, None, None)  # type: ignore[arg-type]
        return isinstance(error, (DatabaseRefusedError, DatabaseUnavailableError))

    def session(self) -> DatabaseSession:
        """Return a session for one worker; it connects when it is first used."""
        return DatabaseSession(self._connect, self._target)

    def close(self) -> None:
        """Close the pooled connections, and stop the server if it is ours.

        Close the sessions first.
        """
        self._engine.dispose()
        stop, self._stop_server = self._stop_server, None
        if stop is not None:
            stop()

    def _connect(self) -> Connection:
        try:
            return self._engine.connect()
        except SQLAlchemyError as error:
            raise _connect_error(error, self._target) from error
        except ValueError:  # without its cause, which holds the password
            raise DatabaseRefusedError(
                f"cannot connect to {self._target}: its name, user or password holds a character "
                f"that cannot be sent; correct the configuration or the secret"
            ) from None


class DatabaseSession:
    """The connection of one worker, kept from request to request.

    May be made in one thread and used in another, but in one at a time.

    Args:
        connect: Takes a connection from the pool.
        target: What the database is called in messages.
    """

    def __init__(self, connect: Callable[[], Connection], target: str) -> None:
        self._connect = connect
        self._target = target
        self._connection: Connection | None = None
        self._pristine_options: object = None

    @property
    def connection(self) -> Connection:
        """The connection for a request: open, outside a transaction, with no options set.

        Raises:
            DatabaseUnavailableError: There was no connection, and the database cannot be reached.
            DatabaseRefusedError: There was no connection, and the database refused.
        """
        connection = self._connection
        if connection is None or connection.closed:
            connection = self._connection = self._connect()
            self._pristine_options = connection.get_execution_options()
        return connection

    def commit(self) -> None:
        """Commit what the request left open; nothing is sent when it left nothing.

        Afterwards no transaction or savepoint is open, whatever ``process`` did with them.

        Raises:
            DatabaseUnavailableError: The connection is lost, and what was written with it.
            DatabaseError: The database refused the commit, or a statement had failed before it,
                so that PostgreSQL would have rolled back. The transaction is rolled back.
        """
        connection = self._connection
        if connection is None:
            return
        if connection.get_transaction() is not None:
            self._commit(connection)
        if (
            connection.invalidated
            or connection.get_execution_options() is not self._pristine_options
        ):
            self.close()

    def rollback(self) -> None:
        """Roll back what the request left open. Never raises: a broken connection is let go."""
        # The connection goes back to the pool even when nothing is open: a generator that was
        # abandoned inside `with connection.begin()` would still be holding on to this one.
        self.close()

    def close(self) -> None:
        """Roll back and give the connection back; the session may be used again. Never raises."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            transaction = connection.get_transaction()
            if transaction is not None and not transaction.is_active:
                connection.invalidate()  # after a failed commit SQLAlchemy would not roll back
            connection.close()
        except SQLAlchemyError:
            with suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()

    def _commit(self, connection: Connection) -> None:
        try:
            failed = not connection.invalidated and _has_failed(connection)
            if not failed:
                connection.commit()
        except SQLAlchemyError as error:
            lost = connection.invalidated
            self.close()
            raise _commit_error(error, self._target, lost=lost) from error
        if failed:
            self.close()
            raise DatabaseError(
                f"cannot commit to {self._target}: a statement failed and its error was caught, so "
                f"PostgreSQL has given up the transaction; wrap what may fail in "
                f"`with connection.begin_nested():`"
            )


def _has_failed(connection: Connection) -> bool:
    """Tell whether PostgreSQL would answer a commit with a silent rollback."""
    info = getattr(connection.connection.dbapi_connection, "info", None)
    return getattr(info, "transaction_status", None) == TRANSACTION_STATUS_INERROR


def _postgresql_engine(url: URL, application_name: str, connect_timeout: float) -> Engine:
    arguments = {
        "application_name": application_name,
        "connect_timeout": math.ceil(connect_timeout),  # libpq takes whole seconds
        **_KEEPALIVE,
    }
    # As many connections as there are workers, so the pool itself sets no limit.
    # A pooled connection may have died since: that must not cost a request as well.
    return create_engine(url, pool_size=0, pool_pre_ping=True, connect_args=arguments)


def _sqlite_engine(url: URL) -> Engine:
    arguments = {
        "timeout": _SQLITE_BUSY_SECONDS,
        "check_same_thread": False,
        "isolation_level": None,  # transactions begin where _begin_immediate says, nowhere else
    }
    engine = create_engine(url, pool_size=0, connect_args=arguments)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    deadline = time.monotonic() + _SQLITE_BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait by itself while another connection makes the same change.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _begin_immediate(connection: Connection) -> None:
    # A transaction that turns from reading to writing is refused at once when another has
    # written meanwhile; one that begins as a writer waits.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _target(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"the SQLite file {url.database}"
    host = f"{url.host}:{url.port}" if url.host else url.query.get("host")
    return f"PostgreSQL at {host}, database {url.database!r}, user {url.username!r}"


def _connect_error(error: SQLAlchemyError, target: str) -> DatabaseError:
    text = str(_driver_error(error))
    # libpq names every address that it tried; the target is named already.
    reasons = dict.fromkeys(re.findall(r"failed: (?:FATAL: +)?(.+)", text))
    reason = "; ".join(reasons) or _one_line(text)
    if _refused_for_good(_driver_error(error)):
        message = f"{target} refused the connection: {reason}; correct the settings"
        return DatabaseRefusedError(message)
    return DatabaseUnavailableError(f"cannot reach {target}: {reason}; is it running?")


def _refused_for_good(error: BaseException) -> bool:
    text = str(error)
    answered = (
        "FATAL:" in text or "no password supplied" in text or isinstance(error, sqlite3.Error)
    )
    return answered and _PASSING.search(text) is None


def _commit_error(error: SQLAlchemyError, target: str, *, lost: bool) -> DatabaseError:
    reason = _one_line(str(_driver_error(error)))
    if lost:
        return DatabaseUnavailableError(
            f"lost the connection to {target} before the commit was confirmed: {reason}"
        )
    return DatabaseError(f"{target} refused the commit: {reason}")


def _driver_error(error: SQLAlchemyError) -> BaseException:
    return (isinstance(error, DBAPIError) and error.orig) or error


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
