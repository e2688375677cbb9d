"""What becomes of messages, with the wire cut away: real books, stand-ins for connections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from slingshot_microservice.broker.amqp import Server
from slingshot_microservice.broker.properties import encode_properties, make_properties
from slingshot_microservice.broker.protocol import Failure
from slingshot_microservice.broker.rabbitmq import RabbitMQBroker
from slingshot_microservice.broker.requeue import RequeuePauses
from slingshot_microservice.broker.retries import RetryPolicy
from slingshot_microservice.hotpath import FrameReader, RawDelivery, Received

NOTHING = Received([], [], [], [], b"")
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
SUSPECT: dict[str, object] = {"slingshot-deaths": 0}


class Kit:
    """A broker whose connections are not there, and what it sent past the hot path."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.broker = RabbitMQBroker(
            Server(("nowhere",), 1, "user", "secret", 15, 1, 1),
            service="shout",
            inbound="in",
            outbound=["out"],
            prefetch=100,
            workers=1,
            open_timeout=1,
            policy=RetryPolicy(attempts=5, delays=(1.0,), deaths=3),
            pauses=RequeuePauses(0.1, 1),
            confirm_timeout=60,
            consumer_timeout=1_800,
            on_failure=self.failures.append,
        )
        self.copies: list[tuple[str, Any]] = []
        self.acked: list[bytes] = []
        channel = SimpleNamespace(
            is_open=True,
            basic_publish=lambda _exchange, queue, _body, properties, mandatory: (
                self.copies.append((queue, properties)) if mandatory else None
            ),
        )
        self.consumer, self.publisher = self.broker._consumer, self.broker._publisher
        self.consumer.link = SimpleNamespace(send=self.acked.append, channel=channel)  # type: ignore[assignment]
        self.sent: list[bytes] = []
        self.publisher.link = SimpleNamespace(send=self.sent.append, channel=channel)  # type: ignore[assignment]
        self.broker._io.end()
        self.broker._io = SimpleNamespace(is_alive=True, call=lambda call: call())  # type: ignore[assignment]
        self.publisher._on_confirms_on(None)
        self.consumer._begin_epoch()
        self.consumer.subscription.wanted = True
        self.tag = 0

    def deliver(self, headers: dict[str, object], *, redelivered: bool = False) -> None:
        """Let id 7 come in with these headers."""
        properties = make_properties(headers=headers, delivery_mode=2)
        self.tag += 1
        raw = RawDelivery(self.tag, redelivered, encode_properties(properties), b"7")
        self.consumer.on_received(NOTHING._replace(raw=[raw]))

    def lose_and_find_the_channel(self) -> None:
        """Begin another life of the channel."""
        self.consumer.on_lost()
        self.consumer._begin_epoch()
        self.publisher._on_confirms_on(None)
        self.consumer.subscription.wanted = True
        self.tag = 0

    def idle(self) -> bool:
        """Whether nothing waits for an answer."""
        return self.publisher.is_idle

    def confirm(self) -> None:
        """Confirm everything that was published."""
        self.publisher.on_received(NOTHING._replace(confirms=[(0, True, True)]))


@pytest.fixture
def kit() -> Kit:
    return Kit()


def test_a_suspect_that_is_handed_back_has_seen_no_death(kit: Kit) -> None:
    kit.deliver(SUSPECT)
    kit.consumer.cancel()
    ((queue, properties),) = kit.copies
    assert (queue, properties.headers) == ("in.suspect", SUSPECT)
    assert not kit.idle(), "a drain waits for the copy"
    kit.confirm()
    assert kit.idle()
    assert len(kit.acked) == 1


def test_a_suspect_that_comes_back_from_the_dead_has_seen_one_more(kit: Kit) -> None:
    kit.deliver(SUSPECT, redelivered=True)
    ((queue, properties),) = kit.copies
    assert (queue, properties.headers) == ("in.suspect", {"slingshot-deaths": 1})


def test_the_third_death_parks(kit: Kit) -> None:
    kit.deliver({"slingshot-deaths": 2}, redelivered=True)
    ((queue, properties),) = kit.copies
    assert queue == "in.dead"
    assert properties.headers["slingshot-reason"] == "worker-died"


