"""The hot path in Python: reading and writing AMQP's byte stream."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from ._common import (
    ACK,
    BASIC_CLASS,
    BODY_FRAME,
    BODY_MAX,
    DELIVER,
    FRAME_END,
    FRAME_MAX,
    HEADER_FRAME,
    HEADERS_FLAG,
    HEARTBEAT_FRAME,
    ID_DIGITS_MAX,
    ID_MAX,
    METHOD_FRAME,
    NACK,
    PROTOCOL_HEADER_START,
    PUBLISH,
    RETURN,
    FrameError,
    MalformedIdError,
    RawDelivery,
    Received,
    Returned,
    check_channel,
    no_such_queue,
    out_of_range,
)
from ._fallback_routing import decode_id

__all__ = ["FrameReader", "FrameWriter"]

_FRAME_HEAD = Struct(">BHL")  # type, channel, payload bytes
_U16 = Struct(">H")
_U32 = Struct(">L")
_TAG_AND_BITS = Struct(">QB")
_CONTENT_HEAD = Struct(">HHQH")  # class, weight, body bytes, property flags
_FRAME_TYPES = frozenset({METHOD_FRAME, HEADER_FRAME, BODY_FRAME, HEARTBEAT_FRAME})
_END = bytes([FRAME_END])
_FRAME_MIN = _FRAME_HEAD.size + len(_END)  # also the size of the header of another protocol
_PAYLOAD_MAX = FRAME_MAX - _FRAME_MIN


class FrameWriter:
    """Gathers publishes, acks and nacks of one channel, to be sent as one piece.

    Every publish goes to the default exchange with ``mandatory`` set, and is persistent. An object
    belongs to one thread.

    Args:
        channel: The channel's number.
        queues: The names that indexes stand for, each up to 255 bytes of UTF-8.
    """

    __slots__ = ("_ack_head", "_nack_head", "_parts", "_prefixes")

    def __init__(self, channel: int, queues: Sequence[str]) -> None:
        check_channel(channel)
        self._parts: list[bytes] = []
        self._prefixes = [_publish_prefixes(channel, queue) for queue in queues]
        self._ack_head = _FRAME_HEAD.pack(METHOD_FRAME, channel, 13) + _U32.pack(ACK)
        self._nack_head = _FRAME_HEAD.pack(METHOD_FRAME, channel, 13) + _U32.pack(NACK)

    def publish(self, queue: int, id: int) -> None:
        """Add one message.

        Args:
            queue: The index of the queue.
            id: The id to send, 0 to 2**64 - 1.

        Raises:
            IndexError: There is no such queue.
            OverflowError: ``id`` is out of range.
        """
        if not 0 <= id <= ID_MAX:
            raise out_of_range("id", id)
        if not 0 <= queue < len(self._prefixes):
            raise no_such_queue(queue, len(self._prefixes))
        digits = b"%d" % id
        self._parts.append(self._prefixes[queue][len(digits)] + digits + _END)

    def ack(self, tag: int, multiple: bool) -> None:
        """Add an acknowledgement of delivery ``tag``, or of all up to it."""
        if not 0 <= tag <= ID_MAX:
            raise out_of_range("delivery tag", tag)
        self._parts.append(self._ack_head + _TAG_AND_BITS.pack(tag, multiple) + _END)

    def nack(self, tag: int, requeue: bool) -> None:
        """Add a refusal of delivery ``tag``, which goes back to its queue if ``requeue``."""
        if not 0 <= tag <= ID_MAX:
            raise out_of_range("delivery tag", tag)
        self._parts.append(self._nack_head + _TAG_AND_BITS.pack(tag, requeue << 1) + _END)

    def take(self) -> bytes:
        """Return what was added since the last call, as one piece."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def _publish_prefixes(channel: int, queue: str) -> list[bytes]:
    """Return all but digits and end of a publish to ``queue``, by the number of digits."""
    name = queue.encode("utf-8")
    ticket, exchange, mandatory = b"\x00\x00", b"\x00", b"\x01"
    method = _U32.pack(PUBLISH) + ticket + exchange + bytes([len(name)]) + name + mandatory
    start = _FRAME_HEAD.pack(METHOD_FRAME, channel, len(method)) + method + _END
    delivery_mode_flag, persistent = 0x1000, b"\x02"
    prefixes = []
    for length in range(ID_DIGITS_MAX + 1):
        properties = _CONTENT_HEAD.pack(BASIC_CLASS, 0, length, delivery_mode_flag) + persistent
        header = _FRAME_HEAD.pack(HEADER_FRAME, channel, len(properties)) + properties + _END
        prefixes.append(start + header + _FRAME_HEAD.pack(BODY_FRAME, channel, length))
    return prefixes


class _Content:
    """A message whose parts are still coming in."""

    __slots__ = ("body", "flags", "missing", "properties", "redelivered", "returned", "tag")

    def __init__(self, tag: int, redelivered: bool, returned: Returned | None) -> None:
        self.tag = tag
        self.redelivered = redelivered
        self.returned = returned
        self.missing = -1  # bytes of the body that are still to come; -1 before the header
        self.flags = 0
        self.properties = b""
        self.body: list[bytes] = []


