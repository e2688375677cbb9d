"""A service in this process, on real servers: what it promises, come what may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from servers.ports import wait_for
from servers.world import World, running
from sqlalchemy import text

from slingshot_microservice import Microservice
from slingshot_microservice.errors import ObjectNotFoundError

QUICK = {"retry_pause": 0.05, "retry_pause_limit": 0.2}


def yield_true(request: int, _read: object, _write: object, _connection: object) -> Any:
    yield request, True


def service(world: World, process: Any = yield_true, **options: Any) -> Microservice:
    return Microservice("svc", world.sys_map.url, process, **{**QUICK, **options})


def test_true_one_and_the_text_one_reach_three_queues(world: World) -> None:
    inbound = world.queue("in")
    queues = {case: world.queue("out") for case in ("bool", "int", "str", "other")}
    world.describe(
        "svc",
        inbound,
        [
            (True, [queues["bool"]]),
            (1, [queues["int"]]),
            ("1", [queues["str"], queues["other"]]),
        ],
    )

    def process(request: int, *_: object) -> Iterator[tuple[int, bool | int | str]]:
        yield 10, True
        yield 20, 1
        yield 30, "1"
        yield 40, "not in the configuration"

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"5"])
    with running(service(world, process)):
        world.rabbitmq.wait_until_empty(inbound)
        sent = {case: world.rabbitmq.drain(queue, 1) for case, queue in queues.items()}
    assert sent == {"bool": [b"10"], "int": [b"20"], "str": [b"30"], "other": [b"30"]}
    assert all(world.rabbitmq.depth(queue) == 0 for queue in queues.values())


@pytest.mark.parametrize(
    ("durable", "arguments"),
    [(False, None), (True, {"x-queue-type": "quorum"}), (True, {"x-max-length": 1000})],
    ids=["not durable", "quorum", "with arguments"],
)
def test_queues_that_exist_are_used_as_they_are(
    world: World, durable: bool, arguments: dict[str, Any] | None
) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    for queue in (inbound, outbound):
        world.rabbitmq.declare(queue, durable, arguments)
    world.describe("svc", inbound, [(True, [outbound])])
    world.rabbitmq.publish(inbound, [b"1", b"2"])
    with running(service(world)):
        assert sorted(world.rabbitmq.drain(outbound, 2)) == [b"1", b"2"]
        world.rabbitmq.wait_until_empty(inbound)


def test_queues_that_do_not_exist_are_created_durable(world: World) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    with running(service(world)):
        wait_for(lambda: world.rabbitmq.exists(inbound), what="the inbound queue")
        wait_for(lambda: world.rabbitmq.consumers(inbound) == 1, what="a consumer")
    world.rabbitmq.declare(inbound, durable=True)  # refused by RabbitMQ if it were not durable
    world.rabbitmq.declare(outbound, durable=True)


def test_messages_sent_are_persistent_and_have_the_bare_id_as_body(world: World) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b" +007\n"])
    with running(service(world)):
        world.rabbitmq.wait_until_empty(inbound)
    with world.rabbitmq.channel() as channel:
        _method, properties, body = channel.basic_get(outbound, auto_ack=True)
    assert body == b"7"
    assert properties is not None
    assert properties.delivery_mode == 2


def test_a_failed_request_leaves_nothing_behind_and_is_tried_again(world: World) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    database = world.postgresql.fresh_database()
    world.describe("svc", inbound, [(True, [outbound])], db={"database": database})
    with world.postgresql.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE runs (id NUMERIC, attempt INT)")
    attempts: list[int] = []

    def process(request: int, _read: Any, write_file: Any, connection: Any) -> Any:
        attempts.append(request)
        connection.execute(
            text("INSERT INTO runs VALUES (:id, :n)"), {"id": request, "n": len(attempts)}
        )
        write_file("out", request).write(f"attempt {len(attempts)}")
        yield request, True
        if len(attempts) < 3:
            assert world.s3.keys(world.bucket_out) == []
            raise RuntimeError("not this time")

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"9"])
    with running(service(world, process)):
        assert world.rabbitmq.drain(outbound, 1) == [b"9"]
        world.rabbitmq.wait_until_empty(inbound)
    assert world.rabbitmq.depth(outbound) == 0
    assert world.s3.get(world.bucket_out, 9) == b"attempt 3"
    with world.postgresql.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, attempt FROM runs")
        assert cursor.fetchall() == [(9, 3)]


def test_a_lost_database_connection_costs_one_retry_of_one_request(world: World) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    attempts: list[int] = []

    def process(request: int, _read: Any, _write: Any, connection: Any) -> Any:
        attempts.append(request)
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        if len(attempts) == 2:
            with world.postgresql.connect() as other, other.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
        connection.execute(text("SELECT 1"))
        yield request, True

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"1", b"2", b"3"])
    with running(service(world, process)):
        assert sorted(world.rabbitmq.drain(outbound, 3)) == [b"1", b"2", b"3"]
        world.rabbitmq.wait_until_empty(inbound)
    assert sorted(attempts) == [1, 2, 2, 3]


def test_bodies_that_are_no_ids_are_parked_and_do_not_stop_the_service(world: World) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    malformed = [
        b"",
        b"-1",
        b"1.0",
        b"1e3",
        b"0x10",
        b"1_000",
        b"-0",
        b"18446744073709551616",
        b"9" * 1_000_000,
        "٣".encode(),
        b"1\x00",
        b"\x1c1",
        b"\xff\xfe",
        b"{}",
    ]
    good = [b"0", b"+7", b" 8\r\n", "\u20039\u3000".encode(), b"0" * 5000 + b"10"]
    world.rabbitmq.declare(inbound)
    for body in [*malformed, *good]:
        world.rabbitmq.publish(inbound, [body], headers={"trace": "x"}, expiration="3600000")
    # Fewer slots than malformed messages: a run of them must not stall the queue.
    with running(service(world, prefetch=3)):
        assert sorted(world.rabbitmq.drain(outbound, len(good)), key=int) == [
            b"0",
            b"7",
            b"8",
            b"9",
            b"10",
        ]
        world.rabbitmq.wait_until_empty(inbound)
    with world.rabbitmq.channel() as channel:
        _method, properties, first = channel.basic_get(f"{inbound}.dead", auto_ack=True)
    assert properties is not None
    assert properties.headers is not None
    assert properties.headers["trace"] == "x"
    assert properties.headers["slingshot-reason"] == "malformed-id"
    assert properties.expiration is None
    rest = world.rabbitmq.drain(f"{inbound}.dead", len(malformed) - 1)
    assert sorted([first or b"", *rest]) == sorted(malformed)
    world.rabbitmq.delete(f"{inbound}.dead")


def test_an_output_queue_that_was_deleted_is_declared_again(world: World) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    gate = threading.Event()

    def process(request: int, *_: object) -> Any:
        gate.wait(30)
        yield request, True

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"1", b"2", b"3"])
    with running(service(world, process)):
        wait_for(lambda: world.rabbitmq.exists(outbound), what="the outbound queue")
        world.rabbitmq.delete(outbound)
        gate.set()
        assert sorted(world.rabbitmq.drain(outbound, 3)) == [b"1", b"2", b"3"]
        world.rabbitmq.wait_until_empty(inbound)


def test_the_broker_may_be_restarted_and_nothing_is_lost(world: World) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    started, gate = threading.Event(), threading.Event()

    def process(request: int, *_: object) -> Any:
        started.set()
        gate.wait(60)
        yield request, True

    count = 500
    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"%d" % id for id in range(count)])
    with running(service(world, process, reconnect_pause=0.1, reconnect_pause_limit=0.5)):
        assert started.wait(30)
        world.rabbitmq.write_down()
        world.rabbitmq.kill()
        gate.set()
        world.rabbitmq.start()
        sent: set[int] = set()
        while len(sent) < count:  # some may come twice
            sent |= {int(body) for body in world.rabbitmq.drain(outbound, count - len(sent))}
    assert sent == set(range(count))


def test_a_stop_finishes_what_runs_and_hands_back_the_rest(world: World) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    started, gate = threading.Event(), threading.Event()
    runs: list[int] = []

    def process(request: int, *_: object) -> Any:
        runs.append(request)
        started.set()
        gate.wait(30)
        yield request, True

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"%d" % id for id in range(50)])
    with running(service(world, process)) as it:
        assert started.wait(30)
        it.stop()
        wait_for(lambda: world.rabbitmq.consumers(inbound) == 0, what="the consumer to go")
        gate.set()
    assert runs == [0]
    assert world.rabbitmq.drain(outbound, 1) == [b"0"]
    assert sorted(map(int, world.rabbitmq.drain(inbound, 49))) == list(range(1, 50))


def test_reading_a_missing_object_names_bucket_and_id(world: World) -> None:
    inbound = world.queue("in")
    world.describe("svc", inbound)
    errors: list[Exception] = []

    def process(request: int, read_file: Any, *_: object) -> Any:
        try:
            read_file("in", request)
        except ObjectNotFoundError as error:
            errors.append(error)
        return []

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"404"])
    with running(service(world, process)):
        world.rabbitmq.wait_until_empty(inbound)
    assert world.bucket_in in str(errors[0])
    assert "404" in str(errors[0])


def test_a_bucket_is_asked_for_once_and_a_gone_configuration_service_is_no_matter_then(
    world: World,
) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])

    def process(request: int, _read: Any, write_file: Any, _connection: Any) -> Any:
        write_file("out", request).write("x")
        write_file("/out/", request).write("later")
        yield request, True

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"1", b"2", b"3"])
    with running(service(world, process)):
        world.rabbitmq.wait_until_empty(inbound)
    assert world.sys_map.requests.count("/svc/out") == 1
    assert world.s3.get(world.bucket_out, 3) == b"later"


def test_a_message_that_cannot_be_passed_on_as_it_is_does_not_stop_the_others(
    world: World,
) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"no id"], headers={"long": "x" * 130_900})
    world.rabbitmq.publish(inbound, [b"1"], headers={"long": "x" * 131_020})
    world.rabbitmq.publish(inbound, [b"2"])
    with running(service(world)):
        assert sorted(world.rabbitmq.drain(outbound, 2)) == [b"1", b"2"]
        world.rabbitmq.wait_until_empty(inbound)
        assert world.rabbitmq.drain(f"{inbound}.dead", 1) == [b"no id"]
    world.rabbitmq.delete(f"{inbound}.dead")


def test_outputs_of_which_one_has_no_queue_are_all_sent_in_the_end(world: World) -> None:
    inbound, one, two = world.queue("in"), world.queue("out"), world.queue("out")
    world.describe("svc", inbound, [(1, [one]), (2, [two])])
    gate = threading.Event()

    def process(request: int, *_: object) -> Any:
        gate.wait(30)
        yield request, 1 + request % 2

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"%d" % id for id in range(100)])
    with running(service(world, process)):
        wait_for(lambda: world.rabbitmq.exists(two), what="the outbound queues")
        world.rabbitmq.delete(one)
        world.rabbitmq.delete(two)
        gate.set()
        assert sorted(map(int, world.rabbitmq.drain(one, 50))) == list(range(0, 100, 2))
        assert sorted(map(int, world.rabbitmq.drain(two, 50))) == list(range(1, 100, 2))
        world.rabbitmq.wait_until_empty(inbound)
    assert world.rabbitmq.depth(one) == world.rabbitmq.depth(two) == 0


def test_the_next_host_of_a_cluster_is_tried(world: World) -> None:
    inbound = world.queue("in")
    hosts = ["localhost.invalid", world.rabbitmq.host]
    world.describe("svc", inbound, rabbitmq={"host": hosts})
    with running(service(world, reconnect_pause=0.1)):
        wait_for(
            lambda: world.rabbitmq.exists(inbound) and world.rabbitmq.consumers(inbound),
            what="a consumer",
        )


def test_a_store_that_refuses_fails_the_request_and_loses_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    inbound = world.queue("in")
    world.describe("svc", inbound, storage={"pass:secret-key": "world/mq"})
    failed = threading.Event()

    def process(request: int, read_file: Any, *_: object) -> Any:
        try:
            read_file("in", request)
        finally:
            failed.set()

    world.rabbitmq.declare(inbound)
    world.rabbitmq.publish(inbound, [b"3"])
    with running(service(world, process)):
        assert failed.wait(30)
    assert world.rabbitmq.drain(inbound, 1) == [b"3"]
    assert "request 3 failed" in caplog.text
    assert world.rabbitmq.password not in caplog.text
