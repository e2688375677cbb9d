"""Arithmetic on ids, cases and AMQP's bytes: what is done for every message, and nothing else.

No I/O happens here, and nothing of ours or of pika is imported. There are two implementations
with the same behaviour, one in Python and one compiled. This module alone decides which one is
used; callers import the names below and never learn which they got.

``SLINGSHOT_NO_EXTENSIONS=1`` takes the one in Python. ``SLINGSHOT_REQUIRE_EXTENSIONS=1`` makes it
an error if the compiled one is not there.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ._common import (
    ID_MAX,
    NO_DELIVERY,
    Confirm,
    Delivery,
    Finished,
    FrameError,
    InvalidOutputError,
    MalformedIdError,
    Publish,
    RawDelivery,
    Received,
    Returned,
    Work,
)

__all__ = [
    "ID_MAX",
    "IMPLEMENTATION",
    "NO_DELIVERY",
    "REASON",
    "Confirm",
    "Delivery",
    "Finished",
    "FrameError",
    "FrameReader",
    "FrameWriter",
    "Inbox",
    "InvalidOutputError",
    "Ledger",
    "MalformedIdError",
    "Publish",
    "RawDelivery",
    "Received",
    "Returned",
    "RoutingTable",
    "Work",
    "decode_id",
]


def _choose() -> tuple[str, str]:
    unwanted = os.environ.get("SLINGSHOT_NO_EXTENSIONS", "") not in ("", "0")
    required = os.environ.get("SLINGSHOT_REQUIRE_EXTENSIONS", "") not in ("", "0")
    if unwanted and required:
        raise ImportError(
            "SLINGSHOT_NO_EXTENSIONS and SLINGSHOT_REQUIRE_EXTENSIONS are both set; unset one"
        )
    if unwanted:
        return "fallback", "SLINGSHOT_NO_EXTENSIONS is set"
    # Looked for rather than tried: an extension that is there and broken must not be passed over.
    if find_spec("._compiled", __package__) is not None:
        return "compiled", "the extension is installed"
    if required:
        raise ImportError(
            "SLINGSHOT_REQUIRE_EXTENSIONS is set, and this installation has no compiled hot path; "
            "install a wheel for this platform, or a compiler and the package from source"
        )
    return "fallback", "the extension is not installed"


IMPLEMENTATION, REASON = _choose()
"""Which implementation is in use, ``compiled`` or ``fallback``, and why."""

if TYPE_CHECKING or IMPLEMENTATION == "fallback":
    from ._fallback import FrameReader, FrameWriter, Inbox, Ledger, RoutingTable, decode_id
else:
    from ._compiled import FrameReader, FrameWriter, Inbox, Ledger, RoutingTable, decode_id