def test_an_ordinary_message_is_given_back_as_it_is(kit: Kit) -> None:
    kit.deliver({"slingshot-attempts": 1})
    kit.consumer.cancel()
    assert not kit.copies
    assert len(kit.acked) == 1


def test_what_was_given_back_too_often_is_sent_anew(kit: Kit) -> None:
    kit.consumer.recent.add([7])
    kit.deliver({"x-delivery-count": 5, "slingshot-attempts": 2}, redelivered=True)
    ((queue, properties),) = kit.copies
    assert (queue, properties.headers["slingshot-attempts"]) == ("in.retry.100", 2)
    assert "x-delivery-count" not in properties.headers


def test_a_failure_that_outlasts_its_channel_counts(kit: Kit) -> None:
    receiver = kit.broker.receiver()
    kit.deliver({"slingshot-attempts": 1})
    work = receiver.receive()
    assert work is not None
    kit.lose_and_find_the_channel()
    kit.broker.fail(work[0], 1, 7, Failure("rejected", "Reject", "never"))
    kit.deliver({"slingshot-attempts": 1}, redelivered=True)
    kit.deliver({"slingshot-attempts": 3})
    assert receiver.receive() == (kit.consumer.epoch, (2, 7, False)), "it is not run again"
    ((queue, properties),) = kit.copies
    assert queue == "in.dead"
    assert properties.headers["slingshot-attempts"] == 2


def test_a_late_result_settles_its_message_and_no_other(kit: Kit) -> None:
    receiver = kit.broker.receiver()
    kit.deliver({"slingshot-attempts": 1})
    work = receiver.receive()
    assert work is not None
    kit.lose_and_find_the_channel()
    kit.broker.finish(work[0], 1, 7, [])
    kit.deliver({"slingshot-attempts": 1})
    assert receiver.receive() == (kit.consumer.epoch, (1, 7, False)), "another of that id"
    kit.deliver({"slingshot-attempts": 1}, redelivered=True)
    kit.deliver({"slingshot-attempts": 1}, redelivered=True)
    assert receiver.receive() == (kit.consumer.epoch, (3, 7, True)), "it settles one, once"


def test_a_heartbeat_is_no_confirm(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("slingshot_microservice.broker.publisher.time.monotonic", lambda: now)
    assert kit.publisher.unanswered_seconds == 0
    kit.deliver({"slingshot-attempts": 1})
    kit.broker.finish(1, 1, 7, [(0, 7)])
    reader = FrameReader(1)
    for now in range(0, 121, 6):  # noqa: B007  # the clock reads it
        kit.publisher.on_received(reader.feed(HEARTBEAT))
    assert kit.publisher.unanswered_seconds == 120
    kit.confirm()
    assert kit.publisher.unanswered_seconds == 0


@pytest.mark.parametrize(
    ("waiting", "seconds", "pieces"),
    [(64, 0.0, 2), (1, 0.0, 3), (64, 0.003, 3)],
    ids=["of many, quickly", "of few", "of many, slowly"],
)
def test_what_is_finished_quickly_while_much_is_in_hand_leaves_together(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, waiting: int, seconds: float, pieces: int
) -> None:
    broker, now = kit.broker, 100.0
    receiver = broker.receiver()
    tags = range(1, waiting + 4)
    kit.consumer.on_received(NOTHING._replace(deliveries=[(tag, tag, False) for tag in tags]))
    works = [receiver.receive() for _ in range(3)]

    def finish(_seconds: float = 0.0) -> None:
        nonlocal now
        now += seconds
        if works and (work := works.pop(0)) is not None:
            epoch, (tag, id, _) = work
            broker.finish(epoch, tag, id, [(0, id)])

    # While the I/O thread sleeps, a worker finishes another one.
    monkeypatch.setattr("slingshot_microservice.broker.rabbitmq.time.sleep", finish)
    monkeypatch.setattr("slingshot_microservice.broker.rabbitmq.time.monotonic", lambda: now)
    kit.sent.clear()
    for _ in range(3):
        finish()
    assert len(kit.sent) == pieces
    assert b"".join(kit.sent).count(b"out") == 3
