"""A stream that is not AMQP ends in an error that says so, and never in an id."""

from __future__ import annotations

from contextlib import suppress

import frames
import pytest
from frames import deliver, frame
from hotpaths import HotPath
from hypothesis import given, settings
from hypothesis import strategies as st

from slingshot_microservice.hotpath import FrameError

DELIVER = b"\x00\x3c\x00\x3c"
ACK = b"\x00\x3c\x00\x50"
NACK = b"\x00\x3c\x00\x78"
RETURN = b"\x00\x3c\x00\x32"
TAG = b"\x00\x00\x00\x00\x00\x00\x00\x01"
GOOD = deliver(1) + frames.content(b"12345")


def header(class_id: int = 60, size: int = 2, flags: bytes = b"\x00\x00") -> bytes:
    payload = class_id.to_bytes(2, "big") + b"\x00\x00" + size.to_bytes(8, "big") + flags
    return frame(2, payload)


LIES = {
    "wrong frame end": (frame(1, ACK + TAG + b"\x00", end=0xCD), "ends with octet 0xcd, not 0xce"),
    "wrong end of a foreign frame": (frame(1, b"abcd", 7, end=0), "ends with octet 0x00, not 0xce"),
    "frame over the limit": (
        b"\x03\x00\x01\x00\x1f\xff\xf9\x00",
        "a frame of 2097145 bytes is over the 2097144 we believe",
    ),
    "frame of 4 GiB": (b"\x01\x00\x01\xff\xff\xff\xff\x00", "a frame of 4294967295 bytes is over"),
    "unknown frame type": (b"\x04\x00\x01\x00\x00\x00\x00\xce", "there is no frame of type 4"),
    "frame type zero": (bytes(8), "there is no frame of type 0"),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n", "there is no frame of type 72"),
    "TLS alert": (b"\x15\x03\x03\x00\x02\x02\x28\x00", "there is no frame of type 21"),
    "protocol header too late": (
        frames.heartbeat() + b"AMQP\x00\x00\x09\x01",
        "there is no frame of type 65",
    ),
    "method without an id": (frame(1, b"\x00\x3c"), "a method frame is too short"),
    "empty method": (frame(1, b""), "a method frame is too short"),
    "deliver without fields": (frame(1, DELIVER), "a short string is longer than its frame"),
    "deliver, consumer tag too long": (
        frame(1, DELIVER + b"\xffabc"),
        "a short string is longer than its frame",
    ),
    "deliver, no delivery tag": (frame(1, DELIVER + b"\x01c"), "a method frame is too short"),
    "deliver, half a delivery tag": (
        frame(1, DELIVER + b"\x01c" + TAG),
        "a method frame is too short",
    ),
    "deliver, no exchange": (
        frame(1, DELIVER + b"\x01c" + TAG + b"\x00"),
        "a short string is longer than its frame",
    ),
    "deliver, routing key too long": (
        frame(1, DELIVER + b"\x01c" + TAG + b"\x00" + b"\x00" + b"\x05abcd"),
        "a short string is longer than its frame",
    ),
    "deliver, trailing bytes": (
        frame(1, DELIVER + b"\x01c" + TAG + b"\x00" + b"\x00" + b"\x01q" + b"abc"),
        "a method frame is 3 bytes longer than its fields",
    ),
    "ack, truncated": (frame(1, ACK + TAG), "a method frame is too short"),
    "nack, truncated": (frame(1, NACK + TAG[:3]), "a method frame is too short"),
    "ack, trailing byte": (
        frame(1, ACK + TAG + b"\x00\x00"),
        "a method frame is 1 bytes longer than its fields",
    ),
    "return, no code": (frame(1, RETURN + b"\x01"), "a method frame is too short"),
    "return, text too long": (
        frame(1, RETURN + b"\x01\x38" + b"\x09NO_ROUTE"),
        "a short string is longer than its frame",
    ),
    "return, no routing key": (
        frame(1, RETURN + b"\x01\x38" + b"\x08NO_ROUTE" + b"\x00"),
        "a short string is longer than its frame",
    ),
    "return, trailing byte": (
        frame(1, RETURN + b"\x01\x38" + b"\x08NO_ROUTE" + b"\x00" + b"\x01q" + b"\x00"),
        "a method frame is 1 bytes longer than its fields",
    ),
    "header too short": (deliver(1) + frame(2, b"\x00\x3c\x00\x00"), "content header is too short"),
    "header of another class": (
        deliver(1) + header(class_id=50),
        "a content header is of class 50, not 60",
    ),
    "body too large for RabbitMQ": (
        deliver(1) + header(size=2**29 + 1),
        "a body of 536870913 bytes is over the 536870912 that RabbitMQ takes",
    ),
    "body of 16 EiB": (deliver(1) + header(size=2**64 - 1), "is over the 536870912 that RabbitMQ"),
    "body longer than announced": (
        deliver(1) + header(size=2) + frames.body(b"12345"),
        "a body is 3 bytes longer than announced",
    ),
    "second piece too long": (
        deliver(1) + header(size=2) + frames.body(b"1") + frames.body(b"23"),
        "a body is 1 bytes longer than announced",
    ),
    "method instead of header": (
        deliver(1) + deliver(2),
        "a frame of type 1 came in the middle of a message",
    ),
    "method instead of body": (
        deliver(1) + header() + frames.confirm(1),
        "a frame of type 1 came in the middle of a message",
    ),
    "body before header": (
        deliver(1) + frames.body(b"12"),
        "a frame of type 3 came in the middle of a message",
    ),
    "two headers": (
        deliver(1) + header() + header(),
        "a frame of type 2 came in the middle of a message",
    ),
    "header in the middle of a body": (
        deliver(1) + header() + frames.body(b"1") + header(),
        "a frame of type 2 came in the middle of a message",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_an_error_that_says_what_is_wrong(hot: HotPath, lie: str) -> None:
    data, message = LIES[lie]
    with pytest.raises(FrameError) as caught:
        hot.FrameReader(frames.CHANNEL).feed(data)
    assert message in str(caught.value)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_byte_by_byte_too(hot: HotPath, lie: str) -> None:
    data, message = LIES[lie]
    reader = hot.FrameReader(frames.CHANNEL)

    def feed_slowly() -> None:
        for at in range(len(data)):
            assert not reader.feed(data[at : at + 1]).deliveries

    with pytest.raises(FrameError) as caught:
        feed_slowly()
    assert message in str(caught.value)


@pytest.mark.parametrize("lie", ["wrong frame end", "HTTP", "header of another class"])
def test_a_lie_in_the_middle_of_a_stream_is_found(hot: HotPath, lie: str) -> None:
    data, message = LIES[lie]
    reader = hot.FrameReader(frames.CHANNEL)
    assert reader.feed(GOOD).deliveries == [(1, 12345, False)]
    with pytest.raises(FrameError, match=message):
        reader.feed(data)


def test_a_size_that_lies_costs_no_memory(hot: HotPath) -> None:
    # A body may be announced that never comes; nothing is set aside for it.
    received = hot.FrameReader(frames.CHANNEL).feed(deliver(1) + header(size=2**29))
    assert received == ([], [], [], [], b"")


@given(garbage=st.lists(st.binary(max_size=60), max_size=4), begin=st.booleans())
@settings(max_examples=300)
def test_garbage_is_refused_and_is_never_an_id(
    hot: HotPath, garbage: list[bytes], begin: bool
) -> None:
    reader = hot.FrameReader(frames.CHANNEL)
    deliveries = list(reader.feed(GOOD).deliveries) if begin else []
    with suppress(FrameError):
        for piece in garbage:
            deliveries += reader.feed(piece).deliveries
    assert deliveries == ([(1, 12345, False)] if begin else [])


IDS = [10_000 + 7 * number for number in range(5)]
STREAM = b"".join(
    deliver(tag) + frames.content(b"%d" % id) + frames.confirm(tag) for tag, id in enumerate(IDS, 1)
)
NO_DIGITS = [b"", b"\x00", b"\x01", b"\x3c", b"\xce", b"\xff", b"\xce\xce"]


@given(position=st.integers(0, len(STREAM) - 1), change=st.sampled_from(NO_DIGITS))
@settings(max_examples=500)
def test_a_damaged_stream_never_yields_an_id_that_was_not_sent(
    hot: HotPath, position: int, change: bytes
) -> None:
    damaged = STREAM[:position] + change + STREAM[position + 1 :]
    reader = hot.FrameReader(frames.CHANNEL)
    ids = []
    with suppress(FrameError):
        for at in range(0, len(damaged), 20):
            ids += [id for _, id, _ in reader.feed(damaged[at : at + 20]).deliveries]
    assert set(ids) <= set(IDS)
    assert ids == sorted(ids)
