"""What PostgreSQL ends by a time-out counts as a failed run, and stops nobody else."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from servers.ports import wait_for
from servers.world import World, running
from sqlalchemy import text

from slingshot_microservice import Microservice

OPTIONS: dict[str, Any] = {
    "attempts": 1,
    # They hold for the requests that are to succeed, too.
    "database_statement_timeout": 3.0,
    "database_idle_in_transaction_timeout": 3.0,
}
ENDLESS = 7


class Case:
    """A service, one of whose requests takes longer than PostgreSQL has patience."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runs: list[int] = []

    def runs_a_long_statement(self, request: int, *others: Any) -> Any:
        """Sleep in the database."""
        self.runs.append(request)
        connection = others[2]
        connection.execute(text("SELECT pg_sleep(:n)"), {"n": 60 if request == ENDLESS else 0})
        yield request, True

    def idles_in_a_transaction(self, request: int, *others: Any) -> Any:
        """Begin a transaction, and wait until PostgreSQL has lost its patience."""
        self.runs.append(request)
        connection = others[2]
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        if request == ENDLESS:
            wait_for(lambda: not self._lives(pid), what="the end of the session")
        yield request, True

    def _lives(self, pid: int) -> bool:
        with self.world.postgresql.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,))
            return cursor.fetchall() == [(1,)]


@pytest.mark.parametrize("process", ["runs_a_long_statement", "idles_in_a_transaction"])
def test_a_request_that_postgresql_ends_has_failed(
    world: World, caplog: pytest.LogCaptureFixture, process: str
) -> None:
    case = Case(world)
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"%d" % id for id in range(10)])
    with running(Microservice("svc", world.sys_map.url, getattr(case, process), **OPTIONS)):
        sent = world.rabbitmq.drain(outbound, 9)
        assert world.rabbitmq.drain(f"{inbound}.dead", 1) == [b"%d" % ENDLESS]
        world.rabbitmq.wait_until_empty(inbound)
    assert sorted(map(int, sent)) == [id for id in range(10) if id != ENDLESS]
    assert sorted(case.runs) == list(range(10)), "no run was excused"
    assert "is away" not in caplog.text


def what_process_finds(world: World, **options: Any) -> dict[str, str]:
    """Return what a service's connection was made with, and what the server says of it."""
    inbound = world.queue("in")
    world.describe("svc", inbound)
    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"1"])
    found: dict[str, str] = {}
    seen = threading.Event()

    def process(request: int, read_file: Any, write_file: Any, connection: Any) -> None:
        found.update(connection.connection.dbapi_connection.info.dsn_parameters)
        names = ("application_name", "statement_timeout", "idle_in_transaction_session_timeout")
        for name in names:
            found[name] = connection.execute(text(f"SHOW {name}")).scalar_one()
        seen.set()

    with running(Microservice("svc", world.sys_map.url, process, **options)):
        assert seen.wait(30)
    return found


def test_by_default_a_process_may_take_an_hour(world: World) -> None:
    found = what_process_finds(world)
    assert found["statement_timeout"] == found["idle_in_transaction_session_timeout"] == "0"
    assert found["connect_timeout"] == "10"
    assert found["application_name"] == "svc"


def test_options_reach_the_server(world: World) -> None:
    found = what_process_finds(world, database_connect_timeout=29.5, **OPTIONS)
    assert found["statement_timeout"] == found["idle_in_transaction_session_timeout"] == "3s"
    assert found["connect_timeout"] == "30"
