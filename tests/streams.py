"""Random AMQP streams: whole ones, ones that lie, and ways to cut them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from random import Random

from slingshot_microservice.hotpath._common import FRAME_MAX

__all__ = [
    "CHANNEL",
    "FRAMES",
    "PAYLOAD_MAX",
    "body",
    "cut",
    "frame",
    "header",
    "lie",
    "method",
    "stream",
]

CHANNEL = 1
PAYLOAD_MAX = FRAME_MAX - 8
"""Bytes of the largest payload of a frame that is believed."""

_DELIVER, _RETURN, _ACK, _NACK = 60, 50, 80, 120
_U64_EDGES = (0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
_SIZES = (0, 1, 7, 2**16, PAYLOAD_MAX, PAYLOAD_MAX + 1, 2**31 - 1, 2**31, 2**32 - 1)
_TEXTS = (b"", b"q", b"slingshot-inbound", b"\xff\xfe", "Grüße".encode(), b"q" * 255)
_PROPERTIES = (
    b"\x00\x00",
    b"\x10\x00\x02",
    b"\x20\x00" + struct.pack(">L", 0),  # a table of headers, empty
    b"\xff\xff" + b"x" * 40,
)
_ODD_BODIES = (
    b"",
    b" 12\n",
    b"+7",
    b"-0",
    b"1_000",
    b"0" * 60 + b"5",
    b"18446744073709551615",
    b"18446744073709551616",
    b"99999999999999999999",
    b"\x1c12",
    "\u00a012\u3000".encode(),
    "\u0661".encode(),
    b"\xff",
    b"no id",
)


def frame(kind: int, payload: bytes, channel: int = CHANNEL, end: int = 0xCE) -> bytes:
    """Return one frame."""
    return struct.pack(">BHL", kind, channel, len(payload)) + payload + bytes([end])


def method(number: int, fields: bytes, channel: int = CHANNEL) -> bytes:
    """Return a method frame of AMQP's class ``basic``."""
    return frame(1, struct.pack(">HH", 60, number) + fields, channel)


def header(size: int, properties: bytes = b"\x00\x00", channel: int = CHANNEL) -> bytes:
    """Return the header of a body of ``size`` bytes."""
    return frame(2, struct.pack(">HHQ", 60, 0, size) + properties, channel)


def body(part: bytes, channel: int = CHANNEL) -> bytes:
    """Return a part of a body."""
    return frame(3, part, channel)


def _text(random: Random) -> bytes:
    text = random.choice(_TEXTS)
    return bytes([len(text)]) + text


def _number(random: Random) -> int:
    return random.choice(_U64_EDGES) if random.random() < 0.3 else random.getrandbits(64)


def _content(random: Random, channel: int) -> bytes:
    data = b"%d" % _number(random) if random.random() < 0.7 else random.choice(_ODD_BODIES)
    whole = header(len(data), random.choice(_PROPERTIES), channel)
    if not data:
        return whole
    at = random.choice((0, 0, 0, len(data) // 2, len(data)))
    parts = (data[:at], data[at:]) if at else (data,)
    return whole + b"".join(body(part, channel) for part in parts)


def _delivery(random: Random, channel: int = CHANNEL) -> bytes:
    tag = struct.pack(">QB", _number(random), random.getrandbits(8))
    fields = _text(random) + tag + _text(random) + _text(random)
    return method(_DELIVER, fields, channel) + _content(random, channel)


def _returned(random: Random) -> bytes:
    code = struct.pack(">H", random.getrandbits(16))
    fields = code + _text(random) + _text(random) + _text(random)
    return method(_RETURN, fields) + _content(random, CHANNEL)


def _confirm(random: Random) -> bytes:
    fields = struct.pack(">QB", _number(random), random.getrandbits(8))
    return method(random.choice((_ACK, _NACK)), fields)


def _foreign(random: Random) -> bytes:
    if random.random() < 0.3:
        return frame(8, b"", 0)
    if random.random() < 0.3:
        return _delivery(random, channel=2)
    payload = struct.pack(">HH", random.choice((10, 20, 50, 60, 85)), random.getrandbits(5))
    return frame(1, payload + random.randbytes(random.randrange(20)), random.choice((0, 1, 9)))


FRAMES: tuple[Callable[[Random], bytes], ...] = (
    _delivery,
    _delivery,
    _returned,
    _confirm,
    _foreign,
)
"""What a stream is made of."""


def stream(random: Random, length: int) -> bytes:
    """Return a stream of ``length`` messages, confirms, returns and foreign frames."""
    return b"".join(random.choice(FRAMES)(random) for _ in range(length))


def _frames(data: bytes) -> list[tuple[int, int]]:
    """Return where each frame begins and ends, as far as sizes can be believed."""
    found, at = [], 0
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 3 : at + 7], "big")
        if end > len(data):
            break
        found.append((at, end))
        at = end
    return found


def _resized(random: Random, data: bytes) -> bytes:
    """Make one frame shorter or longer than its fields; its size is right."""
    start, end = random.choice(_frames(data) or [(0, 0)])
    payload = data[start + 7 : max(end - 1, 0)]
    at = random.randrange(len(payload) + 1)
    changed = payload[:at] if random.random() < 0.5 else payload + random.randbytes(at + 1)
    channel = int.from_bytes(data[start + 1 : start + 3], "big")
    return data[:start] + frame(data[start] if data else 1, changed, channel) + data[end:]


def _shuffled(random: Random, data: bytes) -> bytes:
    """Repeat, drop or exchange whole frames."""
    frames = [data[start:end] for start, end in _frames(data)]
    kind = random.randrange(3)
    at = random.randrange(len(frames) + 1)
    if kind == 0:
        return b"".join(frames[:at] + frames[at + 1 :])
    if kind == 1:
        return b"".join(frames[:at] + frames[max(at - 1, 0) :])
    return b"".join(random.sample(frames, len(frames)))


def _damaged(random: Random, data: bytes) -> bytes:
    """Change bytes anywhere."""
    at = random.randrange(len(data) + 1)
    length = random.randrange(1, 12)
    return random.choice(
        (
            data[:at] + bytes([random.getrandbits(8)]) + data[at + 1 :],
            data[:at] + data[at + length :],
            data[:at] + random.randbytes(length) + data[at:],
            data[:at] + data[random.randrange(len(data) + 1) :],
            data[:at] + struct.pack(">L", random.choice(_SIZES)) + data[at + 4 :],
            data[:at] + struct.pack(">Q", random.choice(_U64_EDGES)) + data[at + 8 :],
        )
    )


def lie(random: Random, data: bytes) -> bytes:
    """Return ``data`` with one thing wrong in it."""
    return random.choice((_damaged, _resized, _shuffled))(random, data)


def cut(random: Random, data: bytes, pieces: int) -> list[bytes]:
    """Return ``data`` in about so many pieces."""
    at = sorted(random.randrange(len(data) + 1) for _ in range(pieces - 1))
    return [data[start:end] for start, end in pairwise([0, *at, len(data)])]
