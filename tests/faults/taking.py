"""Taking out what a queue holds, so that nothing is counted twice or lost when that fails."""

from __future__ import annotations

from typing import Any, NamedTuple

from pika.exceptions import ChannelClosedByBroker
from servers.queues import QueueClient, counts

__all__ = ["Message", "take"]

_NOT_FOUND = 404
_MAX_PREFETCH = 65_535  # AMQP carries it in 16 bits
_PATIENCE_SECONDS = 10.0  # for messages that the broker has said to be there


class Message(NamedTuple):
    """A message, as a test sees it."""

    body: bytes
    headers: dict[str, Any]


def take(client: QueueClient, queue: str) -> list[Message]:
    """Take what waits in a queue now, up to 65,535 messages; nothing where there is no queue.

    Raises:
        AMQPError: The connection broke; then what was taken is in the queue again.
    """
    with client.channel() as channel:
        try:
            count, _consumers = counts(channel, queue)
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            return []
        count = min(count, _MAX_PREFETCH)
        if not count:
            return []
        channel.basic_qos(prefetch_count=count)
        messages: list[Message] = []
        # Iteration over `consume` hands over what has come in; nothing is acknowledged yet.
        for method, properties, body in channel.consume(
            queue, inactivity_timeout=_PATIENCE_SECONDS
        ):
            if method is None or properties is None or body is None:
                break
            messages.append(Message(body, dict(properties.headers or {})))
            if len(messages) == count:
                channel.basic_ack(method.delivery_tag, multiple=True)
                # Answered only after the acknowledgement has been taken.
                channel.basic_qos(prefetch_count=count)
                break
        else:
            raise AssertionError("consuming ended by itself")
        return messages if len(messages) == count else []
