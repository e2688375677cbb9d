"""The properties of a message, as objects and as they are on the wire."""

from __future__ import annotations

import pika

__all__ = ["Properties", "decode_properties", "encode_properties", "make_properties"]

Properties = pika.BasicProperties


def make_properties(*, headers: dict[str, object], delivery_mode: int) -> Properties:
    """Make message properties."""
    return Properties(headers=headers, delivery_mode=delivery_mode)  # type: ignore[no-untyped-call]


def encode_properties(properties: Properties) -> bytes:
    """Return message properties as they go over the wire.

    Raises:
        Exception: Of any kind, if pika cannot write them.
    """
    return b"".join(properties.encode())  # type: ignore[no-untyped-call]


def decode_properties(encoded: bytes) -> Properties:
    """Read message properties as they were on the wire.

    Raises:
        Exception: Of any kind, if they are not what AMQP says.
    """
    properties = Properties()  # type: ignore[no-untyped-call]
    properties.decode(encoded)  # type: ignore[no-untyped-call]
    return properties
