"""What ``bench`` measures of one message: every operation of the hot path, on either twin."""

from __future__ import annotations

import importlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from struct import Struct
from typing import Protocol, TypeAlias, cast

from ..hotpath import Confirm, Delivery, Finished, Publish, Received

__all__ = [
    "BODIES",
    "IDS",
    "MESSAGES",
    "OPERATIONS",
    "PIECES",
    "QUEUE",
    "HotPath",
    "Operation",
    "best_nanoseconds",
    "deliveries",
    "twins",
]

MESSAGES = 2_000
"""Messages of one run of an operation."""

IDS = range(100_000_000, 100_000_000 + MESSAGES)
BODIES = [b"%d" % id for id in IDS]
QUEUE = "an-outbound-queue"

_CHANNEL = 1
_BATCH = 100  # messages that a worker finishes before the I/O thread comes to them
_PIECE_BYTES = 4096  # of one read from the socket, which is how much pika asks for
_FRAME = Struct(">BHL")
_DELIVER = bytes([0, 60, 0, 60])  # AMQP's class and method
_CONTENT = Struct(">HHQHB")
_DELIVERY_MODE_FLAG, _PERSISTENT = 0x1000, 2

Operation: TypeAlias = Callable[[], object]
"""Does its work once for each of `MESSAGES` messages."""


class _Reader(Protocol):
    def feed(self, data: bytes) -> Received: ...


class _Writer(Protocol):
    def publish(self, queue: int, id: int) -> None: ...

    def take(self) -> bytes: ...


class _Table(Protocol):
    def plan(
        self, outputs: Iterable[object] | None
    ) -> tuple[list[Publish], list[bool | int | str]]: ...


class _Ledger(Protocol):
    def deliver(self, deliveries: Iterable[Delivery]) -> None: ...

    def publish_finished(
        self, finished: Iterable[Finished], epoch: int, writer: _Writer
    ) -> None: ...

    def confirm(self, confirms: Iterable[Confirm]) -> None: ...

    def acknowledge(self, writer: _Writer) -> int: ...


class HotPath(Protocol):
    """What a twin consists of."""

    def decode_id(self, body: bytes) -> int:
        """Read an id."""
        ...

    def RoutingTable(  # noqa: N802  # a class, seen as a function
        self, routes: Iterable[tuple[bool | int | str, Sequence[int]]]
    ) -> _Table:
        """Make a routing table."""
        ...

    def FrameReader(self, channel: int) -> _Reader:  # noqa: N802
        """Make a reader of the byte stream."""
        ...

    def FrameWriter(self, channel: int, queues: Sequence[str]) -> _Writer:  # noqa: N802
        """Make a writer of the byte stream."""
        ...

    def Ledger(self) -> _Ledger:  # noqa: N802
        """Make a ledger."""
        ...


def twins() -> dict[str, HotPath]:
    """Return the implementations that this installation has, by name; the compiled one first."""
    package = __package__.rpartition(".")[0] + ".hotpath"
    modules = {name: f"{package}._{name}" for name in ("compiled", "fallback")}
    return {
        name: cast(HotPath, importlib.import_module(module))
        for name, module in modules.items()
        if find_spec(module) is not None
    }


def deliveries(ids: Sequence[int], first_tag: int = 1) -> bytes:
    """Return what RabbitMQ sends to deliver ``ids``, as persistent messages."""
    return b"".join(_delivery(tag, b"%d" % id) for tag, id in enumerate(ids, first_tag))


def _delivery(tag: int, body: bytes) -> bytes:
    consumer, exchange, queue = _short("svc-consumer"), _short(""), _short("svc-inbound")
    method = _DELIVER + consumer + tag.to_bytes(8, "big") + b"\0" + exchange + queue
    header = _CONTENT.pack(60, 0, len(body), _DELIVERY_MODE_FLAG, _PERSISTENT)
    return _frame(1, method) + _frame(2, header) + _frame(3, body)


def _frame(kind: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, _CHANNEL, len(payload)) + payload + b"\xce"


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _pieces(stream: bytes) -> list[bytes]:
    return [stream[at : at + _PIECE_BYTES] for at in range(0, len(stream), _PIECE_BYTES)]


PIECES = _pieces(deliveries(IDS))
"""The byte stream of `MESSAGES` deliveries, cut where reads from a socket cut it: anywhere."""


def _decode(twin: HotPath) -> Operation:
    decode = twin.decode_id
    return lambda: deque(map(decode, BODIES), maxlen=0)


def _route(twin: HotPath) -> Operation:
    plan = twin.RoutingTable([(True, [0]), (False, [1]), ("large", [0, 1])]).plan
    outputs = [[(id, True)] for id in IDS]
    return lambda: deque(map(plan, outputs), maxlen=0)


def _read(twin: HotPath) -> Operation:
    def read() -> int:
        feed = twin.FrameReader(_CHANNEL).feed
        return sum(len(feed(piece).deliveries) for piece in PIECES)

    return read


def _build(twin: HotPath) -> Operation:
    batches = _batches()

    def build() -> None:
        ledger, writer = twin.Ledger(), twin.FrameWriter(_CHANNEL, [QUEUE])
        for batch in batches:
            ledger.publish_finished(batch, 1, writer)
            writer.take()

    return build


def _settle(twin: HotPath) -> Operation:
    arrived = [[(tag, 0, False) for _, tag, _ in batch] for batch in _batches()]
    batches = _batches()

    def settle() -> int:
        ledger, writer = twin.Ledger(), twin.FrameWriter(_CHANNEL, [QUEUE])
        acknowledged = 0
        for delivered, batch in zip(arrived, batches, strict=True):
            ledger.deliver(delivered)
            ledger.publish_finished(batch, 1, writer)
            ledger.confirm([(batch[-1][1], True, True)])
            acknowledged += ledger.acknowledge(writer)
            writer.take()
        return acknowledged

    return settle


def _batches() -> list[list[Finished]]:
    """Return `MESSAGES` finished deliveries with one output each, in batches."""
    finished: list[Finished] = [(1, tag, [(0, id)]) for tag, id in enumerate(IDS, 1)]
    return [finished[at : at + _BATCH] for at in range(0, MESSAGES, _BATCH)]


OPERATIONS: Mapping[str, Callable[[HotPath], Operation]] = {
    "decode an id": _decode,
    "route an output": _route,
    "read frames": _read,
    "build publishes": _build,
    "deliver, publish, confirm, ack": _settle,
}
"""What can be measured of a twin, by name."""


def best_nanoseconds(operations: Sequence[Operation], rounds: int) -> list[float]:
    """Measure operations in turn, so that all of them see the same machine.

    Returns:
        The nanoseconds of one message for each, in the best of ``rounds``: what comes on top of
        it is other programs' doing.
    """
    times = [[_nanoseconds(operation) for operation in operations] for _ in range(rounds)]
    return [min(of_one) for of_one in zip(*times, strict=True)]


def _nanoseconds(operation: Operation) -> float:
    start = time.perf_counter_ns()
    operation()
    return (time.perf_counter_ns() - start) / MESSAGES
