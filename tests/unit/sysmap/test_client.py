"""The configuration service over HTTP: what is asked, and what is tried again."""

from __future__ import annotations

import base64
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from servers.sys_map import Answer, SysMapServer, unused_port

from slingshot_microservice.errors import (
    ConfigurationError,
    ConfigurationUnavailableError,
    UsageError,
)
from slingshot_microservice.options import Options
from slingshot_microservice.sysmap.client import HttpSystemMap
from slingshot_microservice.sysmap.models import Route, ServiceSettings

OPTIONS = Options(startup_timeout=30, http_timeout=10)


class Clock:
    """A time that only passes while someone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []
        self.on_nap: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.naps.append(seconds)
        self.on_nap()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connect(clock: Clock) -> Iterator[Callable[..., HttpSystemMap]]:
    opened: list[HttpSystemMap] = []

    def make(url: str, options: Options = OPTIONS) -> HttpSystemMap:
        opened.append(HttpSystemMap(url, options, clock=clock, sleep=clock.sleep))
        return opened[-1]

    yield make
    for system_map in opened:
        system_map.close()


@pytest.fixture
def client(sys_map_server: SysMapServer, connect: Callable[..., HttpSystemMap]) -> HttpSystemMap:
    return connect(sys_map_server.url)


def describe(server: SysMapServer) -> None:
    login = {"port": 1234, "username": "me", "pass": "mq/me"}
    server.describe(
        "shout",
        "inbound",
        [(True, ["yes"]), (1, ["one"]), ("1", ["text"])],
        {"in": "texts"},
        rabbitmq={"host": ["mq1", "mq2"], **login},
        db={"host": "pg", "database": "shop", **login},
        storage={"host": "s3", "pass:access-key": "s3/a", "pass:secret-key": "s3/s"},
    )


def test_the_whole_contract_is_read_over_one_kept_connection(
    sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    describe(sys_map_server)
    routes = (Route(True, ("yes",)), Route(1, ("one",)), Route("1", ("text",)))
    assert client.service("shout") == ServiceSettings("inbound", routes)
    assert client.broker().hosts == ("mq1", "mq2")
    assert client.database().database == "shop"
    assert client.storage().endpoint == "https://s3"
    assert client.bucket("shout", "in") == "texts"
    paths = ["/shout", "/rabbitmq", "/db", "/object-storage", "/shout/in"]
    assert sys_map_server.requests == paths
    assert sys_map_server.connections == 1


def test_asking_again_after_close_is_allowed(
    sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    describe(sys_map_server)
    client.broker()
    client.close()
    assert client.broker().port == 1234


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("sys-map.example.com", "https://sys-map.example.com"),
        ("sys-map.example.com:8443//", "https://sys-map.example.com:8443"),
        ("http://localhost:1/", "http://localhost:1"),
        ("https://x/below/", "https://x/below"),
        ("http://me:secret@x", "http://x"),
    ],
)
def test_the_base_url(host: str, source: str, connect: Callable[..., HttpSystemMap]) -> None:
    assert connect(host).source == source


@pytest.mark.parametrize("host", ["", "https://", "ftp://x", "http://a b", "x:99999", "x?y", "x#y"])
def test_what_is_no_host_is_refused(host: str, connect: Callable[..., HttpSystemMap]) -> None:
    with pytest.raises(UsageError, match=r"configuration host .*expected a host name"):
        connect(host)


def test_names_and_keys_are_quoted(sys_map_server: SysMapServer, client: HttpSystemMap) -> None:
    sys_map_server.describe("a%20b%3F", "inbound")
    sys_map_server.answer_text("/a%20b%3F/%C3%BC/deep%23", " bucket\r\n")
    assert client.service("a b?").inbound == "inbound"
    assert client.bucket("a b?", "/ü/deep#/") == "bucket"


@pytest.mark.parametrize("name", ["", "a/b", "rabbitmq", "db", "object-storage"])
def test_a_name_that_is_another_path_is_not_asked_for(
    name: str, sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    with pytest.raises(UsageError):
        client.service(name)
    with pytest.raises(UsageError):
        client.bucket(name, "in")
    assert sys_map_server.requests == []


@pytest.mark.parametrize("key", ["", "//", "..", "a/../../b"])
def test_a_key_that_leads_elsewhere_is_not_asked_for(
    key: str, sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    with pytest.raises(UsageError, match="bucket key"):
        client.bucket("shout", key)
    assert sys_map_server.requests == []


def test_a_redirect_is_followed(sys_map_server: SysMapServer, client: HttpSystemMap) -> None:
    sys_map_server.describe("new", "inbound")
    sys_map_server.answers["/old"] = Answer(302, headers={"Location": "/new"})
    assert client.service("old").inbound == "inbound"


@pytest.mark.parametrize("status", [500, 503, 429, 0])
def test_a_service_that_comes_back_is_waited_for(
    status: int,
    sys_map_server: SysMapServer,
    client: HttpSystemMap,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    describe(sys_map_server)
    sys_map_server.fail("/shout", 5, status)
    with caplog.at_level(logging.WARNING, "slingshot_microservice"):
        assert client.service("shout").inbound == "inbound"
    assert len(clock.naps) == 5
    assert clock.naps[4] > clock.naps[0] * 2
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert f"{sys_map_server.url}/shout" in warnings[0]


def test_a_service_that_starts_late_is_waited_for(
    clock: Clock, connect: Callable[..., HttpSystemMap]
) -> None:
    port = unused_port()
    with ExitStack() as servers:

        def start_at_last() -> None:
            if len(clock.naps) == 3:
                servers.enter_context(SysMapServer(port)).describe("shout", "inbound")

        clock.on_nap = start_at_last
        assert connect(f"http://127.0.0.1:{port}").service("shout").inbound == "inbound"


def test_an_unreachable_host_is_given_up_when_the_time_is_over(
    clock: Clock, connect: Callable[..., HttpSystemMap], dead_port: int
) -> None:
    url = f"http://127.0.0.1:{dead_port}"
    with pytest.raises(ConfigurationUnavailableError) as caught:
        connect(url).service("shout")
    message = str(caught.value)
    assert message.startswith(f"{url}/shout: connection refused; tried for ")
    assert "\n" not in message
    assert caught.value.source == f"{url}/shout"
    assert sum(clock.naps) == pytest.approx(30)


def test_a_bucket_is_given_up_sooner_because_a_request_is_held(
    clock: Clock, connect: Callable[..., HttpSystemMap], dead_port: int
) -> None:
    with pytest.raises(ConfigurationUnavailableError, match="connection refused; tried for"):
        connect(f"http://127.0.0.1:{dead_port}").bucket("shout", "in")
    assert sum(clock.naps) == pytest.approx(5)


def test_a_name_that_does_not_resolve_is_said_so(
    monkeypatch: pytest.MonkeyPatch, connect: Callable[..., HttpSystemMap]
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConfigurationUnavailableError, match="the name does not resolve"):
        connect("sys-map.example.com").broker()


def test_a_service_that_does_not_answer_is_said_so(
    sys_map_server: SysMapServer, connect: Callable[..., HttpSystemMap]
) -> None:
    sys_map_server.answers["/db"] = Answer(delay=60)
    client = connect(sys_map_server.url, Options(startup_timeout=0.3, http_timeout=0.05))
    started = time.monotonic()
    with pytest.raises(ConfigurationUnavailableError, match=r"no answer within 0\.05 s"):
        client.database()
    assert time.monotonic() - started < 50


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "the connection was closed"), (500, "HTTP 500"), (429, "HTTP 429")],
)
def test_a_service_that_goes_on_failing_is_given_up(
    status: int, words: str, sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    sys_map_server.answers["/rabbitmq"] = Answer(status)
    with pytest.raises(ConfigurationUnavailableError, match=f"/rabbitmq: {words}.*; tried for "):
        client.broker()
    assert len(sys_map_server.requests) > 5


@pytest.mark.parametrize("status", [200, 301, 401, 404])
def test_a_check_takes_any_answer_for_a_sign_of_life(
    status: int, sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    sys_map_server.answers["/shout"] = Answer(status, b"whatever")
    client.check("shout")
    assert sys_map_server.requests == ["/shout"]


@pytest.mark.parametrize(("status", "words"), [(0, "closed"), (503, "HTTP 503"), (429, "HTTP 429")])
def test_a_check_asks_only_once(
    status: int, words: str, sys_map_server: SysMapServer, client: HttpSystemMap, clock: Clock
) -> None:
    sys_map_server.answers["/shout"] = Answer(status)
    with pytest.raises(ConfigurationUnavailableError, match=rf"/shout: .*{words}.*\(1 attempt\)"):
        client.check("shout")
    assert sys_map_server.requests == ["/shout"]
    assert clock.naps == []


def test_waiting_for_a_service_may_be_ended(
    client: HttpSystemMap, clock: Clock, dead_port: int
) -> None:
    def interrupt() -> None:
        raise InterruptedError

    clock.on_nap = interrupt
    client._base = f"http://127.0.0.1:{dead_port}"
    with pytest.raises(InterruptedError):
        client.broker()


def test_http_where_https_was_expected_is_said_so(
    sys_map_server: SysMapServer, connect: Callable[..., HttpSystemMap]
) -> None:
    client = connect(sys_map_server.url.removeprefix("http://"))
    with pytest.raises(ConfigurationUnavailableError, match="no TLS connection can be made"):
        client.broker()


def test_credentials_of_the_url_are_used_and_never_shown(
    connect: Callable[..., HttpSystemMap],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        received: list[bytes] = []

        def answer_once() -> None:
            connection, _ = listener.accept()
            with connection:
                received.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer_once)
        thread.start()
        client = connect(f"http://me:hunter%402@127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(ConfigurationError, match="HTTP 401") as caught:
            client.broker()
        thread.join()
    assert b"Authorization: Basic " + base64.b64encode(b"me:hunter@2") in received[0]
    assert "hunter" not in f"{caught.value} {caught.value.source} {client.source}"


def test_several_threads_may_ask_at_once(
    sys_map_server: SysMapServer, client: HttpSystemMap
) -> None:
    keys = [f"key-{i}" for i in range(8)]
    sys_map_server.describe("shout", "q", buckets={key: f"bucket-of-{key}" for key in keys})
    found: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda k=key: found.update({k: client.bucket("shout", k)}))
        for key in keys
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {key: f"bucket-of-{key}" for key in keys}
