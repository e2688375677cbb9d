"""The words for why a message was parked."""

from __future__ import annotations

__all__ = ["REASONS", "UNKNOWN_REASON"]

REASONS = ("failed", "malformed-id", "rejected", "worker-died")
"""The reasons for which services park messages."""

UNKNOWN_REASON = "unknown"
"""What stands for any other reason, or none."""
