"""The S3 store against servers that misbehave: what is heard, what is sent, what is given up."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from servers.ports import LOOPBACK, free_port
from stores import StoreClass

from slingshot_microservice.errors import StorageError, StorageUnavailableError
from slingshot_microservice.files import ObjectStore
from slingshot_microservice.files import s3 as s3_module

MIB = 1024 * 1024
LIMIT = 1 * MIB
BOUND = 20.0  # seconds after which waiting has failed


def file_of(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "staged"
    path.write_bytes(data)
    return path


class Script:
    """Answers every request with the same bytes, and hangs up; or breaks off, with a reset."""

    def __init__(self, answer: bytes, *, reset: bool = False) -> None:
        self._answer = answer
        self._reset = reset
        self._listener = socket.create_server((LOOPBACK, 0))
        self.endpoint = f"http://{LOOPBACK}:{self._listener.getsockname()[1]}"
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(65_536).decode("latin-1").lower())
                connection.sendall(self._answer)
                if self._reset:
                    linger = struct.pack("ii", 1, 0)  # close() then sends RST
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@contextmanager
def scripted(
    store_class: StoreClass, answer: bytes, *, reset: bool = False
) -> Iterator[tuple[Script, ObjectStore]]:
    with Script(answer, reset=reset) as script:
        store = store_class(script.endpoint, "access", "secret", memory_limit=LIMIT)
        try:
            yield script, store
        finally:
            store.close()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("announced", [100, 2 * LIMIT])
def test_half_an_object_is_never_taken_for_a_whole(
    store_class: StoreClass, announced: int, reset: bool
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n".encode()
    half = head + b"x" * (announced // 2)
    with (
        scripted(store_class, half, reset=reset) as (script, store),
        pytest.raises(StorageUnavailableError, match=script.endpoint),
    ):
        store.read("texts", 42)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def test_an_object_of_unannounced_length_is_read_whole(store_class: StoreClass) -> None:
    with (
        scripted(store_class, CHUNKED + b"0\r\n\r\n") as (_, store),
        store.read("texts", 42) as file,
    ):
        assert file.read() == b"hello"


def test_an_object_of_unannounced_length_is_not_cut_off(store_class: StoreClass) -> None:
    with scripted(store_class, CHUNKED) as (_, store), pytest.raises(StorageUnavailableError):
        store.read("texts", 42)


def test_an_object_without_a_known_end_is_refused(store_class: StoreClass) -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"
    with (
        scripted(store_class, answer) as (script, store),
        pytest.raises(StorageUnavailableError, match=f"{script.endpoint}: its answer has no leng"),
    ):
        store.read("texts", 42)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failing_store_is_asked_three_times(
    store_class: StoreClass, tmp_path: Path, status: int
) -> None:
    # Otherwise an attempt may go to a connection on which nobody listens any more.
    head = "Content-Length: 0\r\nConnection: close"
    answer = f"HTTP/1.1 {status} Whatever\r\n{head}\r\n\r\n".encode()
    with scripted(store_class, answer) as (script, store):
        with pytest.raises(StorageUnavailableError, match=str(status)):
            store.read("texts", 42)
        assert len(script.requests) == 3
        with pytest.raises(StorageUnavailableError, match=str(status)):
            store.upload("texts", 42, file_of(tmp_path, b"content"))
        assert len(script.requests) == 6


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refusal_is_not_asked_for_again(store_class: StoreClass, status: int) -> None:
    answer = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()
    with scripted(store_class, answer) as (script, store):
        with pytest.raises(StorageError) as caught:
            store.read("texts", 42)
        assert not isinstance(caught.value, StorageUnavailableError)
    assert len(script.requests) == 1


def test_a_silence_is_bounded(store_class: StoreClass, tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        endpoint = f"http://{LOOPBACK}:{silent.getsockname()[1]}"
        store = store_class(endpoint, "access", "secret", memory_limit=LIMIT, read_timeout=0.05)
        with pytest.raises(StorageUnavailableError, match="Read timeout"):
            store.read("texts", 42)
        with pytest.raises(StorageUnavailableError, match="Read timeout"):
            store.upload("texts", 42, file_of(tmp_path, b"content"))
        store.close()


def test_a_silence_in_the_middle_is_bounded(store_class: StoreClass) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"hello")
            go_on.wait(BOUND)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    go_on = threading.Event()
    with serving(Handler) as endpoint:
        store = store_class(endpoint, "access", "secret", memory_limit=LIMIT, read_timeout=0.05)
        with pytest.raises(StorageUnavailableError, match="cannot read object 42"):
            store.read("texts", 42)
        go_on.set()
        store.close()


@pytest.mark.parametrize("status", [200, 400, 403, 404])
def test_a_check_takes_any_answer_for_a_sign_of_life(store_class: StoreClass, status: int) -> None:
    answer = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()
    with scripted(store_class, answer) as (script, store):
        store.check("texts")
    assert script.requests[0].startswith("head /texts ")


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_check_asks_a_failing_store_only_once(store_class: StoreClass, status: int) -> None:
    answer = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()
    with scripted(store_class, answer) as (script, store):
        with pytest.raises(StorageUnavailableError, match=f"does not answer: HTTP {status}") as it:
            store.check("texts")
        assert (it.value.bucket, it.value.id) == ("texts", None)
    assert len(script.requests) == 1


def test_a_check_notices_a_store_that_is_away_and_one_that_is_silent(
    store_class: StoreClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "_CHECK_TIMEOUT_SECONDS", 0.05)
    with socket.create_server((LOOPBACK, 0)) as silent:
        for port in (silent.getsockname()[1], free_port()):
            endpoint = f"http://{LOOPBACK}:{port}"
            store = store_class(endpoint, "access", "secret", memory_limit=LIMIT)
            with pytest.raises(StorageUnavailableError, match=f"^{endpoint} does not answer"):
                store.check("texts")


def test_requests_are_what_every_s3_server_understands(
    store_class: StoreClass, tmp_path: Path
) -> None:
    with Script(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as script:
        # A name, because for an address boto3 takes the path style by itself.
        endpoint = script.endpoint.replace(LOOPBACK, "localhost")
        store = store_class(endpoint, "access", "secret", memory_limit=LIMIT)
        store.upload("texts", 42, file_of(tmp_path, b""))
        store.close()
    [request] = script.requests
    assert request.startswith("put /texts/42 http/1.1")
    assert "/garage/s3/aws4_request" in request
    assert "checksum" not in request
    assert "chunked" not in request


def test_requests_hold_nothing_of_the_environment(
    store_class: StoreClass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "USER_AGENT"):
        monkeypatch.setenv(f"AWS_{name}", "of-the-environment")
    for name in ("UNSIGNED_PAYLOAD", "REQUEST_PAYER"):
        monkeypatch.setenv(f"AWS_{name}", "true")
    with scripted(store_class, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (script, store):
        store.upload("texts", 42, file_of(tmp_path, b"content"))
    [request] = script.requests
    assert "credential=access/" in request
    for unwanted in ("of-the-environment", "security-token", "unsigned", "payer"):
        assert unwanted not in request


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP; the endpoint is given out."""
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class HalfBrokenHandler(BaseHTTPRequestHandler):
    """Begins a multipart upload, and then refuses its second part."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]]
    part_status: ClassVar[int]

    def do_POST(self) -> None:
        if "uploads" in self.path:
            self._answer(200, b"<R xmlns='s3'><UploadId>one</UploadId></R>")
        else:
            self._answer(200, b"<R/>")

    def do_PUT(self) -> None:
        self._answer(self.part_status if "partNumber=2" in self.path else 200)

    def do_DELETE(self) -> None:
        self._answer(204)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append(f"{self.command} {self.path}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"etag"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "kind"), [(500, StorageUnavailableError), (400, StorageError), (403, StorageError)]
)
def test_an_upload_that_fails_halfway_is_given_up_as_a_whole(
    store_class: StoreClass, tmp_path: Path, status: int, kind: type[StorageError]
) -> None:
    class Handler(HalfBrokenHandler):
        seen: ClassVar[list[str]] = []
        part_status = status

    with serving(Handler) as endpoint:
        store = store_class(endpoint, "access", "secret", memory_limit=LIMIT)
        with pytest.raises(StorageError, match="cannot write object 7") as caught:
            store.upload("texts", 7, file_of(tmp_path, b"x" * 20 * MIB))
        store.close()
    assert type(caught.value) is kind
    assert any(line.startswith("DELETE /texts/7?uploadId=one") for line in Handler.seen)
    assert not any(line.startswith("POST /texts/7?uploadId") for line in Handler.seen)
