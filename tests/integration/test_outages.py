"""What a request needs goes away and comes back: no run counts, and the work goes on.

With a single attempt, a run that counted would park its request.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from servers.ports import free_port, wait_for
from servers.sys_map import Answer
from servers.world import World, running
from sqlalchemy import text

from slingshot_microservice import Microservice
from slingshot_microservice.errors import StorageUnavailableError

OPTIONS: dict[str, Any] = {
    "attempts": 1,
    "retry_pause": 0.05,
    "retry_pause_limit": 0.2,
    "prefetch": 10,
}
COUNT = 60
HALF = COUNT // 2


class Case:
    """A service with a table, and buckets that hold an object for each id."""

    def __init__(self, world: World, log: pytest.LogCaptureFixture) -> None:
        self.world = world
        self.log = log
        self.inbound, self.outbound = world.queue("in"), world.queue("out")
        self.database = world.postgresql.fresh_database()
        self.runs: Counter[int] = Counter()
        self.half_way = threading.Event()
        self.go_on = threading.Event()
        world.describe(
            "svc", self.inbound, [(True, [self.outbound])], db={"database": self.database}
        )
        with world.postgresql.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE rows (id NUMERIC)")
        world.rabbitmq.declare(self.inbound)

    def work(self, request: int, read_file: Any, write_file: Any, connection: Any) -> Any:
        """Do a bit of everything; wait half-way until the test goes on."""
        self.runs[request] += 1
        if sum(self.runs.values()) == HALF:
            self.half_way.set()
            assert self.go_on.wait(90)
        yield request, True
        connection.execute(text("INSERT INTO rows VALUES (:id)"), {"id": request})

    @contextmanager
    def running(
        self, process: Callable[..., Any] | None = None, **options: Any
    ) -> Iterator[Microservice]:
        """Run the service on its ids, of which half are done when the block begins."""
        self.world.rabbitmq.publish(self.inbound, [b"%d" % id for id in range(COUNT)])
        options = OPTIONS | options
        with running(
            Microservice("svc", self.world.sys_map.url, process or self.work, **options)
        ) as it:
            assert self.half_way.wait(30)
            yield it

    def wait_until_paused(self, what: str) -> None:
        """Return when the gate has closed, and no messages are taken."""
        wait_for(lambda: f"the {what} is away" in self.log.text, what="the gate to close")
        wait_for(
            lambda: self.world.rabbitmq.consumers(self.inbound) == 0, what="the consumer to go"
        )

    def finish(self) -> None:
        """Wait until all is done, and see that it was done once."""
        sent = self.world.rabbitmq.drain(self.outbound, COUNT)
        self.world.rabbitmq.wait_until_empty(self.inbound)
        assert Counter(map(int, sent)) == dict.fromkeys(range(COUNT), 1)
        assert not self.world.rabbitmq.exists(f"{self.inbound}.dead") or not (
            self.world.rabbitmq.depth(f"{self.inbound}.dead")
        )

    def rows(self) -> Counter[int]:
        """Return how many rows there are for each id."""
        with (
            self.world.postgresql.connect(self.database) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT id FROM rows")
            return Counter(int(id) for (id,) in cursor.fetchall())


@pytest.fixture
def case(world: World, caplog: pytest.LogCaptureFixture) -> Case:
    return Case(world, caplog)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_postgresql_goes_away_and_comes_back(case: Case, end: str) -> None:
    with case.running():
        getattr(case.world.postgresql, end)()
        try:
            case.go_on.set()
            case.wait_until_paused("database")
        finally:
            case.world.postgresql.start()
        case.finish()
    assert case.rows() == dict.fromkeys(range(COUNT), 1)
    assert case.runs.total() <= COUNT + 2
    assert "the database is back after" in case.log.text


def test_a_session_that_is_terminated_costs_one_run_and_no_pause(case: Case) -> None:
    with case.running():
        with case.world.postgresql.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (case.database,),
            )
        case.go_on.set()
        case.finish()
    assert case.rows() == dict.fromkeys(range(COUNT), 1)
    assert case.runs.total() == COUNT + 1
    assert "is away" not in case.log.text


def test_a_login_that_is_refused_meanwhile_costs_no_run(case: Case) -> None:
    world, role = case.world, f"role_{uuid.uuid4().hex}"
    login = {"database": case.database, "username": role}
    world.describe("svc", case.inbound, [(True, [case.outbound])], db=login)
    with world.postgresql.connect(case.database) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD %s", (world.postgresql.password,))
        cursor.execute(f"GRANT ALL ON rows TO {role}")
        with case.running():
            cursor.execute(f"ALTER ROLE {role} NOLOGIN")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,)
            )
            case.go_on.set()
            case.wait_until_paused("database")
            cursor.execute(f"ALTER ROLE {role} LOGIN")
            case.finish()
        cursor.execute(f"DROP OWNED BY {role}")
        cursor.execute(f"DROP ROLE {role}")
    assert case.rows() == dict.fromkeys(range(COUNT), 1)
    assert "is not permitted to log in" in case.log.text


@pytest.mark.parametrize("client", ["boto3", "obstore"])
def test_the_object_store_goes_away_and_comes_back(case: Case, client: str) -> None:
    case.log.set_level("INFO")
    world = case.world
    for id in range(COUNT):
        world.s3.put(world.bucket_in, id, b"object %d" % id)

    def process(request: int, read_file: Any, write_file: Any, connection: Any) -> Any:
        yield from case.work(request, read_file, write_file, connection)
        write_file("out", request).write(read_file("in", request).read())

    with case.running(process, object_store_client=client):
        world.s3.stop()
        try:
            case.go_on.set()
            case.wait_until_paused("object store")
        finally:
            world.s3.start()
        case.finish()
    assert case.rows() == dict.fromkeys(range(COUNT), 1), "what failed was rolled back"
    for id in range(COUNT):
        assert world.s3.get(world.bucket_out, id) == b"object %d" % id
    assert "the object store is back after" in case.log.text
    assert f"objects are read and written through {client}" in case.log.text


def test_the_configuration_service_goes_away_and_comes_back(case: Case) -> None:
    answers = case.world.sys_map.answers
    kept = dict(answers)

    def process(request: int, read_file: Any, write_file: Any, connection: Any) -> Any:
        yield from case.work(request, read_file, write_file, connection)
        if case.half_way.is_set():  # the bucket is not asked for before
            write_file("out", request).write("content")

    with case.running(process):
        answers |= dict.fromkeys(kept, Answer(503))
        case.go_on.set()
        case.wait_until_paused("configuration service")
        answers |= kept
        case.finish()
    assert case.rows() == dict.fromkeys(range(COUNT), 1)
    assert "the configuration service is back after" in case.log.text


def test_a_stop_does_not_wait_for_what_is_away(case: Case) -> None:
    with case.running() as it:
        case.world.postgresql.stop()
        try:
            case.go_on.set()
            case.wait_until_paused("database")
            began = time.monotonic()
            it.stop()
            wait_for(lambda: "svc" not in {each.name for each in threading.enumerate()})
            assert time.monotonic() - began < 20
        finally:
            case.world.postgresql.start()
    done = case.rows()
    assert set(done.values()) == {1}
    left = case.world.rabbitmq.drain(case.inbound, COUNT - len(done))
    assert Counter(map(int, left)) + done == dict.fromkeys(range(COUNT), 1)


def test_what_only_one_request_finds_away_is_its_own_failure(case: Case) -> None:
    world = case.world

    def process(request: int, *others: Any) -> Any:
        yield from case.work(request, *others)
        if request == HALF:
            raise StorageUnavailableError("a time-out", bucket=world.bucket_in, id=request)

    with case.running(process):
        case.go_on.set()
        sent = world.rabbitmq.drain(case.outbound, COUNT - 1)
        assert world.rabbitmq.drain(f"{case.inbound}.dead", 1) == [b"%d" % HALF]
        world.rabbitmq.wait_until_empty(case.inbound)
    assert set(map(int, sent)) == set(range(COUNT)) - {HALF}
    assert case.runs[HALF] == 3
    assert HALF not in case.rows()


@pytest.mark.parametrize("section", ["db", "rabbitmq"])
def test_a_stop_ends_the_waiting_for_a_server(
    world: World, caplog: pytest.LogCaptureFixture, section: str
) -> None:
    caplog.set_level("INFO")
    away: Any = {section: {"port": free_port()}}
    world.describe("svc", world.queue("in"), **away)
    service = Microservice("svc", world.sys_map.url, lambda *_: None, startup_timeout=1000)
    with running(service):
        wait_for(lambda: "trying again in" in caplog.text, what="the first attempt")
    assert "service 'svc' was stopped before it had started" in caplog.messages
