"""A stop in good order, as RabbitMQ sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from servers.ports import wait_for
from servers.proxy import Direction, Proxy
from servers.rabbitmq import RabbitMQNode

from slingshot_microservice.broker.amqp import Server
from slingshot_microservice.broker.protocol import suspect_queue_name
from slingshot_microservice.broker.rabbitmq import RabbitMQBroker
from slingshot_microservice.broker.requeue import RequeuePauses
from slingshot_microservice.broker.retries import DEATHS_HEADER, RetryPolicy

BOUND = 60.0  # seconds after which waiting has failed


def test_what_is_on_its_way_is_waited_for_and_nobody_has_died_of_it(
    rabbitmq: RabbitMQNode, queue_name: Callable[..., str]
) -> None:
    inbound = queue_name("in")
    suspect = suspect_queue_name(inbound)
    rabbitmq.declare(suspect)  # a classic one says at once what it holds
    closed: list[bool] = []
    with Proxy(rabbitmq.host, rabbitmq.port) as proxy:
        broker = RabbitMQBroker(
            Server((proxy.host,), proxy.port, rabbitmq.username, rabbitmq.password, 15, 0.1, 0.1),
            service="shout",
            inbound=inbound,
            outbound=[],
            prefetch=1,
            workers=1,
            open_timeout=BOUND,
            policy=RetryPolicy(attempts=3, delays=(1.0,), deaths=3),
            pauses=RequeuePauses(1, 1),
            confirm_timeout=BOUND,
            consumer_timeout=1_800,
            on_failure=lambda error: None,
        )
        broker.open()
        broker.consume()
        proxy.hold(Direction.DOWN)
        rabbitmq.publish(suspect, [b"7"], headers={DEATHS_HEADER: 1})
        wait_for(lambda: not rabbitmq.depth(suspect), BOUND, "the message to be on its way")
        broker.cancel()
        closing = threading.Thread(target=lambda: closed.append(broker.close(BOUND)))
        closing.start()
        wait_for(lambda: broker._closing, BOUND)
        proxy.release(Direction.DOWN)
        closing.join(BOUND)
    assert closed == [True]
    with rabbitmq.channel() as channel:
        method, _properties, body = channel.basic_get(suspect, auto_ack=True)
    assert method is not None
    assert body == b"7"
    assert not method.redelivered, "it would count as a death"
