"""The stream past pika: which pika it needs, and what it does with a stream that lies."""

from __future__ import annotations

import ast
import importlib
import re
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from threading import Event

import frames
import pika
import pytest
from pika.adapters.select_connection import IOLoop

from slingshot_microservice.broker import stream
from slingshot_microservice.broker.stream import PRIVATE_NAMES, SUPPORTED_PIKA, StreamConnection
from slingshot_microservice.errors import BrokerError
from slingshot_microservice.hotpath import FrameReader, Ledger

ROOT = Path(__file__).parents[3]
BOUND = 20.0  # seconds after which waiting has failed

GREETING = frames.method(
    frames.spec.Connection.Start(server_properties={}), channel=0
) + frames.method(frames.spec.Connection.Tune(2047, frames.FRAME_MAX, 0), channel=0)
OPEN = b"\x00\x0a\x00\x28"  # connection.open, the last that a client says until it is open
OPENED = frames.method(frames.spec.Connection.OpenOk(), channel=0)


def delivery(tag: int) -> bytes:
    return frames.deliver(tag) + frames.content(b"7")


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_a_pika_that_lacks_a_name_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (owner,) = [base for base in pika.SelectConnection.__mro__ if name in vars(base)]
    monkeypatch.delattr(owner, name)
    monkeypatch.setattr(pika, "__version__", "1.9.0")
    monkeypatch.delitem(sys.modules, stream.__name__)
    with pytest.raises(BrokerError) as refusal:
        importlib.import_module(stream.__name__)
    assert str(refusal.value) == (
        f"pika 1.9.0 is installed and has no SelectConnection.{name}; "
        f"supported is pika {SUPPORTED_PIKA}: pip install 'pika{SUPPORTED_PIKA}'"
    )


def private_names_used(path: Path) -> Iterator[str]:
    """Yield what a module uses of the private names of others; only the stream inherits any."""
    inherited = dir(pika.SelectConnection) if path.stem == "stream" else []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and re.match("_(?!_)", node.attr):
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            if not own or node.attr in inherited:
                yield node.attr


def test_the_stream_alone_uses_private_names_and_lists_all_of_them() -> None:
    used = {
        path.stem: {*private_names_used(path)} for path in Path(stream.__file__).parent.glob("*.py")
    }
    assert {module: names for module, names in used.items() if names} == {
        "stream": {*PRIVATE_NAMES}
    }


def test_the_supported_range_is_the_same_wherever_it_is_said() -> None:
    requirements = metadata.requires("slingshot-microservice") or []
    (required,) = [one for one in requirements if re.match(r"pika\b", one)]
    assert {*required.removeprefix("pika").split(",")} == {*SUPPORTED_PIKA.split(",")}
    for document in ("pyproject.toml", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        assert {*re.findall(r"\bpika *([<>=][\d.,<>=]+)", text)} == {SUPPORTED_PIKA}, document


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(BOUND)
        yield listener


class Peer:
    """A server that opens any connection, and the client's end of one.

    Args:
        listener: Where it listens.
        talk: What it does with the connection when that is open.
    """

    def __init__(self, listener: socket.socket, talk: Callable[[socket.socket], object]) -> None:
        self.listener = listener
        self.talk = talk
        self.opened = Event()
        self.ledger = Ledger()
        self.reasons: list[BaseException] = []

    def serve(self) -> None:
        peer, _ = self.listener.accept()
        with peer:
            peer.settimeout(BOUND)
            peer.sendall(GREETING)
            read_until(peer, OPEN)
            peer.sendall(OPENED)
            assert self.opened.wait(BOUND)
            self.talk(peer)

    def meet(
        self, on_open: Callable[[StreamConnection], object] = lambda _connection: None
    ) -> None:
        """Connect, call ``on_open``, and return when the connection is gone."""
        loop = IOLoop()

        def note_open(connection: pika.connection.Connection) -> None:
            assert isinstance(connection, StreamConnection)
            self.opened.set()
            on_open(connection)

        def on_failed(_connection: object, reason: BaseException) -> None:
            self.reasons.append(reason)
            loop.stop()

        host, port = self.listener.getsockname()
        with ThreadPoolExecutor() as pool:
            serving = pool.submit(self.serve)
            StreamConnection(
                pika.ConnectionParameters(host, port),
                loop,
                FrameReader(frames.CHANNEL),
                on_open=note_open,
                on_failed=on_failed,
                on_received=lambda received: self.ledger.deliver(received.deliveries),
            )
            loop.call_later(BOUND, loop.stop)
            loop.start()
            loop.close()
            serving.result(BOUND)


def read_until(peer: socket.socket, end: bytes) -> None:
    said = b""
    while end not in said:
        piece = peer.recv(65_536)
        assert piece, f"it has closed after {said!r}"
        said += piece


def drain(peer: socket.socket) -> bytes:
    """Read until the other side has closed."""
    pieces = []
    while piece := peer.recv(1_048_576):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("data", "lie"),
    [
        (frames.frame(1, b"\0\x3c\0\x3c", end=0), "a frame ends"),
        (delivery(5) + delivery(5), "delivery tag 5 does not come after 5"),
        (delivery(5) + delivery(4), "delivery tag 4 does not come after 5"),
    ],
    ids=["no frame", "a tag twice", "tags that fall"],
)
def test_a_stream_that_lies_ends_its_connection_with_the_reason(
    listener: socket.socket, data: bytes, lie: str
) -> None:
    def lie_to(peer: socket.socket) -> None:
        peer.sendall(data)
        drain(peer)

    peer = Peer(listener, lie_to)
    peer.meet()
    (reason,) = peer.reasons
    assert isinstance(reason, pika.exceptions.StreamLostError)
    assert re.match(f"what came in is not AMQP: .*{lie}", str(reason.args[0]))


