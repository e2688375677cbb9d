"""One parked message: what its headers say of it, and what it was before it was parked."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from ..broker.properties import Properties
from ..hotpath import MalformedIdError, decode_id
from .reasons import REASONS, UNKNOWN_REASON

__all__ = ["ParkedMessage", "original_properties", "uncounted_properties"]

_OURS = "slingshot-"
# What RabbitMQ writes by itself: a message that is sent again begins anew.
_BROKERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
_COPIES = ("CC", "BCC")  # RabbitMQ would send copies to the queues named there
_PERSISTENT = 2  # AMQP's delivery mode


@dataclass(frozen=True)
class ParkedMessage:
    """A message as it lies in the queue of the dead.

    Its headers may have been written by anybody, so nothing about their types is relied on.

    Attributes:
        position: Its place in the queue, counted from 1.
        tag: The delivery tag on the channel that it came by.
        body: What came in, byte by byte.
        properties: Its own properties, with those headers besides that say why it was parked.
    """

    position: int
    tag: int
    body: bytes
    properties: Properties

    @property
    def id(self) -> int | None:
        """The id in the body; ``None`` where the body is none."""
        try:
            return decode_id(self.body)
        except MalformedIdError:
            return None

    @property
    def reason(self) -> str:
        """Why it was parked: one of `REASONS`, or `UNKNOWN_REASON`."""
        reason = self.text("reason")
        return reason if reason in REASONS else UNKNOWN_REASON

    @property
    def headers(self) -> dict[str, object]:
        """All of its headers."""
        return dict(self.properties.headers or {})

    @property
    def looks(self) -> int:
        """How often a quorum queue has had it back; 0 in a classic queue, which does not count."""
        count = self.headers.get("x-delivery-count")
        return count if isinstance(count, int) else 0

    def text(self, name: str) -> str:
        """Return our header ``slingshot-{name}``; empty where there is none."""
        value = self.headers.get(_OURS + name)
        if isinstance(value, bytes):
            return value.decode("utf-8", "backslashreplace")
        return "" if value is None else str(value)

    def number(self, name: str) -> float | None:
        """Return our header ``slingshot-{name}`` if it is a number."""
        value = self.headers.get(_OURS + name)
        return value if isinstance(value, (int, float)) else None


def original_properties(properties: Properties) -> Properties:
    """Return the properties to send a message with once more, as if it had never been parked.

    Args:
        properties: Those of the parked message.

    Returns:
        Persistent, without what the package and RabbitMQ have noted since, and without what would
        make RabbitMQ refuse the message or copy it to other queues.
    """
    original = copy.copy(properties)
    headers = {k: v for k, v in (properties.headers or {}).items() if not _is_a_note(k)}
    original.headers = headers or None
    original.user_id = None  # RabbitMQ refuses any but our own
    original.delivery_mode = _PERSISTENT
    return original


def uncounted_properties(properties: Properties) -> Properties:
    """Return the properties of a parked message without what RabbitMQ counts in them."""
    copied = copy.copy(properties)
    headers = properties.headers or {}
    copied.headers = {k: v for k, v in headers.items() if not k.startswith(_BROKERS)}
    return copied


def _is_a_note(name: str) -> bool:
    return name.startswith((_OURS, *_BROKERS)) or name in _COPIES
