"""Several requests at the same time, and how many wait in hand, on real servers."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from servers.ports import wait_for
from servers.world import World, running
from sqlalchemy import text

from slingshot_microservice import Microservice

BOUND = 60.0  # seconds after which waiting has failed
QUICK_IDS = 20_000
HUNDREDS = 128


def yield_true(request: int, *_others: object) -> Any:
    yield request, True


class Kit:
    """A service between two queues that are there."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.inbound, self.outbound = world.queue("in"), world.queue("out")
        for queue in (self.inbound, self.outbound):
            world.rabbitmq.declare(queue)
        world.describe("svc", self.inbound, [(True, [self.outbound])])

    def service(self, process: Any = yield_true, **options: Any) -> Microservice:
        return Microservice("svc", self.world.sys_map.url, process, **options)

    def send(self, *ids: int) -> None:
        self.world.rabbitmq.publish(self.inbound, [b"%d" % id for id in ids])

    def outputs(self, count: int) -> list[int]:
        return sorted(map(int, self.world.rabbitmq.drain(self.outbound, count)))

    def prefetch(self) -> int:
        """Ask RabbitMQ what the consumer of the inbound queue has; 0 while there is none."""
        listing = self.world.rabbitmq.control(
            "-q", "list_consumers", "queue_name", "prefetch_count"
        )
        rows = [line.split() for line in listing.splitlines()]
        return next((int(row[1]) for row in rows if row[0] == self.inbound), 0)

    def keep_busy_until_it_holds(self, prefetch: int) -> None:
        """Send the quick ids, again if there was a stall, until so many may be in hand."""

        def holds() -> bool:
            self.send(*range(QUICK_IDS))
            assert self.outputs(QUICK_IDS) == list(range(QUICK_IDS))
            return self.prefetch() >= prefetch

        wait_for(holds, BOUND, f"a prefetch of {prefetch}")


@pytest.fixture
def kit(world: World) -> Kit:
    return Kit(world)


def test_as_many_requests_as_threads_run_at_the_same_time(kit: Kit) -> None:
    together = threading.Barrier(4)

    def process(request: int, *_others: object) -> Any:
        together.wait(BOUND)
        yield request, True

    kit.send(*range(8))
    with running(kit.service(process, threads=4)):
        assert kit.outputs(8) == list(range(8))
        kit.world.rabbitmq.wait_until_empty(kit.inbound)


def test_a_slow_request_holds_up_no_other(kit: Kit) -> None:
    go_on = threading.Event()

    def process(request: int, *_others: object) -> Any:
        if request == 0:
            go_on.wait(BOUND)
        yield request, True

    kit.send(*range(200))
    with running(kit.service(process, threads=2, prefetch=10)):
        assert kit.outputs(199) == list(range(1, 200)), "and what is done is acknowledged"
        go_on.set()
        assert kit.outputs(1) == [0]
        kit.world.rabbitmq.wait_until_empty(kit.inbound)


def test_each_thread_has_a_connection_and_files_of_its_own(kit: Kit) -> None:
    together = threading.Barrier(3)
    backends: Counter[int] = Counter()

    def process(request: int, _read: Any, write_file: Any, connection: Any) -> Any:
        backends[connection.execute(text("SELECT pg_backend_pid()")).scalar_one()] += 1
        write_file("out", request).write(f"of {request}")
        together.wait(BOUND)
        yield request, True

    kit.send(*range(9))
    with running(kit.service(process, threads=3)):
        kit.outputs(9)
    assert len(backends) == 3
    files = {id: kit.world.s3.get(kit.world.bucket_out, id) for id in range(9)}
    assert files == {id: b"of %d" % id for id in range(9)}


def test_what_has_not_begun_goes_back_while_others_still_run(kit: Kit) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def process(request: int, *_others: object) -> Any:
        begun.release()
        go_on.wait(BOUND)
        yield request, True

    kit.send(*range(50))
    service = kit.service(process, threads=2, prefetch=50)
    with running(service):
        for _ in range(2):
            assert begun.acquire(timeout=BOUND)
        service.stop()
        wait_for(lambda: kit.world.rabbitmq.depth(kit.inbound) == 48, BOUND, "48 handed back")
        go_on.set()
    assert kit.outputs(2) == [0, 1]
    assert kit.world.rabbitmq.depth(kit.inbound) == 48


def test_a_quick_service_holds_hundreds(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with running(kit.service()):
        kit.keep_busy_until_it_holds(HUNDREDS)
        kit.world.rabbitmq.wait_until_empty(kit.inbound)
    told = [message for message in caplog.messages if "prefetch is" in message]
    assert 1 <= len(told) <= 10, told


def test_a_slow_service_leaves_to_idle_replicas_what_they_can_take(kit: Kit) -> None:
    go_on = threading.Event()
    taken: Counter[str] = Counter()

    def process(request: int, *_others: object) -> Any:
        taken[threading.current_thread().name[:3]] += 1
        go_on.wait(BOUND)
        yield request, True

    kit.send(*range(10))
    with running(kit.service(process)):
        wait_for(lambda: sum(taken.values()) == 1, BOUND)
        assert kit.world.rabbitmq.depth(kit.inbound) == 8, "one runs, and one waits"
        assert kit.prefetch() == 2
        go_on.set()
        assert kit.outputs(10) == list(range(10))


def test_a_service_that_becomes_slow_lets_go_of_what_it_holds(kit: Kit) -> None:
    slow, go_on = threading.Event(), threading.Event()

    def process(request: int, *_others: object) -> Any:
        if request >= QUICK_IDS:
            slow.set()
            go_on.wait(BOUND)
        yield request, True

    ids = range(QUICK_IDS, QUICK_IDS + 200)
    with running(kit.service(process)):
        kit.keep_busy_until_it_holds(HUNDREDS)
        kit.world.rabbitmq.wait_until_empty(kit.inbound)
        held = kit.prefetch()
        kit.send(*ids)
        assert slow.wait(BOUND)
        wait_for(lambda: kit.prefetch() < held, BOUND, "a smaller prefetch")
        wait_for(lambda: kit.world.rabbitmq.depth(kit.inbound) >= 100, BOUND, "some to go back")
        go_on.set()
        assert kit.outputs(200) == list(ids)
        kit.world.rabbitmq.wait_until_empty(kit.inbound)
