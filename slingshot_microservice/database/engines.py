"""Engines: how connections are made, and which pooled ones are still good."""

from __future__ import annotations

import math
import select
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import psycopg2
from sqlalchemy import URL, Dialect, create_engine, event
from sqlalchemy.exc import DisconnectionError

from .errors import complete
from .limits import DatabaseLimits

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

__all__ = ["postgresql_engine", "postgresql_url", "sqlite_engine"]

_SQLITE_BUSY_SECONDS = 30.0

# A peer that vanished without a word is noticed after about a minute, not after hours.
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 30,  # seconds
    "keepalives_interval": 10,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}


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


def postgresql_engine(url: URL, application_name: str, limits: DatabaseLimits) -> Engine:
    """Make an engine for PostgreSQL; nothing is connected yet."""
    arguments = {
        "application_name": application_name,
        "connect_timeout": math.ceil(limits.connect_timeout),  # libpq takes whole seconds
        **_KEEPALIVE,
        **_server_settings(limits),
    }
    # Sessions see to it that there are no more connections than there may be, so the pool itself
    # sets no limit: it only keeps no more than that.
    engine = create_engine(url, pool_size=limits.shared, max_overflow=-1, connect_args=arguments)

    def check(connection: object, _record: object, _proxy: object) -> None:
        if _is_dead(engine.dialect, connection):
            raise DisconnectionError  # which the pool answers with a new one

    event.listen(engine, "checkout", check)
    event.listen(engine, "handle_error", complete)
    return engine


def sqlite_engine(url: URL) -> Engine:
    """Make an engine for a SQLite file; nothing is opened yet."""
    arguments = {
        "timeout": _SQLITE_BUSY_SECONDS,
        "check_same_thread": False,
        "isolation_level": None,  # transactions begin where _begin_immediate says, nowhere else
    }
    engine = create_engine(url, pool_size=0, connect_args=arguments)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _server_settings(limits: DatabaseLimits) -> dict[str, str]:
    """Return what the server is told when a session begins.

    Nothing at all unless it has to be: PgBouncer refuses who says more than it knows.
    """
    settings = {
        "statement_timeout": limits.statement_timeout,
        "idle_in_transaction_session_timeout": limits.idle_in_transaction_timeout,
    }
    told = [
        f"-c {name}={max(1, round(seconds * 1e3))}"  # milliseconds, of which 0 would be without end
        for name, seconds in settings.items()
        if seconds
    ]
    return {"options": " ".join(told)} if told else {}


def _is_dead(dialect: Dialect, connection: Any) -> bool:
    """Tell whether a driver's connection has died in the pool.

    SQLAlchemy's own ``pool_pre_ping`` asks the server each time. A server that has ended a session
    has said so, and whether there is anything to read is known without a word to anybody.
    """
    try:
        if _is_readable(connection.fileno()):
            dialect.do_ping(connection)
    except psycopg2.Error:
        return True
    return False


def _is_readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):  # such as on Windows
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


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
