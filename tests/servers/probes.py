"""Asking a service how it is, as the probe of an orchestrator does."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import NamedTuple

from .ports import LOOPBACK, wait_for

__all__ = ["Health", "live", "probe", "ready", "wait_until_ready", "wait_until_unready"]

_SECONDS = 20.0
_OK = 200


class Health(NamedTuple):
    """An answer.

    Attributes:
        status: The HTTP status.
        text: The body, without the end of its line.
    """

    status: int
    text: str


def probe(port: int, path: str, method: str = "GET", host: str = LOOPBACK) -> Health:
    """Ask ``path`` of the server at ``port``."""
    with closing(http.client.HTTPConnection(host, port, timeout=_SECONDS)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read().decode()
    assert text.count("\n") == text.endswith("\n"), f"more than one line: {text!r}"
    return Health(answer.status, text.removesuffix("\n"))


def live(port: int) -> Health:
    """Ask whether the process should be left alone."""
    return probe(port, "/livez")


def ready(port: int) -> Health:
    """Ask whether it takes work. Nobody listening, or no answer, is status 0."""
    try:
        return probe(port, "/readyz")
    except OSError as error:  # or a time-out of one that is slow
        return Health(0, str(error))


def wait_until_ready(port: int, timeout: float = 30.0) -> None:
    """Return as soon as it takes work."""
    wait_for(lambda: ready(port).status == _OK, timeout, f"port {port} to be ready")


def wait_until_unready(port: int, reason: str, timeout: float = 30.0) -> None:
    """Return as soon as it takes no work for a reason that has ``reason`` in it."""

    def says_so() -> bool:
        status, text = ready(port)
        return status == 503 and reason in text

    wait_for(says_so, timeout, f"port {port} to be unready: {reason}")
