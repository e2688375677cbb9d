"""Walks past real queues of the dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from servers.ports import wait_for
from servers.rabbitmq import RabbitMQNode

from slingshot_microservice.broker.amqp import Server
from slingshot_microservice.errors import BrokerError
from slingshot_microservice.parked import holdings
from slingshot_microservice.parked.queue import ParkedQueue
from slingshot_microservice.parked.walk import ParkedWalk

_COUNT = 1200  # some windows
_MANY = 10_000


@pytest.fixture
def inbound(rabbitmq: RabbitMQNode, queue_name: Callable[..., str]) -> str:
    name = queue_name("inbound")
    rabbitmq.declare(name)
    return name


@pytest.fixture
def server(rabbitmq: RabbitMQNode) -> Server:
    return Server(
        hosts=("127.0.0.2", rabbitmq.host),  # nothing answers at the first
        port=rabbitmq.port,
        username=rabbitmq.username,
        password=rabbitmq.password,
        heartbeat=15,
        reconnect_pause=0.5,
        reconnect_pause_limit=1,
    )


@pytest.fixture
def parked(server: Server, inbound: str) -> Iterator[ParkedQueue]:
    with ParkedQueue(server, inbound) as parked:
        yield parked


@pytest.fixture(params=["classic", "quorum"])
def dead(request: pytest.FixtureRequest, rabbitmq: RabbitMQNode, inbound: str) -> str:
    """A queue of the dead, of either type, which loses what is given back to it too often."""
    name = f"{inbound}.dead"
    limit = {"x-delivery-limit": 10} if request.param == "quorum" else {}
    rabbitmq.declare(name, arguments={"x-queue-type": request.param, **limit})
    return name


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is not given up because RabbitMQ is slow."""
    monkeypatch.setattr(holdings, "_LOOK_SECONDS", 30.0)


def _bodies(count: int) -> list[bytes]:
    return [b"%d" % id for id in range(count)]


@pytest.mark.usefixtures("patient")
def test_a_walk_sees_each_message_once_and_in_order(
    parked: ParkedQueue, dead: str, rabbitmq: RabbitMQNode
) -> None:
    rabbitmq.publish(dead, _bodies(_COUNT))
    for _ in range(2):
        with parked.walk() as walk:
            seen = [(message.position, message.body) for message in walk]
        assert seen == list(enumerate(_bodies(_COUNT), 1))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("stop_at", [1, 16, 17, 700])
def test_a_walk_that_ends_early_leaves_the_order(
    stop_at: int, parked: ParkedQueue, dead: str, rabbitmq: RabbitMQNode
) -> None:
    rabbitmq.publish(dead, _bodies(_COUNT))
    with parked.walk() as walk:
        for message in walk:
            if message.position == stop_at:
                break
    assert rabbitmq.drain(dead, _COUNT) == _bodies(_COUNT)


def test_what_is_parked_meanwhile_is_not_seen(
    parked: ParkedQueue, dead: str, rabbitmq: RabbitMQNode
) -> None:
    rabbitmq.publish(dead, _bodies(40))
    with parked.walk() as walk, rabbitmq.channel() as channel:
        seen = []
        for message in walk:
            seen.append(message.body)
            channel.basic_publish("", dead, b"later")
    assert seen == _bodies(40)
    assert rabbitmq.drain(dead, 80) == [*_bodies(40), *[b"later"] * 40]


def test_looking_often_loses_nothing(
    parked: ParkedQueue, dead: str, rabbitmq: RabbitMQNode
) -> None:
    rabbitmq.publish(dead, _bodies(50), headers={"slingshot-reason": "failed"})
    for look in range(25):
        with parked.walk() as walk:
            for message in walk:
                if look % 2 and message.position == 20:
                    break
    assert sorted(rabbitmq.drain(dead, 50)) == sorted(_bodies(50))


@pytest.mark.usefixtures("patient")
def test_some_are_removed_and_the_others_keep_their_order(
    parked: ParkedQueue, dead: str, inbound: str, rabbitmq: RabbitMQNode
) -> None:
    rabbitmq.publish(dead, _bodies(_COUNT))
    with parked.walk() as walk:
        for message in walk:
            act = (ParkedWalk.remove, ParkedWalk.replay, None)[message.position % 3]
            if act:
                act(walk, message)
    assert walk.taken_out == _COUNT * 2 // 3
    assert rabbitmq.drain(inbound, _COUNT // 3) == _bodies(_COUNT)[::3]
    assert rabbitmq.drain(dead, _COUNT // 3) == _bodies(_COUNT)[1::3]


def test_what_was_removed_does_not_come_back(
    dead: str, rabbitmq: RabbitMQNode, server: Server, inbound: str
) -> None:
    rabbitmq.publish(dead, _bodies(_MANY))
    with ParkedQueue(server, inbound) as parked, parked.walk() as walk:
        for message in walk:
            walk.remove(message)
    wait_for(lambda: not rabbitmq.consumers(dead), what="the end of the walk")
    assert rabbitmq.depth(dead) == 0
    # What is told of quorum queues is some seconds old.
    wait_for(lambda: rabbitmq.unsettled(dead) == 0, what="the last acknowledgement")
    assert rabbitmq.depth(dead) == 0


def test_what_others_take_is_not_waited_for(
    parked: ParkedQueue, dead: str, rabbitmq: RabbitMQNode
) -> None:
    rabbitmq.publish(dead, _bodies(100))
    with parked.walk() as walk:
        messages = iter(walk)
        assert next(messages).body == b"0"
        assert len(rabbitmq.drain(dead, 84)) == 84
        assert len(list(messages)) == 15
    assert rabbitmq.drain(dead, 16) == _bodies(16)


def test_after_an_error_of_the_caller_nothing_more_is_removed(
    parked: ParkedQueue, dead: str, rabbitmq: RabbitMQNode
) -> None:
    rabbitmq.publish(dead, _bodies(30))

    def fail_at(position: int) -> None:
        with parked.walk() as walk:
            for message in walk:
                walk.remove(message)
                if message.position == position:
                    raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_at(20)
    assert rabbitmq.drain(dead, 14) == _bodies(30)[16:]


def test_large_messages_are_taken_few_at_a_time(
    parked: ParkedQueue, dead: str, rabbitmq: RabbitMQNode
) -> None:
    body = bytes(2 * 1024 * 1024)
    rabbitmq.publish(dead, [body] * 40)
    with parked.walk() as walk:
        for message in walk:
            assert message.body == body
            taken = 40 - rabbitmq.depth(dead)
            assert taken - message.position < (16 if message.position <= 16 else 8)


def test_a_queue_that_is_deleted_meanwhile(
    parked: ParkedQueue, dead: str, rabbitmq: RabbitMQNode
) -> None:
    rabbitmq.publish(dead, _bodies(100))

    def walk_past_a_deletion() -> None:
        with parked.walk() as walk:
            for message in walk:
                if message.position == 1:
                    rabbitmq.delete(dead)

    with pytest.raises(BrokerError, match="404 NOT_FOUND"):
        walk_past_a_deletion()
