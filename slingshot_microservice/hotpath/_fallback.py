"""The hot path in Python, and the specification of what the compiled one does."""

from __future__ import annotations

from ._fallback_frames import FrameReader, FrameWriter
from ._fallback_inbox import Inbox
from ._fallback_ledger import Ledger
from ._fallback_routing import RoutingTable, decode_id

__all__ = ["FrameReader", "FrameWriter", "Inbox", "Ledger", "RoutingTable", "decode_id"]
