"""Arithmetic on ids, cases and AMQP's bytes: what is done for every message, and nothing else.

No I/O happens here, and nothing of ours or of pika is imported. This module alone decides which
implementation is used; callers import the names below and never learn which one they got.
"""

from __future__ import annotations

from ._common import (
    ID_MAX,
    Confirm,
    Delivery,
    FrameError,
    InvalidOutputError,
    MalformedIdError,
    Publish,
    RawDelivery,
    Received,
    Returned,
)
from ._fallback import FrameReader, FrameWriter, RoutingTable, decode_id

__all__ = [
    "ID_MAX",
    "IMPLEMENTATION",
    "Confirm",
    "Delivery",
    "FrameError",
    "FrameReader",
    "FrameWriter",
    "InvalidOutputError",
    "MalformedIdError",
    "Publish",
    "RawDelivery",
    "Received",
    "Returned",
    "RoutingTable",
    "decode_id",
]

IMPLEMENTATION = "fallback"
"""Which twin is in use; it is part of the log line of a starting service."""
