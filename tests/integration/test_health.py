"""What probes hear of a service on real servers, while these go away and come back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from faults.alarms import ALARMS, alarm
from servers.command_line import PROGRAM as COMMAND
from servers.ports import free_port, wait_for
from servers.probes import live, ready, wait_until_ready, wait_until_unready
from servers.processes import ServerProcess
from servers.world import World, running
from sqlalchemy import text

from slingshot_microservice import Microservice

OK = (200, "ok")

PROGRAM = """
from pathlib import Path
from time import sleep

from slingshot_microservice import Microservice

def process(request, read_file, write_file, connection):
    Path({begun!r}).touch()
    while not Path({go_on!r}).exists():
        sleep(0.02)
    yield request, True

Microservice("svc", {host!r}, process, health_port={port}).start()
"""


@pytest.fixture
def port() -> int:
    return free_port()


def service(world: World, port: int, process: Any = None, **options: Any) -> Microservice:
    def yield_true(request: int, *_others: object) -> Any:
        yield request, True

    options = {"reconnect_pause": 0.1, "reconnect_pause_limit": 0.2, **options}
    return Microservice(
        "svc", world.sys_map.url, process or yield_true, health_port=port, **options
    )


def test_a_broker_that_is_away_is_named_and_nobody_is_to_be_killed_for_it(
    world: World, port: int
) -> None:
    world.describe("svc", world.queue("in"))
    with running(service(world, port)):
        wait_until_ready(port)
        world.rabbitmq.stop()
        try:
            wait_until_unready(port, f"RabbitMQ at {world.rabbitmq.host}:{world.rabbitmq.port}")
            assert world.rabbitmq.password not in ready(port).text
            assert live(port) == OK
        finally:
            world.rabbitmq.start()
        wait_until_ready(port)


@pytest.mark.parametrize("resource", ALARMS)
def test_an_alarm_is_said(world: World, port: int, resource: str) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    go_on = threading.Event()

    def process(request: int, *_others: object) -> Any:
        assert go_on.wait(60)
        yield request, True

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"1", b"2"])
    with running(service(world, port, process)):
        wait_until_ready(port)
        with alarm(world.rabbitmq, resource):
            go_on.set()  # RabbitMQ tells of its alarm who publishes
            wait_until_unready(port, "paused: RabbitMQ blocks publishers")
            assert live(port) == OK
        wait_until_ready(port)
        assert sorted(world.rabbitmq.drain(outbound, 2)) == [b"1", b"2"]


def test_a_database_that_is_away_is_named(world: World, port: int) -> None:
    inbound = world.queue("in")
    world.describe("svc", inbound, db={"database": world.postgresql.fresh_database()})

    def process(request: int, _read: object, _write: object, connection: Any) -> None:
        connection.execute(text("SELECT 1"))

    with running(service(world, port, process, retry_pause=0.05, retry_pause_limit=0.2)):
        wait_until_ready(port)
        world.postgresql.stop()
        try:
            world.rabbitmq.publish(inbound, [b"1"])
            wait_until_unready(port, "paused: the database is away")
            assert live(port) == OK
        finally:
            world.postgresql.start()
        wait_until_ready(port)
        world.rabbitmq.wait_until_empty(inbound)


def test_a_broker_that_is_away_from_the_start_is_no_reason_to_be_ready(
    world: World, port: int
) -> None:
    world.describe("svc", world.queue("in"), rabbitmq={"port": free_port()})
    with running(service(world, port, startup_timeout=1000)):
        wait_until_unready(port, "starting")
        assert live(port) == OK


def test_a_stop_with_a_long_job_is_stopping_and_alive(
    world: World, port: int, tmp_path: Path
) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    program = PROGRAM.format(host=world.sys_map.url, port=port, begun=str(begun), go_on=str(go_on))
    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"7"])
    with world.program(program, tmp_path) as it:
        wait_for(begun.exists, what="the job to begin")
        wait_until_ready(port)
        ending = threading.Thread(target=it.process.end)
        ending.start()
        try:
            wait_until_unready(port, "stopping")
            assert live(port) == OK
        finally:
            go_on.touch()
            ending.join(30)
        assert it.process.exit_code == 0
    assert world.rabbitmq.drain(outbound, 1) == [b"7"]


def test_a_parent_answers_for_all_its_processes(world: World, port: int, tmp_path: Path) -> None:
    inbound = world.queue("in")
    world.describe("svc", inbound)
    (tmp_path / "svc.py").write_text(
        "from slingshot_microservice import Microservice\n"
        f"service = Microservice('svc', {world.sys_map.url!r}, lambda *_: None)\n"
    )
    parent = ServerProcess(
        [*COMMAND, "run", tmp_path / "svc.py", "--processes", "2"],
        tmp_path / "log",
        environment={
            **world.environment,
            "SLINGSHOT_HEALTH_PORT": str(port),
            "SLINGSHOT_RECONNECT_PAUSE_LIMIT": "0.5",
        },
    )
    try:
        wait_until_ready(port, 60)
        assert world.rabbitmq.consumers(inbound) == 2
        assert live(port) == OK
        world.rabbitmq.stop()
        try:
            wait_until_unready(port, "process 1 of 2: RabbitMQ at ")
            assert live(port) == OK
        finally:
            world.rabbitmq.start()
        wait_until_ready(port)
    finally:
        parent.end()
    assert parent.exit_code == 0, parent.log_tail()
