"""The proxy passes on, and breaks exactly what it is told to."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from servers.ports import LOOPBACK, wait_for
from servers.proxy import Direction, Proxy

SHORT = 0.2
BOUND = 30.0  # seconds after which waiting has failed
NO_LINGER = struct.pack("ii", 1, 0)


class Echo(socketserver.BaseRequestHandler):
    """Sends back what comes."""

    def handle(self) -> None:
        try:
            while data := self.request.recv(4096):
                self.request.sendall(data)
        except OSError:
            pass  # cut by the test


class EchoServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    block_on_close = False
    daemon_threads = True
    request_queue_size = 64


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """The address of a server that sends back what comes."""
    with EchoServer((LOOPBACK, 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield LOOPBACK, server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    with Proxy(*echo) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connect(proxy) as client:
        yield client


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=BOUND)


def receive(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := client.recv(count - len(data))):
        data += more
    return data


def passes(client: socket.socket, data: bytes = b"ping") -> bool:
    client.sendall(data)
    return receive(client, len(data)) == data


def is_silent(client: socket.socket) -> bool:
    client.settimeout(SHORT)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(BOUND)
    return False


def test_bytes_pass_both_ways_and_are_counted(proxy: Proxy, client: socket.socket) -> None:
    assert passes(client, b"x" * 300_000)
    assert proxy.carried == {Direction.UP: 300_000, Direction.DOWN: 300_000}
    assert (proxy.accepted, proxy.open, proxy.cuts) == (1, 1, 0)


def test_an_end_of_one_direction_is_passed_on(proxy: Proxy, client: socket.socket) -> None:
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 100) == b"last"
    wait_for(lambda: proxy.open == 0, what="the connection to be over")
    assert proxy.cuts == 0


def test_a_cut_with_rst_is_an_error_and_a_cut_with_fin_an_end(proxy: Proxy) -> None:
    with connect(proxy) as first, connect(proxy) as second:
        assert passes(first)
        assert passes(second)
        assert proxy.cut(reset=True) == 2
        for client in (first, second):
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    with connect(proxy) as third:
        assert passes(third)
        assert proxy.cut(reset=False) == 1
        assert third.recv(1) == b""
    assert (proxy.accepted, proxy.open, proxy.cuts) == (3, 0, 3)


@pytest.mark.parametrize(("direction", "arrives"), [(Direction.UP, 5), (Direction.DOWN, 7)])
def test_a_cut_comes_after_exactly_so_many_bytes_of_one_direction(
    proxy: Proxy, client: socket.socket, direction: Direction, arrives: int
) -> None:
    assert passes(client)  # bytes from before do not count
    before = proxy.carried[direction]
    proxy.cut_after(arrives, direction)
    client.sendall(b"1234567890")
    if direction is Direction.DOWN:
        assert receive(client, 10) == b"1234567"
    wait_for(lambda: proxy.cuts == 1, what="the cut")
    wait_for(lambda: proxy.open == 0, what="the connection to be over")
    assert proxy.carried[direction] - before == arrives
    with connect(proxy) as next_client:
        assert passes(next_client, b"1234567890"), "one cut was ordered"


def test_a_cut_counts_every_connection_by_itself_and_ends_as_many_as_told(proxy: Proxy) -> None:
    proxy.cut_after(4, Direction.UP, times=2)
    for _ in range(2):
        with connect(proxy) as client:
            assert passes(client, b"123")
            client.sendall(b"45")
            assert receive(client, 2) in (b"", b"4")
    assert proxy.cuts == 2
    with connect(proxy) as client:
        assert passes(client, b"123456")


def test_no_times_call_an_order_off(proxy: Proxy, client: socket.socket) -> None:
    proxy.cut_after(1, Direction.UP)
    proxy.cut_after(1, Direction.UP, times=0)
    assert passes(client)


@pytest.mark.parametrize("direction", list(Direction))
def test_what_is_held_passes_after_the_release(
    proxy: Proxy, client: socket.socket, direction: Direction
) -> None:
    assert passes(client)
    before = proxy.carried[direction]
    proxy.hold(direction)
    client.sendall(b"held")
    assert is_silent(client)
    assert proxy.carried[direction] == before
    with connect(proxy) as other:
        other.sendall(b"new")
        assert is_silent(other), "connections are taken while the wire is dead"
        proxy.release()
        assert receive(other, 3) == b"new"
    assert receive(client, 4) == b"held"


def test_a_close_does_not_get_through_a_wire_that_is_held(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert passes(client)
        proxy.hold()
    assert proxy.open == 1
    proxy.release()
    wait_for(lambda: proxy.open == 0, what="the close to get through")


def test_a_held_connection_can_be_cut(proxy: Proxy, client: socket.socket) -> None:
    assert passes(client)
    proxy.hold()
    assert proxy.cut() == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_slow_wire_takes_its_time(proxy: Proxy, client: socket.socket) -> None:
    assert passes(client)
    proxy.slow(10_000, Direction.DOWN)
    begin = time.monotonic()
    assert passes(client, b"x" * 3_000)
    assert time.monotonic() - begin > 0.2
    proxy.slow(0)
    begin = time.monotonic()
    assert passes(client, b"x" * 300_000)
    assert time.monotonic() - begin < 20, "as slow as before, it would take thirty"


def test_a_refusing_proxy_keeps_what_it_has_and_listens_again(
    proxy: Proxy, client: socket.socket
) -> None:
    assert passes(client)
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy).close()
    assert passes(client)
    proxy.accept()
    with connect(proxy) as next_client:
        assert passes(next_client)


def test_a_target_that_is_away_closes_what_comes(dead_port: int) -> None:
    with Proxy(LOOPBACK, dead_port) as proxy:
        # The reset may come as early as before the connection is known to be made.
        with pytest.raises(ConnectionResetError), connect(proxy) as client:
            client.recv(1)
        assert proxy.accepted == 1
        wait_for(lambda: proxy.open == 0, what="the connection to be over")


def test_a_reset_of_one_side_reaches_the_other() -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as listener,
        Proxy(*listener.getsockname()) as proxy,
        connect(proxy) as client,
    ):
        target, _address = listener.accept()
        with target:
            target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_closed_proxy_leaves_no_thread_and_no_port(echo: tuple[str, int]) -> None:
    proxy = Proxy(*echo)
    with connect(proxy) as client:
        assert passes(client)
        proxy.close()
        proxy.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy).close()
    assert not [thread for thread in threading.enumerate() if thread.name == "proxy"]
