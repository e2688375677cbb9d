"""AMQP frames as pika, the second implementation at hand, writes and reads them."""

from __future__ import annotations

from typing import Any

import pika.frame
import pika.spec

__all__ = [
    "CHANNEL",
    "FRAME_MAX",
    "body",
    "confirm",
    "content",
    "decode",
    "deliver",
    "frame",
    "header",
    "heartbeat",
    "method",
    "publish",
    "returned",
    "spec",
]

_frame: Any = pika.frame
spec: Any = pika.spec

CHANNEL = 1
FRAME_MAX = 131_072
_OVERHEAD = 8  # bytes around a frame's payload


def frame(kind: int, payload: bytes, channel: int = CHANNEL, end: int = 0xCE) -> bytes:
    """Marshal by hand, for frames that pika would not make."""
    head = bytes([kind]) + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big")
    return head + payload + bytes([end])


def method(fields: Any, channel: int = CHANNEL) -> bytes:
    """Marshal a method frame."""
    return bytes(_frame.Method(channel, fields).marshal())


def header(size: int, properties: Any = None, channel: int = CHANNEL) -> bytes:
    """Marshal the header of a message whose body has ``size`` bytes."""
    properties = spec.BasicProperties() if properties is None else properties
    return bytes(_frame.Header(channel, size, properties).marshal())


def body(fragment: bytes, channel: int = CHANNEL) -> bytes:
    """Marshal one piece of a body."""
    return bytes(_frame.Body(channel, fragment).marshal())


def content(data: bytes, properties: Any = None, channel: int = CHANNEL) -> bytes:
    """Marshal header and body, cut as a server cuts it."""
    step = FRAME_MAX - _OVERHEAD
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    bodies = b"".join(body(piece, channel) for piece in pieces)
    return header(len(data), properties, channel) + bodies


def deliver(
    tag: int, redelivered: bool = False, channel: int = CHANNEL, queue: str = "in"
) -> bytes:
    """Marshal the method that begins a delivery."""
    return method(spec.Basic.Deliver("consumer", tag, redelivered, "", queue), channel)


def returned(queue: str, code: int = 312, text: str = "NO_ROUTE") -> bytes:
    """Marshal the method that begins a returned message."""
    return method(spec.Basic.Return(code, text, "", queue))


def confirm(sequence: int, multiple: bool = False, accepted: bool = True) -> bytes:
    """Marshal a publisher confirm."""
    kind = spec.Basic.Ack if accepted else spec.Basic.Nack
    return method(kind(sequence, multiple))


def heartbeat() -> bytes:
    """Marshal a heartbeat."""
    return bytes(_frame.Heartbeat().marshal())


def publish(queue: str, id: int, channel: int = CHANNEL) -> bytes:
    """Marshal what the writer of the hot path is to write for one message."""
    fields = spec.Basic.Publish(exchange="", routing_key=queue, mandatory=True)
    properties = spec.BasicProperties(delivery_mode=2)
    return method(fields, channel) + content(str(id).encode(), properties, channel)


def decode(data: bytes) -> list[Any]:
    """Read frames with pika, all of ``data``."""
    frames = []
    while data:
        count, one = _frame.decode_frame(data)
        assert count, f"pika finds no whole frame in {data!r}"
        frames.append(one)
        data = data[count:]
    return frames
