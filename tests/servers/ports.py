"""Free TCP ports, and waiting for a condition with a bound."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

__all__ = ["LOOPBACK", "free_port", "listens", "wait_for"]

LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.02


_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port on which nothing listens on loopback; another one each time."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def listens(host: str, port: int) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(
    condition: Callable[[], object], timeout: float = 30.0, what: str = "the condition"
) -> None:
    """Return as soon as ``condition()`` is true.

    Args:
        condition: Asked again and again, at most every 20 ms.
        timeout: Seconds after which to give up.
        what: What is waited for, for the error.

    Raises:
        TimeoutError: The condition was never true; the error says ``what``.
    """
    deadline = time.monotonic() + timeout
    while True:
        # Looked at first, so that the condition is asked after the deadline once more.
        late = time.monotonic() > deadline
        if condition():
            return
        if late:
            raise TimeoutError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(_POLL_SECONDS)
