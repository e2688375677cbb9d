"""Queues inside the process behave as RabbitMQ's do where a service can tell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from slingshot_microservice.broker.memory import MemoryBroker, MemoryQueues
from slingshot_microservice.broker.protocol import Failure
from slingshot_microservice.broker.requeue import RequeuePauses
from slingshot_microservice.broker.retries import RetryPolicy
from slingshot_microservice.hotpath import Work

SOON = 0.01  # seconds of a pause that a test waits for
LONG = 600.0  # seconds of a pause that a test does not wait for
BOUND = 20.0  # seconds after which waiting has failed
FAILED = Failure("failed", "ValueError", "no")
POLICY = RetryPolicy(attempts=3, delays=(SOON,), deaths=3)

Open = Callable[..., MemoryBroker]


@pytest.fixture
def queues() -> MemoryQueues:
    return MemoryQueues()


@pytest.fixture
def consume(queues: MemoryQueues) -> Open:
    """Makes a broker that consumes."""

    def make(
        *, inbound: str = "in", prefetch: int = 100, policy: RetryPolicy | None = POLICY
    ) -> MemoryBroker:
        broker = MemoryBroker(
            queues,
            inbound=inbound,
            outbound=["a", "b"],
            prefetch=prefetch,
            policy=policy,
            pauses=RequeuePauses(SOON, SOON),
        )
        broker.open()
        broker.consume()
        return broker

    return make


@pytest.fixture
def aside() -> Iterator[Callable[[MemoryBroker], Future[Work | None]]]:
    """Receives on another thread."""
    with ThreadPoolExecutor() as pool:
        yield lambda broker: pool.submit(broker.receive)


def received(broker: MemoryBroker, count: int = 1) -> list[tuple[int, int]]:
    """Receive so many deliveries as (tag, id)."""
    works = [broker.receive() for _ in range(count)]
    return [(work[1][0], work[1][1]) for work in works if work is not None]


def ids(broker: MemoryBroker, count: int = 1) -> list[int]:
    return [id for _, id in received(broker, count)]


def finish(broker: MemoryBroker, tag: int) -> None:
    broker.finish(1, tag, 0, [])


def wait(broker: MemoryBroker, tag: int, seconds: float) -> None:
    broker.fail(1, tag, 0, FAILED._replace(after=seconds))


def put(queues: MemoryQueues, *ids: int) -> None:
    queues.publish("in", [b"%d" % id for id in ids])


def test_opening_makes_the_queues(queues: MemoryQueues, consume: Open) -> None:
    queues.publish("a", [b"5"])
    consume()
    assert queues.depths() == {"in": 0, "a": 1, "b": 0}


def test_messages_come_in_order_with_tags_from_one(queues: MemoryQueues, consume: Open) -> None:
    put(queues, 30, 10, 20, 2**64 - 1)
    assert received(consume(), 4) == [(1, 30), (2, 10), (3, 20), (4, 2**64 - 1)]


def test_nothing_comes_before_consume(queues: MemoryQueues) -> None:
    put(queues, 1)
    broker = MemoryBroker(
        queues,
        inbound="in",
        outbound=[],
        prefetch=1,
        policy=POLICY,
        pauses=RequeuePauses(SOON, SOON),
    )
    broker.open()
    broker.cancel()
    assert broker.receive() is None
    assert queues.bodies("in") == [b"1"]


def test_no_more_are_in_hand_than_prefetch_allows(
    queues: MemoryQueues, consume: Open, aside: Callable[[MemoryBroker], Future[Work | None]]
) -> None:
    put(queues, 1, 2, 3, 4)
    broker = consume(prefetch=2)
    assert ids(broker, 2) == [1, 2]
    waiting = aside(broker)
    assert queues.bodies("in") == [b"3", b"4"], "whatever the thread has come to"
    finish(broker, 2)
    assert waiting.result(BOUND) == (1, (3, 3, False))
    assert queues.bodies("in") == [b"4"]


def test_outputs_are_published_in_order(queues: MemoryQueues, consume: Open) -> None:
    put(queues, 1)
    broker = consume()
    ((tag, _),) = received(broker)
    broker.finish(1, tag, 0, [(0, 5), (1, 6), (0, 2**64 - 1), (0, 0)])
    assert queues.bodies("a") == [b"5", b"18446744073709551615", b"0"]
    assert queues.bodies("b") == [b"6"]
    assert broker.close(0), "nothing is in hand any more"
    assert queues.depths()["in"] == 0


def test_send_publishes_what_belongs_to_no_delivery(queues: MemoryQueues, consume: Open) -> None:
    consume().send([(1, 7), (1, 8)])
    assert queues.bodies("b") == [b"7", b"8"]


def test_what_is_handed_back_comes_first(queues: MemoryQueues, consume: Open) -> None:
    put(queues, 1, 2, 3)
    broker = consume(prefetch=2)
    assert received(broker, 2) == [(1, 1), (2, 2)]
    broker.hand_back(1, 2, 0)
    assert queues.bodies("in") == [b"2", b"3"]
    assert received(broker) == [(3, 2)], "under a new tag"
    broker.hand_back(1, 2, 0)
    assert queues.bodies("in") == [b"3"], "a tag that is settled hands nothing back"


def test_a_pause_keeps_a_message_in_hand(queues: MemoryQueues, consume: Open) -> None:
    put(queues, 1, 2)
    broker = consume(prefetch=1)
    assert ids(broker) == [1]
    wait(broker, 1, LONG)
    assert queues.bodies("in") == [b"2"]
    assert not queues.wait_until_idle(0)
    assert not broker.close(0)
    assert queues.bodies("in") == [b"1", b"2"]


def test_a_message_comes_again_after_its_pause(
    queues: MemoryQueues, consume: Open, aside: Callable[[MemoryBroker], Future[Work | None]]
) -> None:
    put(queues, 1)
    broker = consume()
    assert ids(broker) == [1]
    waiting = aside(broker)  # before the pause is known, so that it must be woken
    wait(broker, 1, SOON)
    assert waiting.result(BOUND) == (1, (2, 1, False)), "under a new tag"


def test_the_shorter_pause_ends_first(
    queues: MemoryQueues, consume: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("slingshot_microservice.broker.memory.time", clock)
    put(queues, 1, 2, 3)
    broker = consume()
    assert ids(broker, 3) == [1, 2, 3]
    wait(broker, 1, LONG)
    wait(broker, 3, 3.0)
    wait(broker, 2, 1.0)
    now = 2.0
    assert ids(broker) == [2]
    assert queues.bodies("in") == [], "the others still wait"
    now = 4.0
    assert ids(broker) == [3]
    assert queues.bodies("in") == []


def test_a_receiver_is_woken_by_a_message(
    queues: MemoryQueues, consume: Open, aside: Callable[[MemoryBroker], Future[Work | None]]
) -> None:
    waiting = aside(consume())
    put(queues, 9)
    assert waiting.result(BOUND) == (1, (1, 9, False))


def test_cancel_wakes_every_receiver(
    consume: Open, aside: Callable[[MemoryBroker], Future[Work | None]]
) -> None:
    broker = consume()
    waiting = [aside(broker) for _ in range(3)]
    broker.cancel()
    assert [receiver.result(BOUND) for receiver in waiting] == [None] * 3
    assert broker.receive() is None, "and whoever comes later"


def test_cancel_hands_back_what_waits_and_takes_no_more(
    queues: MemoryQueues, consume: Open
) -> None:
    put(queues, 1, 2, 3)
    broker = consume(prefetch=2)
    assert ids(broker, 2) == [1, 2]
    wait(broker, 1, LONG)
    broker.cancel()
    assert queues.bodies("in") == [b"1", b"3"]
    assert broker.receive() is None
    wait(broker, 2, LONG)
    assert queues.bodies("in") == [b"2", b"1", b"3"], "after cancel there is no pause"
    assert broker.close(0)


def test_close_returns_what_is_in_hand_in_order(queues: MemoryQueues, consume: Open) -> None:
    put(queues, 1, 2, 3, 4)
    broker = consume(prefetch=3)
    assert ids(broker, 3) == [1, 2, 3]
    finish(broker, 2)
    broker.cancel()
    assert not broker.close(0)
    assert queues.bodies("in") == [b"1", b"3", b"4"]
    assert broker.close(0)


@pytest.mark.parametrize("body", [b"", b"no id", b"-1", b"18446744073709551616", b"\xff\x00"])
def test_a_body_that_is_no_id_is_parked(
    queues: MemoryQueues, consume: Open, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    queues.publish("in", [b"1", body, b"2"])
    broker = consume()
    assert received(broker, 2) == [(1, 1), (3, 2)]
    assert queues.bodies("in.dead") == [body]
    ((_, level, text),) = caplog.record_tuples
    assert level == logging.ERROR
    assert "is no id" in text
    assert "parked in queue 'in.dead'" in text
    finish(broker, 1)
    finish(broker, 3)
    assert queues.wait_until_idle(0), "it is in nobody's hand"


def test_more_bad_bodies_than_prefetch_do_not_stall_the_queue(
    queues: MemoryQueues, consume: Open
) -> None:
    queues.publish("in", [b"?"] * 50 + [b"7"])
    assert ids(consume(prefetch=2)) == [7]
    assert queues.depths()["in.dead"] == 50


def test_consumers_of_one_queue_share_its_messages(queues: MemoryQueues, consume: Open) -> None:
    put(queues, 1, 2, 3)
    one, other = consume(prefetch=2), consume(prefetch=2)
    assert (ids(one, 2), ids(other)) == ([1, 2], [3])
    one.cancel()
    one.close(0)
    assert ids(other) == [1], "what one hands back the other gets, up to its prefetch"


def test_a_chain_is_idle_when_its_last_message_is_done(queues: MemoryQueues, consume: Open) -> None:
    put(queues, 1)
    first, second = consume(), consume(inbound="a")
    ((tag, id),) = received(first)
    assert not queues.wait_until_idle(0), "one is in hand"
    first.finish(1, tag, id, [(0, id), (1, id)])
    assert not queues.wait_until_idle(0), "one is in the second queue"
    ((tag, _),) = received(second)
    assert not queues.wait_until_idle(0)
    finish(second, tag)
    assert queues.wait_until_idle(0), "nobody consumes what is left in the last one"
    assert queues.bodies("b") == [b"1"]


def test_whoever_waits_for_idleness_is_woken(queues: MemoryQueues, consume: Open) -> None:
    put(queues, 1)
    broker = consume()
    ((tag, _),) = received(broker)
    with ThreadPoolExecutor() as pool:
        idle = pool.submit(queues.wait_until_idle, BOUND)
        finish(broker, tag)
        assert idle.result(BOUND)


def test_many_threads_lose_and_double_nothing(queues: MemoryQueues, consume: Open) -> None:
    put(queues, *range(2_000))
    broker = consume(prefetch=7)

    def work() -> None:
        while (received := broker.receive()) is not None:
            epoch, (tag, id, _) = received
            broker.finish(epoch, tag, id, [(0, id)])

    with ThreadPoolExecutor() as pool:
        workers = [pool.submit(work) for _ in range(4)]
        assert queues.wait_until_idle(BOUND)
        broker.cancel()
        for worker in workers:
            worker.result(BOUND)
    assert sorted(map(int, queues.bodies("a"))) == list(range(2_000))


def test_says_what_keeps_it_from_taking_messages(consume: Open, queues: MemoryQueues) -> None:
    broker = consume()
    assert broker.trouble() is None
    broker.pause("the store is away")
    broker.pause("the database is away")
    assert broker.trouble() == "paused: the database is away, the store is away"
    broker.resume("the database is away")
    assert broker.trouble() == "paused: the store is away"
    broker.resume("the store is away")
    assert broker.trouble() is None
    broker.cancel()
    assert broker.trouble() == "not consuming"
    assert not broker.has_died()


def test_workers_count_failures_one_at_a_time(queues: MemoryQueues) -> None:
    class Watched(RequeuePauses):
        def relax(self) -> None:
            with ThreadPoolExecutor() as pool:
                others = pool.submit(queues.changed.acquire, blocking=False).result(BOUND)
            assert not others, "another worker may be in the middle of `failed`"
            super().relax()

    pauses = Watched(SOON, SOON)
    broker = MemoryBroker(queues, inbound="in", outbound=[], prefetch=1, policy=None, pauses=pauses)
    broker.open()
    broker.consume()
    queues.publish("in", [b"1"])
    ((tag, _),) = received(broker)
    finish(broker, tag)
