"""A proxy in front of an HTTP server, which lets some of the calls fail."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple

from .ports import LOOPBACK

__all__ = ["FAULTS", "FaultyHttp"]

FAULTS = ("500", "503", "reset", "hang", "truncate")
"""What a call may meet: an error as the answer; a connection that is reset, or silent; an answer
that breaks off, although the server has done what it was asked for."""

_UPSTREAM_SECONDS = 30.0
_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect"}


class _Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class FaultyHttp:
    """Passes calls on to a server on loopback; what fails is drawn by lot, the same every time.

    Args:
        port: The server's port.
        share: How many of the calls fail, from 0 to 1.
        faults: What they meet, each as often.
        hang_seconds: How long a silence lasts, before the connection is closed.
        seed: Of the lot.

    Attributes:
        endpoint: The URL to call instead of the server's.
        share: As given; may be changed at any time.
        calls: How many calls have come.
        met: How often each fault was met.
    """

    def __init__(
        self,
        port: int,
        *,
        share: float,
        faults: Sequence[str] = FAULTS,
        hang_seconds: float = 60.0,
        seed: int = 4,
    ) -> None:
        self.share = share
        self.calls = 0
        self.met: Counter[str] = Counter()
        self.upstream = port
        self.hang_seconds = hang_seconds
        self.closing = threading.Event()
        self._faults = faults
        self._lot = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server((LOOPBACK, 0), self)
        self.endpoint = f"http://{LOOPBACK}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="test-faulty-http", daemon=True
        )

    def __enter__(self) -> FaultyHttp:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def draw(self) -> str:
        """Return what this call meets; nothing in most cases."""
        with self._lock:
            self.calls += 1
            if self._lot.random() >= self.share:
                return ""
            fault = self._lot.choice(self._faults)
            self.met[fault] += 1
            return fault


class _Server(ThreadingHTTPServer):
    # Clients keep connections open, so that a thread may never end by itself.
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], proxy: FaultyHttp) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that give up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.proxy.draw()
        if fault in ("500", "503"):
            self._answer(_Answer(int(fault), [], b""))
        elif fault == "reset":
            self._hang_up(reset=True)
        elif fault == "hang":
            self.server.proxy.closing.wait(self.server.proxy.hang_seconds)
            self._hang_up()
        else:
            self._pass_on(body, truncate=fault == "truncate")

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815  # http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _pass_on(self, body: bytes, *, truncate: bool) -> None:
        try:
            answer = self._ask(body)
        except (OSError, HTTPException):
            self._hang_up(reset=True)
            return
        if truncate and not answer.body:
            self._hang_up()
        elif truncate:
            self._answer(answer, len(answer.body) // 2)
            self._hang_up()
        else:
            self._answer(answer)

    def _ask(self, body: bytes) -> _Answer:
        connection = HTTPConnection(LOOPBACK, self.server.proxy.upstream, timeout=_UPSTREAM_SECONDS)
        try:
            # Host and all the rest as they came: they are signed.
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in _passed_on(self.headers.items()):
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            return _Answer(response.status, _passed_on(response.getheaders()), response.read())
        finally:
            connection.close()

    def _answer(self, answer: _Answer, count: int | None = None) -> None:
        self.send_response_only(answer.status)
        names = {name.lower() for name, _ in answer.headers}
        for name, value in answer.headers:
            self.send_header(name, value)
        if "content-length" not in names:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[:count])

    def _hang_up(self, *, reset: bool = False) -> None:
        self.close_connection = True
        self.wfile.flush()
        if reset:
            linger = struct.pack("ii", 1, 0)  # closing then sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()


def _passed_on(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _OF_ONE_CONNECTION]
