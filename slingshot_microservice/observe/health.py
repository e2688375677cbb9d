"""Answers for probes: is the service alive, and is it taking work?

An orchestrator asks over HTTP and knows two questions. ``/livez``: is it of any use to wait for
this process, or should it be started anew? ``/readyz``: does it take messages just now? Neither
needs a password, so neither answer holds a secret.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TypeAlias

from ..errors import OptionError

__all__ = ["LIVE_PATH", "READY_PATH", "HealthServer", "Question"]

LIVE_PATH = "/livez"
READY_PATH = "/readyz"

Question: TypeAlias = Callable[[], str | None]
"""Says in one line what is wrong, or None; called on any thread, and never waits."""

_CONNECTIONS = 16  # that are open at the same time; one more, and the oldest is closed
_REQUEST_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.25  # how soon stop() is noticed

_log = logging.getLogger(__name__)


class HealthServer:
    """Answers probes over HTTP, on threads of its own, until it is stopped.

    A path answers 200 and ``ok`` while its question has None to say; otherwise 503, and what is
    wrong. As a context manager it serves from the beginning of the block to its end.

    Args:
        host: The address to listen on.
        port: The port to listen on; 0 for any that is free.
        live: Says why the process should be started anew.
        ready: Says why no messages are taken.

    Raises:
        OptionError: The address cannot be listened on.
    """

    def __init__(self, host: str, port: int, live: Question, ready: Question) -> None:
        try:
            self._server = _Server(host, port, {LIVE_PATH: live, READY_PATH: ready})
        except (OSError, OverflowError) as error:
            raise OptionError(
                f"cannot listen on {host} port {port} for probes: "
                f"{getattr(error, 'strerror', None) or error}; "
                "choose another (options health_host and health_port)"
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._server.server_address[1]
        return port

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, and let go of the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> HealthServer:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    """A thread a connection, and no more connections than we want threads."""

    daemon_threads = True
    request_queue_size = 128  # of five, a crowd would lose many, and wait a second for each
    allow_reuse_port = False  # or two services would share a port, and answer for each other

    def __init__(self, host: str, port: int, questions: dict[str, Question]) -> None:
        self.questions = questions
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: dict[socket.socket, None] = {}  # the oldest first
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: it looks up the host's own name, which can take seconds.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = None
            if len(self._open) > _CONNECTIONS:
                # Whoever says nothing, or says it slowly, must not keep probes from coming in.
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a probe of %s broke off", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0, so that every answer closes its connection.
    server: _Server
    timeout = _REQUEST_TIMEOUT_SECONDS
    server_version = "slingshot-microservice"
    sys_version = ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"

    def do_GET(self) -> None:
        question = self.server.questions.get(self.path.partition("?")[0])
        if question is None:
            self._send(404, f"there are {' and '.join(self.server.questions)}")
        else:
            trouble = question()
            self._send(200 if trouble is None else 503, trouble or "ok")

    do_HEAD = do_GET  # noqa: N815  # http.server's

    def _send(self, status: int, text: str) -> None:
        body = f"{' '.join(text.split())}\n".encode(errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's
        _log.debug("%s %s", self.address_string(), format % args)
