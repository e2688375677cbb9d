"""Whatever process does with its connection: committed or undone, and clean for the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from databases import insert, is_fresh, numbers
from servers.postgresql import PostgreSQLServer
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from slingshot_microservice.database import Database, DatabaseSession
from slingshot_microservice.errors import DatabaseError, DatabaseUnavailableError


def leaves_a_transaction(connection: Connection) -> None:
    insert(connection, 1)


def begins_explicitly(connection: Connection) -> None:
    connection.begin()
    insert(connection, 1)


def begins_in_a_block(connection: Connection) -> None:
    with connection.begin():
        insert(connection, 1)


def leaves_a_savepoint(connection: Connection) -> None:
    connection.begin_nested()
    insert(connection, 1)


def leaves_savepoints_in_savepoints(connection: Connection) -> None:
    connection.begin()
    connection.begin_nested()
    insert(connection, 1)
    connection.begin_nested()


def survives_an_error_in_a_savepoint(connection: Connection) -> None:
    insert(connection, 1)
    with suppress(IntegrityError), connection.begin_nested():
        insert(connection, 1)


def commits_by_itself(connection: Connection) -> None:
    insert(connection, 1)
    connection.commit()


def commits_and_goes_on(connection: Connection) -> None:
    connection.commit()
    insert(connection, 1)


def commits_and_closes(connection: Connection) -> None:
    insert(connection, 1)
    connection.commit()
    connection.close()


def commits_and_invalidates(connection: Connection) -> None:
    insert(connection, 1)
    connection.commit()
    connection.invalidate()


def sets_autocommit(connection: Connection) -> None:
    connection.execution_options(isolation_level="AUTOCOMMIT")
    insert(connection, 1)


def recovers_from_a_failure(connection: Connection) -> None:
    with suppress(SQLAlchemyError):
        connection.exec_driver_sql("SELECT * FROM no_such_table")
    connection.rollback()
    insert(connection, 1)


def leaves_rows_unread(connection: Connection) -> None:
    insert(connection, 1)
    streamed = connection.execution_options(stream_results=True, yield_per=1)
    next(iter(streamed.exec_driver_sql("SELECT 1 UNION ALL SELECT 2")))


HABITS = [
    leaves_a_transaction,
    begins_explicitly,
    begins_in_a_block,
    leaves_a_savepoint,
    leaves_savepoints_in_savepoints,
    survives_an_error_in_a_savepoint,
    commits_by_itself,
    commits_and_goes_on,
    commits_and_closes,
    commits_and_invalidates,
    sets_autocommit,
    recovers_from_a_failure,
    leaves_rows_unread,
]


@pytest.mark.parametrize("process", HABITS)
def test_whatever_process_does_is_committed_and_the_next_request_is_clean(
    session: DatabaseSession, database: Database, process: Callable[[Connection], None]
) -> None:
    process(session.connection)
    session.commit()
    assert numbers(database) == [1]
    is_fresh(session, database)


@pytest.mark.parametrize("process", HABITS)
def test_whatever_process_does_the_request_after_a_failure_is_clean(
    session: DatabaseSession, database: Database, process: Callable[[Connection], None]
) -> None:
    process(session.connection)
    session.rollback()
    assert numbers(database) in ([], [1])
    is_fresh(session, database)


@pytest.mark.parametrize(
    "process", [leaves_a_transaction, begins_explicitly, leaves_a_savepoint, leaves_rows_unread]
)
def test_rollback_undoes_what_was_left_open(
    session: DatabaseSession, database: Database, process: Callable[[Connection], None]
) -> None:
    process(session.connection)
    session.rollback()
    assert numbers(database) == []


def test_closing_without_a_commit_undoes(session: DatabaseSession, database: Database) -> None:
    insert(session.connection, 1)
    session.connection.close()
    session.commit()
    assert numbers(database) == []
    is_fresh(session, database)


def test_a_generator_abandoned_inside_a_block_is_no_burden(
    session: DatabaseSession, database: Database
) -> None:
    def process() -> Iterator[int]:
        with session.connection.begin():
            insert(session.connection, 1)
            yield 1

    outputs = process()
    next(outputs)
    session.rollback()
    is_fresh(session, database)
    del outputs


def test_an_error_that_process_swallows_does_not_lose_its_writes_in_silence(
    worker: DatabaseSession, on_postgresql: Database
) -> None:
    insert(worker.connection, 1)
    with suppress(IntegrityError):
        insert(worker.connection, 1)
    with pytest.raises(DatabaseError, match="begin_nested"):
        worker.commit()
    assert numbers(on_postgresql) == []
    is_fresh(worker, on_postgresql)


def test_a_refused_commit_is_an_error_of_ours(
    worker: DatabaseSession, on_postgresql: Database
) -> None:
    worker.connection.exec_driver_sql(
        "CREATE TABLE more (n INTEGER REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)"
    )
    worker.commit()
    worker.connection.exec_driver_sql("INSERT INTO more VALUES (404)")
    with pytest.raises(DatabaseError, match=r"refused the commit: .*foreign key") as caught:
        worker.commit()
    assert not isinstance(caught.value, DatabaseUnavailableError)
    assert "\n" not in str(caught.value)
    is_fresh(worker, on_postgresql)


def test_a_commit_that_failed_in_process_is_not_forgotten(
    worker: DatabaseSession, on_postgresql: Database
) -> None:
    worker.connection.exec_driver_sql(
        "CREATE TABLE more (n INTEGER REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)"
    )
    worker.commit()
    worker.connection.exec_driver_sql("INSERT INTO more VALUES (404)")
    with suppress(IntegrityError):
        worker.connection.commit()
    with pytest.raises(DatabaseError):
        worker.commit()
    is_fresh(worker, on_postgresql)


def test_another_program_sees_what_was_committed(
    worker: DatabaseSession, postgresql: PostgreSQLServer
) -> None:
    name = worker.connection.engine.url.database
    insert(worker.connection, 1)
    worker.commit()
    with postgresql.connect(name) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT n FROM numbers")
        assert cursor.fetchall() == [(1,)]
