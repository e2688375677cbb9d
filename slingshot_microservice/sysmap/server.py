"""A sys-map file over HTTP, as the configuration service would answer it.

For development and small installations: it has neither TLS nor access control.
"""

from __future__ import annotations

import json
import logging
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from ..errors import SlingshotError, UsageError
from .file import FileSystemMap
from .models import (
    BrokerSettings,
    DatabaseSettings,
    PostgreSQLSettings,
    RabbitMQSettings,
    S3Settings,
    ServiceSettings,
    StorageSettings,
)

__all__ = ["SystemMapServer"]

_SECTIONS = ("rabbitmq", "object-storage", "db")
_REQUEST_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.05  # how soon stop() is noticed

_log = logging.getLogger(__name__)


class SystemMapServer:
    """Serves a sys-map file over HTTP, on a thread of its own or on the caller's.

    Args:
        system_map: What to serve.
        host: The address to listen on.
        port: The port to listen on; 0 for any that is free.

    Raises:
        UsageError: The address cannot be listened on.
    """

    def __init__(self, system_map: FileSystemMap, host: str = "127.0.0.1", port: int = 0) -> None:
        self._system_map = system_map
        self._host = host
        self._thread: threading.Thread | None = None
        self._served = False
        try:
            self._server = _Server(system_map, host, port)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot listen on {host} port {port}: {getattr(error, 'strerror', error)}; "
                "choose another address or port"
            ) from None

    @property
    def url(self) -> str:
        """The base URL to give to services as their ``config_host``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.server_address[1]}"

    def embedded_parts(self) -> list[str]:
        """Return what cannot be asked for from outside, such as ``rabbitmq`` on ``memory``."""
        return [name for name in _SECTIONS if _section(self._system_map, name) is None]

    def start(self) -> None:
        """Serve on a background thread until `stop`."""
        self._served = True  # before the thread runs, so that stop() waits for it
        self._thread = threading.Thread(
            target=self.serve_forever, name="sys-map-server", daemon=True
        )
        self._thread.start()

    def serve_forever(self) -> None:
        """Serve on this thread until it is interrupted, or another thread calls `stop`."""
        self._served = True
        self._server.serve_forever(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop serving and let go of the port. Not to be called by the thread that serves."""
        if self._served:  # shutdown() would wait for ever for a loop that never ran
            self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> SystemMapServer:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class _UnknownError(Exception):
    """What was asked for is not there; the message is for whoever asked."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, system_map: FileSystemMap, host: str, port: int) -> None:
        self.system_map = system_map
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: it looks up the host's own name, which can take seconds.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a request of %s broke off", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0, so that every answer closes its connection and stop() leaves none behind.
    server: _Server
    timeout = _REQUEST_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        try:
            content_type, text = _answer(self.server.system_map, self.path)
        except _UnknownError as error:
            self._send(404, "text/plain", f"{error}\n")
        else:
            self._send(200, content_type, text)

    def _refuse(self) -> None:
        self._send(405, "text/plain", "only GET is answered\n")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815

    def _send(self, status: int, content_type: str, text: str) -> None:
        body = text.encode(errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status == 405:
            self.send_header("Allow", "GET")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's
        _log.debug("%s %s", self.address_string(), format % args)


def _answer(system_map: FileSystemMap, target: str) -> tuple[str, str]:
    """Return the content type and the text of the answer to ``GET target``."""
    path = target.partition("?")[0].strip("/")
    name, slash, key = (unquote(part) for part in path.partition("/"))
    if slash:
        return "text/plain", _bucket(system_map, name, key)
    if name in _SECTIONS:
        section = _section(system_map, name)
        if section is None:
            raise _UnknownError(f"{name} is embedded in one process and cannot be shared")
        return "application/json", json.dumps(section)
    return "application/json", json.dumps(_service(system_map, name))


def _service(system_map: FileSystemMap, name: str) -> dict[str, object]:
    try:
        settings = system_map.service(name)
    except SlingshotError:
        raise _UnknownError(f"there is no service {name!r}") from None
    return _service_fields(settings)


def _service_fields(settings: ServiceSettings) -> dict[str, object]:
    routes = [{"case": route.case, "queues": list(route.queues)} for route in settings.routes]
    return {"in": settings.inbound, "out": routes}


def _bucket(system_map: FileSystemMap, name: str, key: str) -> str:
    try:
        return system_map.bucket(name, key)
    except SlingshotError:
        raise _UnknownError(f"there is no bucket key {key!r} of a service {name!r}") from None


def _section(system_map: FileSystemMap, name: str) -> dict[str, list[Any]] | None:
    """Return the fields of a section, each a list; ``None`` where it is embedded."""
    if name == "rabbitmq":
        return _rabbitmq_fields(system_map.broker())
    if name == "db":
        return _database_fields(system_map.database())
    return _storage_fields(system_map.storage())


def _rabbitmq_fields(settings: BrokerSettings) -> dict[str, list[Any]] | None:
    if not isinstance(settings, RabbitMQSettings):
        return None
    return {
        "host": list(settings.hosts),
        "port": [settings.port],
        "username": [settings.username],
        "pass": [settings.password_entry],
    }


def _database_fields(settings: DatabaseSettings) -> dict[str, list[Any]] | None:
    if not isinstance(settings, PostgreSQLSettings):
        return None
    return {
        "host": [settings.host],
        "port": [settings.port],
        "username": [settings.username],
        "database": [settings.database],
        "pass": [settings.password_entry],
    }


def _storage_fields(settings: StorageSettings) -> dict[str, list[Any]] | None:
    if not isinstance(settings, S3Settings):
        return None
    return {
        # The reference puts https:// in front by itself, whatever is there.
        "host": [settings.endpoint.removeprefix("https://")],
        "pass:access-key": [settings.access_key_entry],
        "pass:secret-key": [settings.secret_key_entry],
    }
