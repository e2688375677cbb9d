"""A link whose server says nothing more is made anew all the same."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import frames
import pytest

from slingshot_microservice.broker import amqp
from slingshot_microservice.broker.amqp import IOLoop, Link, Server
from slingshot_microservice.hotpath import Received

BOUND = 20.0  # seconds after which waiting has failed
CLOSE_SECONDS = 0.05

# What a server says until the channel is open. It need not wait for the answers, nor say more.
GREETING = (
    frames.method(frames.spec.Connection.Start(server_properties={}), channel=0)
    + frames.method(frames.spec.Connection.Tune(2047, frames.FRAME_MAX, 0), channel=0)
    + frames.method(frames.spec.Connection.OpenOk(), channel=0)
    + frames.method(frames.spec.Channel.OpenOk(), channel=Link.CHANNEL)
)


class Listener:
    """Does one thing when the link is ready, and another when it is so again."""

    def __init__(self, loop: IOLoop) -> None:
        self._loop = loop
        self.steps: list[Callable[[], None]] = []
        self.readies = self.losses = 0

    def on_ready(self) -> None:
        self._loop.call_later(0, self.steps[self.readies])
        self.readies += 1

    def on_lost(self) -> None:
        self.losses += 1

    def on_received(self, received: Received) -> None: ...

    def on_blocked(self) -> None: ...

    def on_unblocked(self) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    """Where a server greets everybody, and never says another word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peers: list[socket.socket] = []

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peers.append(server.accept()[0])
                    peers[-1].sendall(GREETING)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(BOUND)
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("at_once", [False, True])
def test_a_mute_server_cannot_hold_up_a_restart(
    port: int, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "_CLOSE_SECONDS", CLOSE_SECONDS)
    loop = IOLoop()
    listener = Listener(loop)
    server = Server(("127.0.0.1",), port, "user", "secret", 60, 0.01, 0.01)
    link = Link(
        loop,
        server,
        name="test",
        purpose="testing",
        listener=listener,
        on_refused=lambda error: None,
        on_closed=lambda: loop.add_callback(loop.stop),
    )
    listener.steps = [
        lambda: link.restart("no reason", at_once=at_once),
        lambda: link.close(at_once=True),
    ]
    link.connect()
    loop.call_later(BOUND, loop.stop)
    loop.start()
    loop.close()
    assert (listener.readies, listener.losses) == (2, 2)
