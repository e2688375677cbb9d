"""Finding out whether RabbitMQ will throw away what was delivered often. I/O thread only."""

from __future__ import annotations

import logging
import re
from typing import Any

from .amqp import Channel, ChannelClosedByBroker, Connection

__all__ = ["DeliveryLimitCheck", "delivery_limit"]

_log = logging.getLogger(__name__)

_ENOUGH = 20
_DEFAULT_SINCE = (4, 0)  # of quorum queues; until then there was no limit by default
_DEFAULT = 20
_QUORUM = {"x-queue-type": "quorum"}
_CURRENT = re.compile(r"inequivalent arg '([^']+)' .* current is (?:the value )?'?(-?\d+|\w+)'?")


class DeliveryLimitCheck:
    """Warns of a quorum queue that drops, or dead-letters, what was delivered some times.

    A crashed consumer's messages are all counted, also those it never looked at. What was
    delivered five times is sent anew by us, and counted from the beginning; but a service that
    dies before it has looked at its messages cannot do that.

    Whether a queue is of that kind can only be asked by declaring it as one, which leaves a line
    in RabbitMQ's log if it is not. So versions without a limit by default are not asked.

    Args:
        connection: An open connection.
        queue: A queue that exists.
    """

    def __init__(self, connection: Connection, queue: str) -> None:
        self._queue = queue
        self._version = str((connection.server_properties or {}).get("version", ""))
        if _has_default(self._version):
            connection.channel(on_open_callback=self._ask)

    def _ask(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_closed)

        def found(_frame: Any) -> None:
            if channel.is_open:
                channel.close()
            self._judge(delivery_limit(self._version, None))

        channel.queue_declare(self._queue, durable=True, arguments=_QUORUM, callback=found)

    def _on_closed(self, _channel: Channel, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker):
            self._judge(delivery_limit(self._version, reason.reply_text))

    def _judge(self, limit: int | None) -> None:
        if limit is not None and 0 <= limit <= _ENOUGH:
            _log.warning(
                "queue %r drops a message that was given back %d times, even one that a crashed "
                "worker never looked at, if no policy says otherwise; to keep such messages: "
                """rabbitmqctl set_policy %s '^%s$' '{"delivery-limit": 1000000}' """
                "--apply-to queues",
                self._queue,
                limit,
                f"{self._queue}-delivery-limit",
                re.escape(self._queue),
            )


def delivery_limit(version: str, refusal: str | None) -> int | None:
    """Return a queue's own or default limit of deliveries.

    Args:
        version: RabbitMQ's, such as ``4.0.5``.
        refusal: What it said to the declaration of a quorum queue without other arguments; None
            if that is what the queue is.

    Returns:
        The limit; None if there is none, or it cannot be told.
    """
    if refusal is None:
        return _DEFAULT if _has_default(version) else None
    found = _CURRENT.search(refusal)
    if found is None or found[1] != "x-delivery-limit" or found[2] == "none":
        return None
    return int(found[2])


def _has_default(version: str) -> bool:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= _DEFAULT_SINCE
