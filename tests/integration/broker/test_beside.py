"""The queues beside the inbound one, as the real broker makes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from servers.rabbitmq import RabbitMQNode

from slingshot_microservice.broker.queues import QueueBook

_GIVEN_BACK = 25  # RabbitMQ 4 throws away after 20 by itself


@pytest.mark.parametrize("name", ["dead", "suspect"])
def test_what_is_given_back_again_and_again_is_not_thrown_away(
    rabbitmq: RabbitMQNode, queue_name: Callable[..., str], name: str
) -> None:
    book = QueueBook("in", [])
    queue = queue_name("beside")
    rabbitmq.declare(queue, arguments=book.spec(getattr(book, name)).arguments[0])
    rabbitmq.publish(queue, [b"7"])
    for _ in range(_GIVEN_BACK):
        with rabbitmq.channel() as channel:
            _method, _properties, body = next(channel.consume(queue, inactivity_timeout=10))
            assert body == b"7"
