"""What the implementations of the hot path share: constants, shapes and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

__all__ = [
    "ACK",
    "BASIC_CLASS",
    "BODY_FRAME",
    "BODY_MAX",
    "CHANNEL_MAX",
    "DELIVER",
    "FRAME_END",
    "FRAME_MAX",
    "HEADERS_FLAG",
    "HEADER_FRAME",
    "HEARTBEAT_FRAME",
    "ID_DIGITS_MAX",
    "ID_MAX",
    "INTEGER_CASE_BITS",
    "METHOD_FRAME",
    "NACK",
    "NO_DELIVERY",
    "PROTOCOL_HEADER_START",
    "PUBLISH",
    "RETURN",
    "WHITE_SPACE",
    "Confirm",
    "Delivery",
    "Finished",
    "FrameError",
    "InvalidOutputError",
    "MalformedIdError",
    "Publish",
    "RawDelivery",
    "Received",
    "Returned",
    "Work",
    "check_channel",
    "no_such_queue",
    "out_of_range",
    "shorten",
]

ID_MAX = 2**64 - 1
"""The largest id: ids are unsigned integers of 64 bits."""

ID_DIGITS_MAX = 20
"""Decimal digits of `ID_MAX`."""

INTEGER_CASE_BITS = 128
"""Bits, with the sign, of an integer that ``process`` may use as a case (the contract's rule)."""

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's White_Space property, which Rust's ``str::trim`` goes by. Python's ``str.strip`` also
takes U+001C to U+001F, which are not part of it."""

# AMQP 0-9-1, section 4.2.3: frame types, and the octet that ends each frame.
METHOD_FRAME = 1
HEADER_FRAME = 2
BODY_FRAME = 3
HEARTBEAT_FRAME = 8
FRAME_END = 0xCE
PROTOCOL_HEADER_START = ord("A")  # of "AMQP", the answer of a server that speaks another version

FRAME_MAX = 16 * 131_072
"""Bytes of the largest frame that is believed, its eight octets of framing included. It is far
over what is agreed on with RabbitMQ, because that passes on headers which are a little larger."""

BODY_MAX = 512 * 1024 * 1024
"""Bytes of the largest message body; RabbitMQ itself takes no more."""

CHANNEL_MAX = 65_535

BASIC_CLASS = 60
PUBLISH = BASIC_CLASS << 16 | 40
RETURN = BASIC_CLASS << 16 | 50
DELIVER = BASIC_CLASS << 16 | 60
ACK = BASIC_CLASS << 16 | 80
NACK = BASIC_CLASS << 16 | 120
HEADERS_FLAG = 0x2000
"""The property flag that says that a message has a table of headers."""

Delivery: TypeAlias = tuple[int, int, bool]
"""A message whose body is an id: (delivery tag, id, redelivered)."""

Work: TypeAlias = tuple[int, Delivery]
"""A delivery, after its epoch: which life of the channel it belongs to. Its delivery tag means
nothing in another."""

Confirm: TypeAlias = tuple[int, bool, bool]
"""A publisher confirm: (sequence number, multiple, accepted)."""

Publish: TypeAlias = tuple[int, int]
"""One message to send: (index of the queue, id)."""

Finished: TypeAlias = tuple[int, int, Sequence[Publish]]
"""A delivery that was processed: (epoch, delivery tag, what is to be sent)."""

NO_DELIVERY = 0
"""Stands for a delivery tag where outputs belong to no delivery; AMQP's own tags start at 1."""


class RawDelivery(NamedTuple):
    """A message that has headers, or whose body is not an id as we would write it.

    Attributes:
        tag: The delivery tag.
        redelivered: Whether it may have been delivered before.
        properties: Its properties as they were on the wire, flags included.
        body: Its body.
    """

    tag: int
    redelivered: bool
    properties: bytes
    body: bytes


class Returned(NamedTuple):
    """A message that came back because no queue of that name took it.

    Attributes:
        code: AMQP's reply code, such as 312.
        text: AMQP's reply text, such as ``NO_ROUTE``.
        queue: The routing key that it was published with.
        body: Its body.
    """

    code: int
    text: str
    queue: str
    body: bytes


class Received(NamedTuple):
    """What one piece of the byte stream held.

    Attributes:
        deliveries: Messages that are an id and nothing else, in order.
        raw: Messages that need a closer look, in order.
        confirms: Publisher confirms, in order.
        returns: Messages that came back. Each one's confirm comes after it.
        other: Whole frames that are not ours to read, one after another.
    """

    deliveries: list[Delivery]
    raw: list[RawDelivery]
    confirms: list[Confirm]
    returns: list[Returned]
    other: bytes


class MalformedIdError(ValueError):
    """A body is no id."""


class FrameError(ValueError):
    """The byte stream is not AMQP 0-9-1; the connection cannot go on."""


class InvalidOutputError(ValueError):
    """``process`` returned what cannot be sent."""


def check_channel(channel: int) -> int:
    """Return ``channel``.

    Raises:
        ValueError: It is no channel number of AMQP's.
    """
    if not 0 <= channel <= CHANNEL_MAX:
        raise ValueError(f"channel {channel} is out of range: expected 0 to {CHANNEL_MAX}")
    return channel


def out_of_range(what: str, number: int) -> OverflowError:
    """Return the error of a ``number`` that does not fit 64 bits without a sign."""
    return OverflowError(f"{what} {shorten(number)} is out of range: expected 0 to {ID_MAX}")


def no_such_queue(index: int, count: int) -> IndexError:
    """Return the error of an ``index`` that none of ``count`` queues has."""
    return IndexError(f"there is no queue {shorten(index)}: expected 0 to {count - 1}")


def shorten(value: object, limit: int = 60) -> str:
    """Return ``repr(value)``, cut to about ``limit`` characters, for an error message."""
    if isinstance(value, (bytes, str)):
        value = value[: limit + 1]
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  # the value is the user's, and so is its repr
        text = f"<{type(value).__name__} whose repr fails: {type(error).__name__}>"
    return text if len(text) <= limit else text[:limit] + "…"
