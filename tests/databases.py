"""Databases as tests open them, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from servers.postgresql import PostgreSQLServer
from sqlalchemy import Connection

from slingshot_microservice.database import (
    Database,
    DatabaseLimits,
    DatabaseSession,
    postgresql_url,
)

__all__ = ["APPLICATION", "database_of", "insert", "is_fresh", "numbers", "prepare", "session_of"]

APPLICATION = "shout"


@contextmanager
def database_of(
    server: PostgreSQLServer,
    *,
    port: int | None = None,
    username: str | None = None,
    password: str | None = None,
    database: str | None = None,
    application_name: str = APPLICATION,
    limits: DatabaseLimits | None = None,
) -> Iterator[Database]:
    url = postgresql_url(
        server.host,
        port or server.port,
        username or server.username,
        server.password if password is None else password,
        database or server.database,
    )
    opened = Database(url, application_name=application_name, limits=limits or DatabaseLimits())
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def session_of(database: Database) -> Iterator[DatabaseSession]:
    session = database.session()
    try:
        yield session
    finally:
        session.close()


def prepare(database: Database) -> Database:
    with session_of(database) as session:
        session.connection.exec_driver_sql("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
        session.commit()
    return database


def insert(connection: Connection, n: int) -> None:
    connection.exec_driver_sql(f"INSERT INTO numbers VALUES ({n})")


def numbers(database: Database) -> list[int]:
    """What is committed, as another session sees it."""
    with session_of(database) as other:
        rows = other.connection.exec_driver_sql("SELECT n FROM numbers ORDER BY n")
        return list(rows.scalars())


def is_fresh(session: DatabaseSession, database: Database) -> None:
    """A request finds the connection as if it were new, and its work is all or nothing."""
    connection = session.connection
    assert not connection.closed
    assert not connection.invalidated
    assert not connection.in_transaction()
    assert not connection.in_nested_transaction()
    before = numbers(database)
    with connection.begin():
        insert(connection, 100)
        connection.get_transaction().rollback()  # type: ignore[union-attr]
    assert numbers(database) == before
    insert(session.connection, 101)
    session.rollback()
    assert numbers(database) == before
    insert(session.connection, 102)
    session.commit()
    assert numbers(database) == [*before, 102]
