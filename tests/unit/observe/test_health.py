"""Probes: what is answered, to whom, and that nobody can keep others from an answer."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from servers.ports import LOOPBACK, listens, wait_for
from servers.probes import live, probe, ready

from slingshot_microservice.errors import OptionError
from slingshot_microservice.observe.health import HealthServer

BOUND = 20.0  # seconds after which waiting has failed


class State:
    """What is wrong with a service that is none."""

    fault: str | None = None
    trouble: str | None = None


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def port(state: State) -> Iterator[int]:
    with HealthServer(LOOPBACK, 0, lambda: state.fault, lambda: state.trouble) as server:
        yield server.port


def test_all_is_well(port: int) -> None:
    assert live(port) == (200, "ok")
    assert ready(port) == (200, "ok")


def test_each_path_answers_its_own_question(port: int, state: State) -> None:
    state.trouble = "paused: the database is away"
    assert ready(port) == (503, "paused: the database is away")
    assert live(port) == (200, "ok")
    state.trouble, state.fault = None, "a worker has died"
    assert ready(port) == (200, "ok")
    assert live(port) == (503, "a worker has died")


def test_a_reason_is_one_line_whatever_is_in_it(port: int, state: State) -> None:
    state.trouble = "no\nroute\r\nto  host\udcff"
    assert ready(port) == (503, "no route to host?")


@pytest.mark.parametrize("path", ["/", "/livez/", "/readyz/x", "/metrics", "//livez", "livez"])
def test_any_other_path_is_unknown(port: int, path: str) -> None:
    assert probe(port, path) == (404, "there are /livez and /readyz")


def test_what_follows_a_question_mark_does_not_count(port: int) -> None:
    assert probe(port, "/livez?verbose=1") == (200, "ok")


def test_head_is_answered_without_a_body(port: int, state: State) -> None:
    assert probe(port, "/readyz", "HEAD") == (200, "")
    state.trouble = "starting"
    assert probe(port, "/readyz", "HEAD") == (503, "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_but_reading_is_done(port: int, method: str) -> None:
    assert probe(port, "/readyz", method) == (501, f"Unsupported method ('{method}')")


def test_it_is_plain_text_that_nobody_keeps_and_names_no_version(port: int) -> None:
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=BOUND)) as connection:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        answer.read()
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Server"].strip() == "slingshot-microservice"


def test_those_who_say_nothing_keep_nobody_from_an_answer(port: int) -> None:
    before = threading.active_count()
    with ExitStack() as connections:
        for _ in range(100):
            connections.enter_context(socket.create_connection((LOOPBACK, port), timeout=BOUND))
        assert live(port) == (200, "ok")
        wait_for(lambda: threading.active_count() <= before + 16, BOUND, "the oldest to be closed")
    wait_for(lambda: threading.active_count() <= before, BOUND, "the connections to end")


def test_a_stop_lets_go_of_the_port() -> None:
    with HealthServer(LOOPBACK, 0, lambda: None, lambda: None) as server:
        assert listens(LOOPBACK, server.port)
    assert not listens(LOOPBACK, server.port)
    with HealthServer(LOOPBACK, server.port, lambda: None, lambda: None) as again:
        assert live(again.port) == (200, "ok")


def test_an_address_of_ipv6() -> None:
    with HealthServer("::1", 0, lambda: None, lambda: None) as server:
        assert probe(server.port, "/livez", host="::1") == (200, "ok")


def test_a_port_that_is_taken_is_one_line(port: int) -> None:
    with pytest.raises(OptionError) as caught:
        HealthServer(LOOPBACK, port, lambda: None, lambda: None)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1 port {port} for probes: Address already in use; "
        "choose another (options health_host and health_port)"
    )


def test_an_address_that_is_not_ours_is_one_line() -> None:
    with pytest.raises(OptionError, match=r"^cannot listen on no\.such\.invalid port 8081 for"):
        HealthServer("no.such.invalid", 8081, lambda: None, lambda: None)
