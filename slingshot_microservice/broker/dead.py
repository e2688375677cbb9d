"""Messages that cannot become requests, on their way to the queue of the dead."""

from __future__ import annotations

import logging
import time

from ..hotpath import RawDelivery
from .amqp import Properties, decode_properties

__all__ = ["dead_properties"]

_log = logging.getLogger(__name__)


def dead_properties(raw: RawDelivery, *, service: str, reason: str, error: str) -> Properties:
    """Return the properties to park a message with: its own, and why it was parked.

    Args:
        raw: The message as it came in.
        service: The service that could not use it.
        reason: A word to filter by.
        error: A sentence for people.

    Returns:
        Persistent, without what would make the parked copy expire, be refused or be copied to
        other queues.
    """
    try:
        properties = decode_properties(raw.properties)
    except Exception as error_:  # noqa: BLE001  # whatever the sender put there, the body is kept
        _log.warning("properties of a message cannot be read and are not kept: %r", error_)
        properties = Properties()  # type: ignore[no-untyped-call]
    headers = dict(properties.headers or {})
    for routing in ("CC", "BCC"):  # RabbitMQ would send copies to the queues named there
        headers.pop(routing, None)
    if properties.user_id:  # RabbitMQ refuses any but our own
        headers["slingshot-user-id"] = properties.user_id
        properties.user_id = None
    headers["slingshot-reason"] = reason
    headers["slingshot-error"] = error
    headers["slingshot-service"] = service
    headers["slingshot-time"] = int(time.time())
    properties.headers = headers
    properties.expiration = None
    properties.delivery_mode = 2
    return properties
