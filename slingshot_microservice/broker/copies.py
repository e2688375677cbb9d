"""Copies of messages for the queues beside the inbound one: the same body, and what happened.

A message cannot be changed where it lies. So what is to be tried again, or is parked, leaves as a
new one; the old one is acknowledged when that is safe.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping

from .._version import __version__
from ..hotpath import RawDelivery
from .properties import Properties, decode_properties, encode_properties, make_properties
from .protocol import Failure
from .retries import LAST_TIME_HEADER, History, Parked

__all__ = ["headers_of", "parked_properties", "retry_properties"]

_log = logging.getLogger(__name__)

_PERSISTENT = 2  # AMQP's delivery mode
_PROPERTIES_MAX = 100_000  # bytes; they go into one frame, which may have 131,072
_ERROR_MAX = 2_000  # characters
_TRACEBACK_MAX = 20_000  # characters

# RabbitMQ would send copies to the queues named in the first two. What it writes into the others is
# about a message that is gone, and it takes "has been there before" for a circle to be broken.
_NOT_PASSED_ON = ("CC", "BCC", "x-death", "x-delivery-count", "x-acquired-count")
_PREFIXES_NOT_PASSED_ON = ("slingshot-", "x-first-death-", "x-last-death-")
_PASSED_ON = ("slingshot-user-id", "slingshot-properties")


def headers_of(raw: RawDelivery) -> Mapping[str, object]:
    """Return the headers of a message; none if they cannot be read."""
    try:
        return decode_properties(raw.properties).headers or {}
    except Exception as problem:  # noqa: BLE001  # whatever the sender put there, the body is kept
        _log.warning("headers of a message cannot be read: %r", problem)
        return {}


def retry_properties(raw: RawDelivery, history: History, wait: float | None = None) -> Properties:
    """Return the properties of a copy that is to be tried again.

    Args:
        raw: The message as it came in.
        history: What happened to it.
        wait: Seconds in its queue, where that is not the queue's own wait.
    """
    properties = _copied(raw, history.headers)
    if wait is not None:
        properties.expiration = str(max(1, round(wait * 1_000)))
    return properties


def parked_properties(
    raw: RawDelivery, parked: Parked, failure: Failure, *, service: str
) -> Properties:
    """Return the properties of a copy for the queue of the dead.

    Args:
        raw: The message as it came in.
        parked: What was decided.
        failure: The last thing that went wrong.
        service: The service that could not use it.

    Returns:
        Persistent, without what would make the copy expire, be refused or be copied to other
        queues.
    """
    why = {
        "slingshot-reason": parked.reason,
        "slingshot-error-type": failure.error_type[:_ERROR_MAX],
        "slingshot-error": failure.error[:_ERROR_MAX],
        "slingshot-service": service,
        "slingshot-host": socket.gethostname(),
        "slingshot-version": __version__,
        LAST_TIME_HEADER: int(time.time()),
    }
    if failure.traceback:
        why["slingshot-traceback"] = failure.traceback[-_TRACEBACK_MAX:]
    return _copied(raw, {**why, **parked.history.headers})


def _copied(raw: RawDelivery, ours: Mapping[str, object]) -> Properties:
    """Return persistent properties: the message's own, with our headers."""
    try:
        properties = _own_properties(raw, ours)
        fits = len(encode_properties(properties)) <= _PROPERTIES_MAX
    except Exception as problem:  # noqa: BLE001  # whatever the sender put there, the body is kept
        _log.warning("properties of a message cannot be passed on: %r", problem)
        fits = False
    if fits:
        return properties
    headers = {**ours, "slingshot-properties": "dropped: they cannot be sent"}
    return make_properties(headers=headers, delivery_mode=_PERSISTENT)


def _own_properties(raw: RawDelivery, ours: Mapping[str, object]) -> Properties:
    properties = decode_properties(raw.properties)
    headers = {
        name: value
        for name, value in (properties.headers or {}).items()
        if name in _PASSED_ON
        or not (name in _NOT_PASSED_ON or name.startswith(_PREFIXES_NOT_PASSED_ON))
    }
    if properties.user_id:  # RabbitMQ refuses any but our own
        headers["slingshot-user-id"] = properties.user_id
        properties.user_id = None
    properties.headers = {**headers, **ours}
    properties.expiration = None
    properties.delivery_mode = _PERSISTENT
    return properties
