"""Time-outs that PostgreSQL keeps for us, and connections that several workers share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from databases import APPLICATION, database_of, insert, is_fresh, numbers, prepare, session_of
from servers.ports import wait_for
from servers.postgresql import PostgreSQLServer
from servers.proxy import Direction, Proxy
from sqlalchemy.exc import DBAPIError

from slingshot_microservice.database import Database, DatabaseLimits, DatabaseSession
from slingshot_microservice.errors import DatabaseError, DatabaseUnavailableError

BOUND = 20.0  # seconds after which waiting has failed
PATIENCE = 2.0  # seconds of the server's, which hold for what is to succeed, too
SHARED = DatabaseLimits(connections=1, threads=2, pool_timeout=BOUND)


@contextmanager
def fresh(server: PostgreSQLServer, limits: DatabaseLimits) -> Iterator[Database]:
    name = server.fresh_database()
    with database_of(server, database=name) as unlimited:
        prepare(unlimited)
    with database_of(server, database=name, limits=limits) as database:
        yield database


def setting(database: Database, name: str) -> object:
    with session_of(database) as session:
        return session.connection.exec_driver_sql(f"SHOW {name}").scalar_one()


def wait_until_ended(server: PostgreSQLServer, session: DatabaseSession) -> None:
    """Begin a transaction, and return when the server has ended the session."""
    pid = session.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with server.connect() as connection, connection.cursor() as cursor:

        def gone() -> bool:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,))
            return cursor.fetchall() == [(0,)]

        wait_for(gone, BOUND, "the end of the session")


def test_a_statement_that_takes_too_long_is_the_failure_of_its_request(
    postgresql: PostgreSQLServer,
) -> None:
    with fresh(postgresql, DatabaseLimits(statement_timeout=PATIENCE)) as database:
        with session_of(database) as session:
            insert(session.connection, 1)
            with pytest.raises(DBAPIError, match="statement timeout") as caught:
                session.connection.exec_driver_sql("SELECT pg_sleep(60)")
            assert not database.is_missed_in(caught.value)
            session.rollback()
            is_fresh(session, database)
        assert numbers(database) == [102]


def test_a_transaction_that_idles_is_the_failure_of_its_request(
    postgresql: PostgreSQLServer,
) -> None:
    limits = DatabaseLimits(idle_in_transaction_timeout=PATIENCE)
    with fresh(postgresql, limits) as database, session_of(database) as session:
        wait_until_ended(postgresql, session)
        with pytest.raises(DBAPIError, match="idle-in-transaction timeout") as caught:
            insert(session.connection, 1)
        chain = (caught.value, caught.value.__cause__)
        assert not any(database.is_missed_in(error) for error in chain if error)
        session.rollback()
        is_fresh(session, database)


def test_a_transaction_that_idles_until_its_commit_is_too(postgresql: PostgreSQLServer) -> None:
    limits = DatabaseLimits(idle_in_transaction_timeout=PATIENCE)
    with fresh(postgresql, limits) as database, session_of(database) as session:
        insert(session.connection, 1)
        wait_until_ended(postgresql, session)
        with pytest.raises(DatabaseError, match="idle-in-transaction timeout") as caught:
            session.commit()
        assert not isinstance(caught.value, DatabaseUnavailableError)
        chain = (caught.value, caught.value.__cause__, caught.value.__cause__.__cause__)  # type: ignore[union-attr]
        assert not any(database.is_missed_in(error) for error in chain if error)
        is_fresh(session, database)


def test_without_time_outs_the_server_has_its_say(postgresql: PostgreSQLServer) -> None:
    name = postgresql.fresh_database()
    names = ("statement_timeout", "idle_in_transaction_session_timeout")
    with postgresql.connect() as connection, connection.cursor() as cursor:
        for each in names:
            cursor.execute(f"ALTER DATABASE {name} SET {each} = '7s'")
    with database_of(postgresql, database=name) as database:
        assert [setting(database, each) for each in names] == ["7s", "7s"]
    limits = DatabaseLimits(statement_timeout=2.5, idle_in_transaction_timeout=3600)
    with database_of(postgresql, database=name, limits=limits) as database:
        assert [setting(database, each) for each in names] == ["2500ms", "1h"]


@pytest.mark.parametrize("limits", [DatabaseLimits(), SHARED], ids=["kept", "shared"])
def test_a_request_that_runs_no_statement_sends_nothing(
    postgresql: PostgreSQLServer, limits: DatabaseLimits
) -> None:
    with Proxy(postgresql.host, postgresql.port) as proxy:

        def sent_by(request: Callable[[], object]) -> int:
            # What was sent before has come through when a statement is answered.
            session.connection.exec_driver_sql("SELECT 1")
            session.commit()
            before = proxy.carried[Direction.UP]
            request()
            session.connection.exec_driver_sql("SELECT 1")
            session.commit()
            return proxy.carried[Direction.UP] - before

        def idle() -> None:
            for _ in range(50):
                assert session.connection.connection.dbapi_connection
                session.commit()

        with (
            database_of(postgresql, port=proxy.port, limits=limits) as database,
            session_of(database) as session,
        ):
            assert sent_by(idle) == sent_by(lambda: None) > 0


def test_workers_share_what_connections_there_are(postgresql: PostgreSQLServer) -> None:
    limits = DatabaseLimits(connections=2, threads=5, pool_timeout=BOUND)
    pids: set[int] = set()
    failures: list[BaseException] = []
    with fresh(postgresql, limits) as database:

        def work(worker: int) -> None:
            try:
                with session_of(database) as session:
                    for n in range(20):
                        sql = "SELECT pg_backend_pid()"
                        pids.add(session.connection.exec_driver_sql(sql).scalar_one())
                        insert(session.connection, worker * 100 + n)
                        session.commit() if n % 2 else session.rollback()
            except BaseException as error:  # noqa: BLE001  # looked at below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(numbers(database)) == 50
        assert len(pids) == 2


def test_with_as_many_connections_as_workers_each_keeps_its_own(
    postgresql: PostgreSQLServer,
) -> None:
    with (
        fresh(postgresql, DatabaseLimits(connections=2, threads=2)) as database,
        session_of(database) as one,
        session_of(database) as other,
    ):
        kept = one.connection, other.connection
        one.commit()
        other.commit()
        assert (one.connection, other.connection) == kept


def test_who_waits_too_long_for_a_connection_is_told_what_to_do(
    postgresql: PostgreSQLServer,
) -> None:
    limits = DatabaseLimits(connections=1, threads=2, pool_timeout=0.05)
    with fresh(postgresql, limits) as database:
        with session_of(database) as one, session_of(database) as other:
            insert(one.connection, 1)
            with pytest.raises(DatabaseError, match="raise database_connections or") as caught:
                _ = other.connection
            assert not database.is_missed_in(caught.value), "PostgreSQL is there"
            one.commit()
            insert(other.connection, 2)
            other.commit()
        assert numbers(database) == [1, 2]


def test_who_waits_for_a_connection_while_postgresql_is_away_is_told_that(
    postgresql: PostgreSQLServer,
) -> None:
    limits = DatabaseLimits(connections=1, threads=2, pool_timeout=0.05)
    with (
        fresh(postgresql, limits) as database,
        session_of(database) as one,
        session_of(database) as other,
    ):
        insert(one.connection, 1)
        postgresql.stop()
        try:
            with pytest.raises(DatabaseUnavailableError, match="Connection refused"):
                _ = other.connection
            one.rollback()
            for session in (other, one):  # the place is free again each time
                with pytest.raises(DatabaseUnavailableError, match="Connection refused"):
                    _ = session.connection
        finally:
            postgresql.start()
        for n, session in enumerate((one, other)):
            insert(session.connection, n)
            session.commit()


@pytest.mark.parametrize("habit", ["close", "invalidate"])
def test_a_connection_that_process_has_ended_itself_is_free_for_others(
    postgresql: PostgreSQLServer, habit: str
) -> None:
    with fresh(postgresql, SHARED) as database:
        with session_of(database) as one, session_of(database) as other:
            getattr(one.connection, habit)()
            insert(one.connection, 1)
            one.connection.commit()
            getattr(one.connection, habit)()
            one.commit()
            insert(other.connection, 2)
            other.commit()
        assert numbers(database) == [1, 2]


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        (APPLICATION, APPLICATION),
        ('it\'s a \\ "name" = {x}', 'it\'s a \\ "name" = {x}'),
        ("long-" * 40, ("long-" * 40)[:63]),  # as much as PostgreSQL has room for
        ("plain, größer ☃", "plain, gr"),  # the rest is not what PostgreSQL lists as it is
    ],
)
def test_postgresql_lists_which_service_it_is(
    postgresql: PostgreSQLServer, name: str, listed: str
) -> None:
    with (
        database_of(postgresql, application_name=name) as database,
        session_of(database) as session,
    ):
        shown = session.connection.exec_driver_sql(
            "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).scalar_one()
    assert shown.startswith(listed)
    assert len(shown) <= 63
