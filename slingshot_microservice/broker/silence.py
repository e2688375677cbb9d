"""Noticing a connection on which nothing comes in any more. I/O thread only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["SilenceWatch"]

_CHECKS_A_HEARTBEAT = 4
# One and a half heartbeats, while RabbitMQ sends something in every half of one. Checks are
# counted, not seconds: a process that was stopped for a while has read nothing in between.
_SILENT_CHECKS = 6


class Loop(Protocol):
    """What is needed of the I/O thread's loop."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        """Call back once, after ``delay`` seconds."""
        ...

    def remove_timeout(self, timeout_handle: Any) -> None:
        """Do not call back."""
        ...


class SilenceWatch:
    """Looks four times a heartbeat, and tells when a connection was silent for too long.

    What is lost is told less than two heartbeats after the last byte. pika by itself takes up
    to two heartbeats and ten seconds.

    Args:
        loop: The I/O thread's loop.
        heartbeat: Seconds, as agreed with RabbitMQ; 0 watches nothing.
        received: Returns how many bytes have come in so far.
        on_silence: Called once.
    """

    def __init__(
        self,
        loop: Loop,
        heartbeat: float,
        received: Callable[[], int],
        on_silence: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._interval = heartbeat / _CHECKS_A_HEARTBEAT
        self._received = received
        self._on_silence = on_silence
        self._last = received()
        self._silent = 0
        self._timer: Any = None
        if heartbeat:
            self._timer = loop.call_later(self._interval, self._check)

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._loop.remove_timeout(self._timer)
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        received = self._received()
        self._silent = 0 if received != self._last else self._silent + 1
        self._last = received
        if self._silent < _SILENT_CHECKS:
            self._timer = self._loop.call_later(self._interval, self._check)
        else:
            self._on_silence()
