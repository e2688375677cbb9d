"""The tests' own configuration service: real HTTP, and nothing of the package in it."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from .ports import LOOPBACK
from .ports import free_port as unused_port

__all__ = ["Answer", "SysMapServer", "unused_port"]

_UNKNOWN = 404


@dataclass(frozen=True)
class Answer:
    """What a path answers.

    Attributes:
        status: The HTTP status; 0 closes the connection without an answer.
        body: What follows the headers.
        content_type: The type of the body.
        delay: Seconds to wait before answering; ends early when the server stops.
        headers: Further headers.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


class SysMapServer:
    """A configuration service whose every answer a test sets; it keeps connections alive.

    Attributes:
        answers: By path, such as ``/shout``; what is not here gets a 404.
        requests: The paths that were asked for, in order.
        connections: How many TCP connections were opened.
    """

    def __init__(self, port: int = 0) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._failures: dict[str, deque[Answer]] = {}
        self._server = _Server(self, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="test-sys-map", daemon=True
        )

    @property
    def url(self) -> str:
        """What a service gets as its ``config_host``."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def __enter__(self) -> SysMapServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def answer_json(self, path: str, value: object) -> None:
        """Answer ``path`` with ``value`` as JSON."""
        self.answers[path] = Answer(body=json.dumps(value).encode())

    def answer_text(self, path: str, text: str, status: int = 200) -> None:
        """Answer ``path`` with plain text."""
        self.answers[path] = Answer(status, text.encode(), "text/plain; charset=utf-8")

    def fail(self, path: str, times: int, status: int = 503) -> None:
        """Let ``path`` fail so many times before it answers as set; status 0 hangs up."""
        self._failures[path] = deque([Answer(status)] * times)

    def describe(
        self,
        service: str,
        inbound: str,
        out: Iterable[tuple[bool | int | str, list[str]]] = (),
        buckets: Mapping[str, str] | None = None,
        *,
        rabbitmq: Mapping[str, object] | None = None,
        db: Mapping[str, object] | None = None,
        storage: Mapping[str, object] | None = None,
    ) -> None:
        """Set all that the contract says about one service.

        Args:
            service: Its name.
            inbound: Its inbound queue.
            out: Cases and their queues. Pairs, because True and 1 are one key of a dict.
            buckets: Buckets by key.
            rabbitmq: Fields of ``/rabbitmq``; each is wrapped into a list of one.
            db: Fields of ``/db``, likewise.
            storage: Fields of ``/object-storage``, likewise.
        """
        routes = [{"case": case, "queues": queues} for case, queues in out]
        self.answer_json(f"/{service}", {"in": inbound, "out": routes})
        for key, bucket in (buckets or {}).items():
            self.answer_text(f"/{service}/{key}", f"{bucket}\n")
        sections = {"rabbitmq": rabbitmq, "db": db, "object-storage": storage}
        for name, fields in sections.items():
            if fields is not None:
                lists = {k: v if isinstance(v, list) else [v] for k, v in fields.items()}
                self.answer_json(f"/{name}", lists)

    def next_answer(self, path: str) -> Answer:
        """Note a request for ``path``, and return what it gets."""
        self.requests.append(path)
        failures = self._failures.get(path)
        if failures:
            return failures.popleft()
        return self.answers.get(path, Answer(_UNKNOWN, b"unknown\n", "text/plain"))


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() waits for the threads, and none outlives us

    def __init__(self, sys_map: SysMapServer, port: int) -> None:
        self.sys_map = sys_map
        self._open: set[socket.socket] = set()
        super().__init__((LOOPBACK, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        self.sys_map.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        sys_map = self.server.sys_map
        answer = sys_map.next_answer(self.path)
        sys_map.stopping.wait(answer.delay)
        if answer.status == 0:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
