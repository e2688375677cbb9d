"""A sys-map file over HTTP: what any client reads, and that nothing brings it down."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from servers.sys_map import unused_port

from slingshot_microservice.errors import ConfigurationError, UsageError
from slingshot_microservice.options import Options
from slingshot_microservice.sysmap.client import HttpSystemMap
from slingshot_microservice.sysmap.file import FileSystemMap
from slingshot_microservice.sysmap.server import SystemMapServer

REMOTE = """\
rabbitmq = { host = ["mq1", "mq2"], port = 5672, username = "me", pass = "mq/me" }
object-storage = { host = "s3.example.com", "pass:access-key" = "a", "pass:secret-key" = "s" }
db = { host = "pg", port = 5432, username = "me", database = "shop", pass = "db/me" }
"""
EMBEDDED = """\
rabbitmq = "memory"
object-storage = { directory = "objects" }
db = { sqlite = "pipeline.sqlite" }
"""
SERVICES = """
[services."a b"]
in = "inbound"
out = [
  { case = true, queues = ["yes"] },
  { case = 18446744073709551615, queues = ["one", "two"] },
  { case = "1", queues = [] },
]
[services."a b".buckets]
in = "texts"
"deep/er é" = "deeper"
"""


def load(folder: Path, text: str) -> FileSystemMap:
    path = folder / "sys-map.toml"
    path.write_text(text, encoding="utf-8")
    return FileSystemMap(path)


@pytest.fixture
def system_map(tmp_path: Path) -> FileSystemMap:
    return load(tmp_path, REMOTE + SERVICES)


@pytest.fixture
def server(system_map: FileSystemMap) -> Iterator[SystemMapServer]:
    with SystemMapServer(system_map) as server:
        yield server


def ask(server: SystemMapServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Return status, content type and text."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


def ask_json(server: SystemMapServer, path: str) -> object:
    status, content_type, text = ask(server, path)
    assert (status, content_type) == (200, "application/json; charset=utf-8")
    return json.loads(text)


def test_the_table_of_the_contract(server: SystemMapServer) -> None:
    login = {"username": ["me"]}
    assert ask_json(server, "/a%20b") == {
        "in": "inbound",
        "out": [
            {"case": True, "queues": ["yes"]},
            {"case": 2**64 - 1, "queues": ["one", "two"]},
            {"case": "1", "queues": []},
        ],
    }
    assert ask_json(server, "/rabbitmq") == {
        "host": ["mq1", "mq2"],
        "port": [5672],
        "pass": ["mq/me"],
        **login,
    }
    assert ask_json(server, "/db/?x=1") == {
        "host": ["pg"],
        "port": [5432],
        "database": ["shop"],
        "pass": ["db/me"],
        **login,
    }
    assert ask_json(server, "/object-storage") == {
        "host": ["s3.example.com"],
        "pass:access-key": ["a"],
        "pass:secret-key": ["s"],
    }


def test_a_bucket_is_plain_text(server: SystemMapServer) -> None:
    assert ask(server, "/a%20b/in") == (200, "text/plain; charset=utf-8", "texts")
    assert ask(server, "/a%20b/deep/er%20%C3%A9/")[2] == "deeper"


def test_an_object_store_without_tls_says_so(tmp_path: Path) -> None:
    text = REMOTE.replace("s3.example.com", "http://127.0.0.1:9000")
    with SystemMapServer(load(tmp_path, text)) as server:
        answer = ask_json(server, "/object-storage")
    assert isinstance(answer, dict)
    assert answer["host"] == ["http://127.0.0.1:9000"]


def test_our_client_reads_what_the_file_says(
    system_map: FileSystemMap, server: SystemMapServer
) -> None:
    client = HttpSystemMap(server.url, Options())
    assert client.service("a b") == system_map.service("a b")
    assert client.bucket("a b", "deep/er é") == "deeper"
    assert client.broker() == system_map.broker()
    assert client.database() == system_map.database()
    assert client.storage() == system_map.storage()
    with pytest.raises(ConfigurationError, match='there is no service "c"'):
        client.service("c")
    client.close()


@pytest.mark.parametrize(
    "path", ["/", "/none", "/none/in", "/a%20b/none", "/a%20b/%2e%2e/x", "//", "/%ff%00", "*"]
)
def test_what_is_unknown_is_a_404_of_one_line(path: str, server: SystemMapServer) -> None:
    status, content_type, text = ask(server, path)
    assert (status, content_type) == (404, "text/plain; charset=utf-8")
    assert text.startswith("there is no ")
    assert text.count("\n") == 1


def test_embedded_parts_cannot_be_asked_for(tmp_path: Path) -> None:
    with SystemMapServer(load(tmp_path, EMBEDDED + SERVICES)) as server:
        assert server.embedded_parts() == ["rabbitmq", "object-storage", "db"]
        for name in server.embedded_parts():
            status, _, text = ask(server, f"/{name}")
            assert status == 404
            assert text == f"{name} is embedded in one process and cannot be shared\n"
        client = HttpSystemMap(server.url, Options())
        with pytest.raises(ConfigurationError, match="rabbitmq is embedded in one process"):
            client.broker()
        client.close()


def test_nothing_is_embedded_where_all_is_remote(server: SystemMapServer) -> None:
    assert server.embedded_parts() == []


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 405), ("POST", 405), ("DELETE", 405), ("BREW", 501)]
)
def test_only_get_is_answered(method: str, status: int, server: SystemMapServer) -> None:
    assert ask(server, "/a%20b", method)[0] == status


def test_a_refused_head_has_no_body(server: SystemMapServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as answer:
            assert answer.read().endswith(b"Allow: GET\r\n\r\n")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"\x16\x03\x01\x00\x05hello",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /db HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
    ],
)
def test_no_bad_request_brings_it_down(
    request_bytes: bytes, server: SystemMapServer, capfd: pytest.CaptureFixture[str]
) -> None:
    port = int(server.url.rpartition(":")[2])
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(request_bytes)
    assert ask(server, "/a%20b/in")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_client_that_says_nothing_holds_up_nobody(server: SystemMapServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30):
        assert ask(server, "/a%20b/in")[0] == 200


def test_serve_forever_ends_when_another_thread_stops_it(system_map: FileSystemMap) -> None:
    server = SystemMapServer(system_map)
    thread = Thread(target=server.serve_forever)
    thread.start()
    assert ask(server, "/a%20b/in")[0] == 200
    server.stop()
    thread.join(30)
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "/a%20b/in")


def test_stopping_what_was_never_started_is_fine(system_map: FileSystemMap) -> None:
    server = SystemMapServer(system_map, port=unused_port())
    server.stop()
    server.stop()


def test_an_address_in_use_is_said_so(server: SystemMapServer, system_map: FileSystemMap) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(
        UsageError, match=f"cannot listen on 127.0.0.1 port {port}: Address already"
    ):
        SystemMapServer(system_map, port=port)
    with pytest.raises(UsageError, match="port must be 0-65535"):
        SystemMapServer(system_map, port=70_000)
