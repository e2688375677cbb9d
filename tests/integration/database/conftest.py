"""Databases with a table of numbers, and sessions on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import database_of, prepare, session_of
from servers.postgresql import PostgreSQLServer

from slingshot_microservice.database import Database, DatabaseSession


@pytest.fixture
def on_postgresql(postgresql: PostgreSQLServer) -> Iterator[Database]:
    with database_of(postgresql, database=postgresql.fresh_database()) as database:
        yield prepare(database)


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Database]:
    database = Database.sqlite(tmp_path / "database")
    yield prepare(database)
    database.close()


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest) -> Database:
    """Each kind of database in turn."""
    database: Database = request.getfixturevalue(f"on_{request.param}")
    return database


@pytest.fixture
def session(database: Database) -> Iterator[DatabaseSession]:
    with session_of(database) as session:
        yield session


@pytest.fixture
def worker(on_postgresql: Database) -> Iterator[DatabaseSession]:
    """A session on PostgreSQL."""
    with session_of(on_postgresql) as session:
        yield session