def test_what_is_sent_leaves_at_once(listener: socket.socket) -> None:
    arrived = Event()

    def talk(peer: socket.socket) -> None:
        read_until(peer, b"whole frames")
        arrived.set()

    def send(connection: StreamConnection) -> None:
        connection.send(b"whole frames")
        assert arrived.wait(BOUND), "it waits for the loop"

    Peer(listener, talk).meet(send)
    assert arrived.is_set()


@pytest.mark.parametrize("tuned", [True, False], ids=["past pika", "by way of pika"])
def test_what_a_slow_peer_does_not_take_yet_follows_in_order(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, tuned: bool
) -> None:
    if not tuned:  # as with a pika that calls it by another name
        monkeypatch.setattr(stream, "_SOCKET", "a name that it has not")
    pieces = [bytes([65 + number]) * 3_000_000 for number in range(8)]
    channel_open = frames.method(frames.spec.Channel.Open(), channel=7)
    expected = b"".join([*pieces[:4], channel_open, *pieces[4:]])
    full = Event()
    received: list[bytes] = []

    def talk(peer: socket.socket) -> None:
        assert full.wait(BOUND)
        with peer.makefile("rb") as file:
            received.append(file.read(len(expected)))

    def send(connection: StreamConnection) -> None:
        for piece in pieces[:4]:
            connection.send(piece)
        connection.channel(channel_number=7, on_open_callback=lambda _channel: None)
        for piece in pieces[4:]:
            connection.send(piece)
        full.set()

    Peer(listener, talk).meet(send)
    assert received[0] == expected


def test_what_pika_has_still_to_send_goes_first(listener: socket.socket) -> None:
    channel_open = frames.method(frames.spec.Channel.Open(), channel=7)

    def send(connection: StreamConnection) -> None:
        connection.channel(channel_number=7, on_open_callback=lambda _channel: None)
        connection.send(b"whole frames")

    Peer(listener, lambda peer: read_until(peer, channel_open + b"whole frames")).meet(send)


def test_sending_to_a_peer_that_is_gone_is_heard_of_by_the_way(listener: socket.socket) -> None:
    gone = Event()

    def talk(peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        gone.set()

    def send(connection: StreamConnection) -> None:
        assert gone.wait(BOUND)
        for _ in range(3):
            connection.send(b"whole frames")

    peer = Peer(listener, talk)
    peer.meet(send)
    (reason,) = peer.reasons
    assert isinstance(reason, pika.exceptions.StreamLostError)
