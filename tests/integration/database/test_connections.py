"""One connection a worker: kept, checked, and lost without losing more than a request."""

from __future__ import annotations

from contextlib import suppress

import pytest
from databases import APPLICATION, insert, is_fresh, numbers, session_of
from servers.ports import wait_for
from servers.postgresql import PostgreSQLServer
from sqlalchemy.exc import OperationalError

from slingshot_microservice.database import Database, DatabaseSession
from slingshot_microservice.errors import DatabaseUnavailableError


def pid_of(session: DatabaseSession) -> int:
    pid = session.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    assert isinstance(pid, int)
    return pid


def terminate(server: PostgreSQLServer, pid: int) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))

        def gone() -> bool:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,))
            return cursor.fetchall() == [(0,)]

        wait_for(gone, what="the end of the backend")


def test_requests_share_one_connection(worker: DatabaseSession, on_postgresql: Database) -> None:
    pids = set()
    for n in range(5):
        pids.add(pid_of(worker))
        insert(worker.connection, n)
        worker.commit() if n % 2 else worker.rollback()
    assert len(pids) == 1


def test_workers_do_not_share_a_connection(on_postgresql: Database) -> None:
    sessions = [on_postgresql.session() for _ in range(20)]
    assert len({pid_of(session) for session in sessions}) == 20
    for session in sessions:
        session.close()


def test_a_request_without_sql_sends_nothing(
    worker: DatabaseSession, on_postgresql: Database, postgresql: PostgreSQLServer
) -> None:
    pid = pid_of(worker)
    worker.commit()
    terminate(postgresql, pid)
    assert not worker.connection.closed
    worker.commit()  # a word to the server would have been an error


def test_a_connection_lost_between_requests_costs_one(
    worker: DatabaseSession, on_postgresql: Database, postgresql: PostgreSQLServer
) -> None:
    insert(worker.connection, 1)
    pid = pid_of(worker)
    worker.commit()
    terminate(postgresql, pid)
    with pytest.raises(OperationalError):
        insert(worker.connection, 2)
    worker.rollback()
    is_fresh(worker, on_postgresql)
    assert numbers(on_postgresql) == [1, 102]


def test_a_connection_lost_before_the_commit_costs_one_request(
    worker: DatabaseSession, on_postgresql: Database, postgresql: PostgreSQLServer
) -> None:
    insert(worker.connection, 1)
    terminate(postgresql, pid_of(worker))
    with pytest.raises(DatabaseUnavailableError, match="lost the connection to PostgreSQL") as lost:
        worker.commit()
    assert "\n" not in str(lost.value)
    assert numbers(on_postgresql) == []
    is_fresh(worker, on_postgresql)


def test_a_lost_connection_that_process_swallows_is_no_success(
    worker: DatabaseSession, on_postgresql: Database, postgresql: PostgreSQLServer
) -> None:
    insert(worker.connection, 1)
    terminate(postgresql, pid_of(worker))
    with suppress(OperationalError):
        insert(worker.connection, 2)
    with pytest.raises(DatabaseUnavailableError):
        worker.commit()
    is_fresh(worker, on_postgresql)


def test_a_connection_lost_before_a_rollback_is_no_error(
    worker: DatabaseSession, on_postgresql: Database, postgresql: PostgreSQLServer
) -> None:
    insert(worker.connection, 1)
    terminate(postgresql, pid_of(worker))
    worker.rollback()
    is_fresh(worker, on_postgresql)


def test_a_restart_of_the_server_costs_one_request(
    worker: DatabaseSession, on_postgresql: Database, postgresql: PostgreSQLServer
) -> None:
    insert(worker.connection, 1)
    postgresql.restart()
    with pytest.raises(DatabaseUnavailableError):
        worker.commit()
    is_fresh(worker, on_postgresql)


def test_a_server_that_is_down_is_unavailable_and_comes_back(
    worker: DatabaseSession, on_postgresql: Database, postgresql: PostgreSQLServer
) -> None:
    insert(worker.connection, 1)
    postgresql.stop()
    try:
        with pytest.raises(DatabaseUnavailableError):
            worker.commit()
        for unavailable in (on_postgresql.check, lambda: worker.connection):
            with pytest.raises(DatabaseUnavailableError, match="Connection refused") as caught:
                unavailable()
            for part in (postgresql.host, str(postgresql.port), postgresql.username):
                assert part in str(caught.value)
    finally:
        postgresql.start()
    on_postgresql.check()
    is_fresh(worker, on_postgresql)


def test_an_idle_connection_that_is_dead_is_replaced_unnoticed(
    worker: DatabaseSession, on_postgresql: Database, postgresql: PostgreSQLServer
) -> None:
    pid = pid_of(worker)
    worker.close()
    terminate(postgresql, pid)
    on_postgresql.check()
    assert pid_of(worker) != pid


def test_check_does_not_wait_for_a_writer(on_sqlite: Database) -> None:
    with session_of(on_sqlite) as session:
        insert(session.connection, 1)
        on_sqlite.check()


def test_connections_carry_the_name_of_the_service(
    worker: DatabaseSession, postgresql: PostgreSQLServer
) -> None:
    pid = pid_of(worker)
    with postgresql.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT application_name FROM pg_stat_activity WHERE pid = %s", (pid,))
        assert cursor.fetchall() == [(APPLICATION,)]


def test_connections_notice_a_server_that_vanished(worker: DatabaseSession) -> None:
    driver_connection = worker.connection.connection.dbapi_connection
    assert driver_connection is not None
    settings = driver_connection.info.dsn_parameters  # what libpq was told
    assert settings["keepalives"] == "1"
    longest = int(settings["keepalives_interval"]) * int(settings["keepalives_count"])
    assert int(settings["keepalives_idle"]) + longest <= 60
    assert int(settings["tcp_user_timeout"]) <= 60_000