class FrameReader:
    """Reads deliveries, confirms and returns of one channel out of a connection's byte stream.

    All other frames come out as they went in. The stream may be cut anywhere. An object belongs to
    one thread.

    Args:
        channel: The number of the channel whose messages are ours.
    """

    __slots__ = ("_channel", "_content", "_received", "_rest", "_started")

    def __init__(self, channel: int) -> None:
        self._channel = check_channel(channel)
        self._rest = b""
        self._started = False
        self._content: _Content | None = None
        self._received = Received([], [], [], [], b"")

    def feed(self, data: bytes) -> Received:
        """Read the next piece of the stream.

        Args:
            data: The bytes that came in, cut anywhere.

        Returns:
            What is complete now. The beginning of a frame is kept for the next call.

        Raises:
            FrameError: The bytes are not AMQP 0-9-1. Nothing more can be read from this stream.
        """
        buffer = self._rest + data
        self._received = received = Received([], [], [], [], b"")
        position, other = 0, []
        while len(buffer) - position >= _FRAME_MIN:
            kind, channel, size = _FRAME_HEAD.unpack_from(buffer, position)
            if kind not in _FRAME_TYPES:
                other.append(self._foreign(buffer, position))
                position = len(buffer)
                break
            if size > _PAYLOAD_MAX:
                raise FrameError(f"a frame of {size} bytes is over the {_PAYLOAD_MAX} we believe")
            begin = position + _FRAME_HEAD.size
            end = begin + size
            if len(buffer) <= end:
                break
            if buffer[end] != FRAME_END:
                raise FrameError(f"a frame ends with octet {buffer[end]:#04x}, not 0xce")
            self._started = True
            if channel != self._channel or not self._take(kind, buffer, begin, end):
                other.append(buffer[position : end + 1])
            position = end + 1
        self._rest = buffer[position:]
        return received._replace(other=b"".join(other))

    def _foreign(self, buffer: bytes, position: int) -> bytes:
        if self._started or buffer[position] != PROTOCOL_HEADER_START:
            raise FrameError(f"there is no frame of type {buffer[position]}")
        return buffer[position:]

    def _take(self, kind: int, buffer: bytes, begin: int, end: int) -> bool:
        """Read one frame of our channel; return False if it is none of ours."""
        if self._content is None:
            return kind == METHOD_FRAME and self._take_method(buffer, begin, end)
        if kind == HEADER_FRAME and self._content.missing < 0:
            self._take_header(self._content, buffer, begin, end)
        elif kind == BODY_FRAME and self._content.missing > 0:
            self._take_body(self._content, buffer[begin:end])
        else:
            raise FrameError(f"a frame of type {kind} came in the middle of a message")
        return True

    def _take_method(self, buffer: bytes, begin: int, end: int) -> bool:
        if end - begin < _U32.size:
            raise FrameError("a method frame is too short")
        (method,) = _U32.unpack_from(buffer, begin)
        at = begin + _U32.size
        if method == DELIVER:
            at, _ = _short_string(buffer, at, end)
            tag, redelivered = _tag_and_bits(buffer, at, end)
            at, _ = _short_string(buffer, at + _TAG_AND_BITS.size, end)
            at, _ = _short_string(buffer, at, end)
            self._content = _Content(tag, bool(redelivered & 1), None)
        elif method in (ACK, NACK):
            tag, bits = _tag_and_bits(buffer, at, end)
            at += _TAG_AND_BITS.size
            self._received.confirms.append((tag, bool(bits & 1), method == ACK))
        elif method == RETURN:
            if end - at < _U16.size:
                raise FrameError("a method frame is too short")
            (code,) = _U16.unpack_from(buffer, at)
            at, text = _short_string(buffer, at + _U16.size, end)
            at, _ = _short_string(buffer, at, end)
            at, queue = _short_string(buffer, at, end)
            self._content = _Content(0, False, Returned(code, _text(text), _text(queue), b""))
        else:
            return False
        if at != end:
            raise FrameError(f"a method frame is {end - at} bytes longer than its fields")
        return True

    def _take_header(self, content: _Content, buffer: bytes, begin: int, end: int) -> None:
        if end - begin < _CONTENT_HEAD.size:
            raise FrameError("a content header is too short")
        class_, _, size, content.flags = _CONTENT_HEAD.unpack_from(buffer, begin)
        if class_ != BASIC_CLASS:
            raise FrameError(f"a content header is of class {class_}, not {BASIC_CLASS}")
        if size > BODY_MAX:
            raise FrameError(f"a body of {size} bytes is over the {BODY_MAX} that RabbitMQ takes")
        content.properties = buffer[begin + _CONTENT_HEAD.size - _U16.size : end]
        content.missing = size
        if not size:
            self._complete(content)

    def _take_body(self, content: _Content, part: bytes) -> None:
        content.missing -= len(part)
        if content.missing < 0:
            raise FrameError(f"a body is {-content.missing} bytes longer than announced")
        content.body.append(part)
        if not content.missing:
            self._complete(content)

    def _complete(self, content: _Content) -> None:
        self._content = None
        body = b"".join(content.body)
        if content.returned is not None:
            self._received.returns.append(content.returned._replace(body=body))
            return
        if not content.flags & HEADERS_FLAG:
            try:
                id = decode_id(body)
            except MalformedIdError:
                pass  # not swallowed: whoever gets the raw message decides what becomes of it
            else:
                # Any other way to write an id has to be kept: it may be parked as it came.
                if body == b"%d" % id:
                    self._received.deliveries.append((content.tag, id, content.redelivered))
                    return
        self._received.raw.append(
            RawDelivery(content.tag, content.redelivered, content.properties, body)
        )


def _short_string(buffer: bytes, at: int, end: int) -> tuple[int, bytes]:
    """Return where the short string at ``at`` ends, and its bytes."""
    if at >= end or at + 1 + buffer[at] > end:
        raise FrameError("a short string is longer than its frame")
    stop = at + 1 + buffer[at]
    return stop, buffer[at + 1 : stop]


def _tag_and_bits(buffer: bytes, at: int, end: int) -> tuple[int, int]:
    if end - at < _TAG_AND_BITS.size:
        raise FrameError("a method frame is too short")
    tag, bits = _TAG_AND_BITS.unpack_from(buffer, at)
    return tag, bits


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
