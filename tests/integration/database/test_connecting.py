"""Connecting to PostgreSQL: who is let in, and what is said of who is not."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from databases import APPLICATION, database_of, session_of
from psycopg2 import sql
from servers.ports import LOOPBACK, free_port
from servers.postgresql import PostgreSQLServer

from slingshot_microservice.database import Database, DatabaseLimits, postgresql_url
from slingshot_microservice.errors import DatabaseError, DatabaseUnavailableError


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
def half_a_server(answer: bytes | None, heard: list[bytes] | None = None) -> Iterator[int]:
    """Yield the port of something that is no PostgreSQL, or not yet; note what it is told."""
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
                    told = connection.recv(1000)
                    if heard is not None:
                        heard.append(told)
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
        limits = DatabaseLimits(connect_timeout=1.5)
        database = Database(url, application_name=APPLICATION, limits=limits)
        with pytest.raises(DatabaseUnavailableError, match="timeout expired"):
            database.check()
        database.close()


def startup_message(limits: DatabaseLimits) -> dict[bytes, bytes]:
    """Return what a connection says of itself before it logs in."""
    heard: list[bytes] = []
    with half_a_server(refusal("28000", "no"), heard) as port:
        url = postgresql_url(LOOPBACK, port, "user", "secret", "shop")
        database = Database(url, application_name=APPLICATION, limits=limits)
        with pytest.raises(DatabaseError):
            database.check()
        database.close()
    fields = heard[0][8:].rstrip(b"\0").split(b"\0")  # behind length and protocol version
    return dict(zip(fields[::2], fields[1::2], strict=True))


def test_without_time_outs_nothing_is_said_that_a_connection_pooler_would_refuse() -> None:
    known_to_pgbouncer = {b"user", b"database", b"application_name", b"client_encoding"}
    assert startup_message(DatabaseLimits()).keys() <= known_to_pgbouncer


def test_time_outs_are_told_in_milliseconds() -> None:
    limits = DatabaseLimits(statement_timeout=1.1, idle_in_transaction_timeout=0.0001)
    said = startup_message(limits)[b"options"].decode().split(" -c ")
    assert said == ["-c statement_timeout=1100", "idle_in_transaction_session_timeout=1"]
