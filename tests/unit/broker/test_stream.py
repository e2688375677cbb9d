"""The stream past pika: which pika it needs, and what it does with a stream that lies."""

from __future__ import annotations

import ast
import importlib
import re
import socket
import sys
from collections.abc import Iterator
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
from slingshot_microservice.hotpath import FrameReader, Ledger, Received

ROOT = Path(__file__).parents[3]
BOUND = 20.0  # seconds after which waiting has failed

# What a server says until the connection is open. It need not wait for the answers.
HANDSHAKE = (
    frames.method(frames.spec.Connection.Start(server_properties={}), channel=0)
    + frames.method(frames.spec.Connection.Tune(2047, frames.FRAME_MAX, 0), channel=0)
    + frames.method(frames.spec.Connection.OpenOk(), channel=0)
)


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


def failure_after(listener: socket.socket, data: bytes) -> BaseException | None:
    """Send ``data`` on an open connection, and return the reason that it is closed for."""
    loop, ledger, opened = IOLoop(), Ledger(), Event()
    reasons: list[BaseException] = []

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(HANDSHAKE)
            assert opened.wait(BOUND)
            peer.sendall(data)
            while peer.recv(65_536):
                pass

    def on_failed(_connection: object, reason: BaseException) -> None:
        reasons.append(reason)
        loop.stop()

    def on_received(received: Received) -> None:
        ledger.deliver(received.deliveries)

    host, port = listener.getsockname()
    with ThreadPoolExecutor() as pool:
        serving = pool.submit(serve)
        StreamConnection(
            pika.ConnectionParameters(host, port),
            loop,
            FrameReader(frames.CHANNEL),
            on_open=lambda _connection: opened.set(),
            on_failed=on_failed,
            on_received=on_received,
        )
        loop.call_later(BOUND, loop.stop)
        loop.start()
        loop.close()
        serving.result(BOUND)
    return reasons[0] if reasons else None


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
    reason = failure_after(listener, data)
    assert isinstance(reason, pika.exceptions.StreamLostError)
    assert re.match(f"what came in is not AMQP: .*{lie}", str(reason.args[0]))
