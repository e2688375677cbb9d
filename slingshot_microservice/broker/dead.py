"""Messages that cannot become requests, on their way to the queue of the dead."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from ..hotpath import RawDelivery
from .amqp import Properties, decode_properties, encode_properties, make_properties

__all__ = ["dead_properties"]

_log = logging.getLogger(__name__)

_PERSISTENT = 2  # AMQP's delivery mode
_PROPERTIES_MAX = 100_000  # bytes; they go into one frame, which may have 131,072


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
    why = {
        "slingshot-reason": reason,
        "slingshot-error": error,
        "slingshot-service": service,
        "slingshot-time": int(time.time()),
    }
    try:
        properties = _own_properties(raw, why)
        fits = len(encode_properties(properties)) <= _PROPERTIES_MAX
    except Exception as problem:  # noqa: BLE001  # whatever the sender put there, the body is kept
        _log.warning("properties of a message cannot be passed on: %r", problem)
        fits = False
    if not fits:
        why["slingshot-properties"] = "dropped: they cannot be sent"
        properties = make_properties(headers=why, delivery_mode=_PERSISTENT)
    return properties


def _own_properties(raw: RawDelivery, why: Mapping[str, object]) -> Properties:
    properties = decode_properties(raw.properties)
    headers = dict(properties.headers or {})
    for routing in ("CC", "BCC"):  # RabbitMQ would send copies to the queues named there
        headers.pop(routing, None)
    if properties.user_id:  # RabbitMQ refuses any but our own
        headers["slingshot-user-id"] = properties.user_id
        properties.user_id = None
    properties.headers = {**headers, **why}
    properties.expiration = None
    properties.delivery_mode = _PERSISTENT
    return properties
