"""What one message costs in the hot path, beside what pika needs for the same bytes.

Every operation runs in turn with its rival, so that both see the same machine; what is shown is
the median of the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pika
from pika import frame, spec

from slingshot_microservice import hotpath

ROUNDS = 7
MESSAGES = 2_000
QUEUE = "an-outbound-queue"


def delivery_stream() -> bytes:
    """Return what RabbitMQ sends for `MESSAGES` deliveries of nine-digit ids."""
    make_properties: Callable[..., pika.BasicProperties] = pika.BasicProperties
    parts = []
    for tag in range(1, MESSAGES + 1):
        deliver = spec.Basic.Deliver(  # type: ignore[no-untyped-call]
            "svc-consumer", tag, False, "", "svc-inbound"
        )
        body = b"%d" % (100_000_000 + tag)
        parts += [
            frame.Method(1, deliver).marshal(),
            frame.Header(1, len(body), make_properties(delivery_mode=2)).marshal(),
            frame.Body(1, body).marshal(),
        ]
    return b"".join(parts)


STREAM = delivery_stream()


def read_ours() -> None:
    """Read the stream with the hot path."""
    assert len(hotpath.FrameReader(1).feed(STREAM).deliveries) == MESSAGES


def read_pika() -> None:
    """Read the stream with pika's decoder, and the ids with `int`."""
    data, position, ids = memoryview(STREAM), 0, []
    while position < len(data):
        used, value = frame.decode_frame(bytes(data[position : position + 200]))
        position += used
        if isinstance(value, frame.Body):
            ids.append(int(value.fragment))
    assert len(ids) == MESSAGES


def publish_ours() -> None:
    """Build the bytes of `MESSAGES` publishes with the hot path."""
    writer = hotpath.FrameWriter(1, [QUEUE])
    for id in range(100_000_000, 100_000_000 + MESSAGES):
        writer.publish(0, id)
    assert writer.take()


def publish_pika() -> None:
    """Build the same bytes with pika."""
    make_properties: Callable[..., pika.BasicProperties] = pika.BasicProperties
    parts = []
    for id in range(100_000_000, 100_000_000 + MESSAGES):
        body = b"%d" % id
        publish = spec.Basic.Publish(  # type: ignore[no-untyped-call]
            exchange="", routing_key=QUEUE, mandatory=True
        )
        parts += [
            frame.Method(1, publish).marshal(),
            frame.Header(1, len(body), make_properties(delivery_mode=2)).marshal(),
            frame.Body(1, body).marshal(),
        ]
    assert b"".join(parts)


def nanoseconds(operation: Callable[[], None]) -> float:
    """Return the nanoseconds of one message in one run of ``operation``."""
    start = time.perf_counter_ns()
    operation()
    return (time.perf_counter_ns() - start) / MESSAGES


def main() -> None:
    """Print the table."""
    print(f"{hotpath.IMPLEMENTATION}, medians of {ROUNDS} interleaved rounds, ns a message\n")
    print(f"{'operation':<16}{'ours':>10}{'pika':>10}{'ratio':>8}")
    for name, ours, pikas in (
        ("read frames", read_ours, read_pika),
        ("build publishes", publish_ours, publish_pika),
    ):
        rounds = [(nanoseconds(ours), nanoseconds(pikas)) for _ in range(ROUNDS)]
        mine = statistics.median(pair[0] for pair in rounds)
        theirs = statistics.median(pair[1] for pair in rounds)
        print(f"{name:<16}{mine:>10,.0f}{theirs:>10,.0f}{theirs / mine:>7.1f}x")


if __name__ == "__main__":
    main()
