"""Sessions against PostgreSQL, and SQLite where they must behave alike."""

from __future__ import annotations

import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from psycopg2 import sql
from servers.ports import LOOPBACK, free_port, wait_for
from servers.postgresql import PostgreSQLServer
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from slingshot_microservice.database import Database, DatabaseSession, postgresql_url
from slingshot_microservice.errors import DatabaseError, DatabaseUnavailableError

APPLICATION = "shout"


@contextmanager
def database_of(
    server: PostgreSQLServer,
    *,
    port: int | None = None,
    username: str | None = None,
    password: str | None = None,
    database: str | None = None,
) -> Iterator[Database]:
    url = postgresql_url(
        server.host,
        port or server.port,
        username or server.username,
        server.password if password is None else password,
        database or server.database,
    )
    opened = Database(url, application_name=APPLICATION, connect_timeout=2)
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


def insert(connection: Connection, n: int) -> None:
    connection.exec_driver_sql(f"INSERT INTO numbers VALUES ({n})")


def numbers(database: Database) -> list[int]:
    """What is committed, as another session sees it."""
    with session_of(database) as other:
        rows = other.connection.exec_driver_sql("SELECT n FROM numbers ORDER BY n")
        return list(rows.scalars())


# What process does with its connection, each writing 1 and leaving it to us to commit.


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

        wait_for(gone, 10, "the end of the backend")


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


def test_check_notices_that_an_idle_connection_is_dead(
    worker: DatabaseSession, on_postgresql: Database, postgresql: PostgreSQLServer
) -> None:
    pid = pid_of(worker)
    worker.close()
    terminate(postgresql, pid)
    with pytest.raises(DatabaseUnavailableError):
        on_postgresql.check()
    on_postgresql.check()


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


def test_check_accepts_what_is_right(postgresql: PostgreSQLServer) -> None:
    with database_of(postgresql) as database:
        database.check()
        assert postgresql.password not in repr(database)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"password": "wr%ng"}, "password authentication failed"),
        ({"password": ""}, "no password supplied"),
        ({"username": "nobody"}, "password authentication failed"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
    ],
)
def test_a_refusal_is_not_worth_another_attempt(
    postgresql: PostgreSQLServer, wrong: dict[str, str], text: str
) -> None:
    with database_of(postgresql, **wrong) as database:  # type: ignore[arg-type]
        with pytest.raises(DatabaseError, match=text) as caught:
            database.check()
        with session_of(database) as session, pytest.raises(DatabaseError, match=text):
            _ = session.connection
    message = str(caught.value)
    assert not isinstance(caught.value, DatabaseUnavailableError)
    assert "\n" not in message
    for part in (postgresql.host, str(postgresql.port), *wrong.values()):
        assert part in message or part == wrong.get("password")
    assert postgresql.password not in message
    assert "wr%ng" not in message


@pytest.mark.parametrize(
    "password",
    ["p@ss", "a/b", "100%", "%41", " spaces ", "'q'", '"q"', "back\\slash", "é☃", "?x=1&y#z:;+"],
)
def test_passwords_of_any_character_work(postgresql: PostgreSQLServer, password: str) -> None:
    role = sql.Identifier("odd/role@" + password)
    with postgresql.connect() as connection, connection.cursor() as cursor:
        secret = sql.Literal(password)
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, secret))
        try:
            username = "odd/role@" + password
            with database_of(postgresql, username=username, password=password) as database:
                database.check()
        finally:
            cursor.execute(sql.SQL("DROP ROLE {}").format(role))


def test_nothing_listens(postgresql: PostgreSQLServer) -> None:
    with (
        database_of(postgresql, port=free_port()) as database,
        pytest.raises(DatabaseUnavailableError, match="Connection refused") as caught,
    ):
        database.check()
    assert "\n" not in str(caught.value)


def test_a_host_that_has_no_address() -> None:
    url = postgresql_url("nowhere.invalid", 5432, "user", "secret", "shop")
    database = Database(url, application_name=APPLICATION)
    with pytest.raises(DatabaseUnavailableError, match=r"nowhere\.invalid"):
        database.check()
    database.close()


@contextmanager
def half_a_server(answer: bytes | None) -> Iterator[int]:
    """Yield the port of something that is no PostgreSQL, or not yet."""
    done = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if answer is None:
                    done.wait()
                else:
                    connection.recv(1000)
                    connection.sendall(b"N")  # no TLS
                    connection.recv(1000)
                    connection.sendall(answer)

    with socket.create_server((LOOPBACK, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def refusal(code: str, message: str) -> bytes:
    fields = f"SFATAL\0VFATAL\0C{code}\0M{message}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("57P03", "the database system is starting up"),
        ("57P03", "the database system is shutting down"),
        ("57P03", "the database system is not yet accepting connections"),
        ("53300", "sorry, too many clients already"),
        ("53300", "remaining connection slots are reserved for roles"),
    ],
)
def test_a_refusal_that_passes_is_worth_another_attempt(code: str, message: str) -> None:
    with half_a_server(refusal(code, message)) as port:
        url = postgresql_url(LOOPBACK, port, "user", "secret", "shop")
        database = Database(url, application_name=APPLICATION)
        with pytest.raises(DatabaseUnavailableError, match=message):
            database.check()
        database.close()


def test_a_server_that_is_silent_is_given_up() -> None:
    with half_a_server(None) as port:
        url = postgresql_url(LOOPBACK, port, "user", "secret", "shop")
        database = Database(url, application_name=APPLICATION, connect_timeout=1.5)
        with pytest.raises(DatabaseUnavailableError, match="timeout expired"):
            database.check()
        database.close()


@pytest.fixture
def data_directory() -> Iterator[Path]:
    # As root, the wheel opens every folder above to the user that it adds.
    folder = Path(tempfile.mkdtemp(prefix="slingshot-embedded-", dir="/tmp"))
    yield folder / "new" / "data+%"
    shutil.rmtree(folder)


def test_embedded_postgresql_serves_until_the_last_is_closed(data_directory: Path) -> None:
    first = Database.embedded_postgresql(data_directory, application_name=APPLICATION)
    second = Database.embedded_postgresql(data_directory)
    prepare(first)
    first.close()
    with session_of(second) as session:
        insert(session.connection, 1)
        session.commit()
    second.close()
    assert not (data_directory / "postmaster.pid").exists()
    again = Database.embedded_postgresql(data_directory)
    assert numbers(again) == [1]
    again.close()


def test_embedded_postgresql_that_cannot_start_says_where(data_directory: Path) -> None:
    data_directory.parent.mkdir()
    data_directory.mkdir()
    (data_directory / "PG_VERSION").write_text("1")
    with pytest.raises(DatabaseError, match="cannot start the embedded PostgreSQL") as caught:
        Database.embedded_postgresql(data_directory)
    assert str(data_directory) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_program_sees_what_was_committed(
    worker: DatabaseSession, postgresql: PostgreSQLServer
) -> None:
    name = worker.connection.engine.url.database
    insert(worker.connection, 1)
    worker.commit()
    with postgresql.connect(name) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT n FROM numbers")
        assert cursor.fetchall() == [(1,)]
