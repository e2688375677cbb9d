"""A relay over a byte stream on loop-back: all that a message costs but pika, threads and RabbitMQ.

At the other end of the stream a thread plays RabbitMQ in the simplest way there is: it sends a
window of deliveries that was made before, waits for as many bytes as their publishes have,
confirms them all at once, and waits for the acknowledgement.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .bench_operations import QUEUE, HotPath, deliveries

__all__ = ["RelayFigures", "relay"]

_CHANNEL = 1
_EPOCH = 1
_WINDOW = 300  # deliveries that are under way together, as with a prefetch of 300
_FIRST_ID = 100_000_000
_READ_BYTES = 65_536
_ACK = b"\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x50%b\x01\xce"  # a confirm looks the same


@dataclass(frozen=True)
class RelayFigures:
    """What a relay gave.

    Attributes:
        rate: Messages a second.
        nanoseconds: CPU time of one message, on our side of the stream.
    """

    rate: float
    nanoseconds: float


def relay(twin: HotPath, windows: int) -> RelayFigures:
    """Take ids from a stream, route them, publish them, and acknowledge what is confirmed.

    Args:
        twin: The implementation to use.
        windows: How many windows of 300 messages to relay.
    """
    broker = _Broker(twin, windows)
    with broker.ours:
        started, cpu_started = time.perf_counter(), time.thread_time()
        _work(twin, broker.ours, windows * _WINDOW)
        cpu, seconds = time.thread_time() - cpu_started, time.perf_counter() - started
    broker.join()
    count = windows * _WINDOW
    return RelayFigures(count / seconds, cpu / count * 1e9)


def _process(request: int) -> Iterator[tuple[int, bool]]:
    yield request, True


def _work(twin: HotPath, stream: socket.socket, count: int) -> None:
    reader, writer = twin.FrameReader(_CHANNEL), twin.FrameWriter(_CHANNEL, [QUEUE])
    table, ledger = twin.RoutingTable([(True, [0]), (False, [])]), twin.Ledger()
    acknowledged = 0
    while acknowledged < count:
        received = reader.feed(stream.recv(_READ_BYTES))
        ledger.deliver(received.deliveries)
        plan = table.plan
        finished = [(_EPOCH, tag, plan(_process(id))[0]) for tag, id, _ in received.deliveries]
        ledger.publish_finished(finished, _EPOCH, writer)
        ledger.confirm(received.confirms)
        acknowledged += ledger.acknowledge(writer)
        if data := writer.take():
            stream.sendall(data)


class _Broker:
    """The other end of the stream."""

    def __init__(self, twin: HotPath, windows: int) -> None:
        self.ours, self._theirs = socket.socketpair()
        starts = range(0, windows * _WINDOW, _WINDOW)
        self._windows = [_window(start) for start in starts]
        self._answer_bytes = _publish_bytes(twin) * _WINDOW
        self._thread = threading.Thread(target=self._serve, name="loop-back", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end, which is that of the stream or of the windows."""
        self._thread.join()

    def _serve(self) -> None:
        with self._theirs as stream:
            for number, window in enumerate(self._windows, 1):
                stream.sendall(window)
                _discard(stream, self._answer_bytes)
                confirm = _ACK % (number * _WINDOW).to_bytes(8, "big")
                stream.sendall(confirm)
                _discard(stream, len(confirm))


def _window(start: int) -> bytes:
    return deliveries(range(_FIRST_ID + start, _FIRST_ID + start + _WINDOW), start + 1)


def _publish_bytes(twin: HotPath) -> int:
    writer = twin.FrameWriter(_CHANNEL, [QUEUE])
    writer.publish(0, _FIRST_ID)
    return len(writer.take())


def _discard(stream: socket.socket, size: int) -> None:
    while size > 0 and (data := stream.recv(min(size, _READ_BYTES))):
        size -= len(data)
