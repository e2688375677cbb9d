"""Waiting for the moment at which a fault is to come, and for its end."""

from __future__ import annotations

import time

from servers.ports import wait_for

from .ledger import Ledger
from .service import Service

__all__ = ["pass_time", "wait_for_log", "wait_for_runs"]

_BOUND_SECONDS = 60.0


def wait_for_runs(ledger: Ledger, count: int, timeout: float = _BOUND_SECONDS) -> None:
    """Wait until ``process`` was started ``count`` times in all."""
    wait_for(lambda: ledger.runs() >= count, timeout, f"{count} runs of process")


def wait_for_log(service: Service, words: str, timeout: float = _BOUND_SECONDS) -> None:
    """Wait until the service has written a line with ``words``."""
    wait_for(lambda: words in service.log.read_text(), timeout, f"{words!r} in the log")


def pass_time(begin: float, seconds: float) -> None:
    """Return ``seconds`` after ``begin`` of the monotonic clock: so long does a fault last."""
    wait_for(lambda: time.monotonic() >= begin + seconds, seconds + 1, "time to pass")
