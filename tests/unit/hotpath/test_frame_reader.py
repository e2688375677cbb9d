"""A stream comes apart into the same pieces, however it was cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise

import frames
import pytest
from frames import deliver, spec
from hotpaths import HotPath, Reader
from hypothesis import given, settings
from hypothesis import strategies as st

from slingshot_microservice.hotpath import (
    Confirm,
    Delivery,
    RawDelivery,
    Received,
    Returned,
)

NOTHING = Received([], [], [], [], b"")
PERSISTENT = spec.BasicProperties(delivery_mode=2, content_type="text/plain", priority=3)
HEADERS = spec.BasicProperties(headers={"slingshot-attempt": 2, "x-death": []}, delivery_mode=2)


@dataclass(frozen=True)
class Piece:
    """Bytes on the wire, and what is to come of them."""

    data: bytes
    deliveries: list[Delivery] = field(default_factory=list)
    raw: list[RawDelivery] = field(default_factory=list)
    confirms: list[Confirm] = field(default_factory=list)
    returns: list[Returned] = field(default_factory=list)
    other: bytes = b""

    @property
    def outcome(self) -> Received:
        return Received(self.deliveries, self.raw, self.confirms, self.returns, self.other)


def message(tag: int, id: int, redelivered: bool = False, properties: object = None) -> Piece:
    data = deliver(tag, redelivered) + frames.content(b"%d" % id, properties)
    return Piece(data, deliveries=[(tag, id, redelivered)])


def unusual(tag: int, body: bytes, properties: object = None) -> Piece:
    header = frames.header(len(body), properties)
    wire = header[7 + 12 : -1]  # after frame head, class, weight and size; before the end octet
    data = deliver(tag, True) + frames.content(body, properties)
    return Piece(data, raw=[RawDelivery(tag, True, wire, body)])


def foreign(data: bytes) -> Piece:
    return Piece(data, other=data)


def came_back(queue: str, body: bytes, code: int = 312, text: str = "NO_ROUTE") -> Piece:
    data = frames.returned(queue, code, text) + frames.content(body, PERSISTENT)
    return Piece(data, returns=[Returned(code, text, queue, body)])


STORY = [
    foreign(frames.method(spec.Connection.Start(server_properties={"a": "b"}), 0)),
    foreign(frames.method(spec.Channel.OpenOk())),
    foreign(frames.method(spec.Queue.DeclareOk("q", 3, 1))),
    foreign(frames.method(spec.Basic.QosOk())),
    foreign(frames.method(spec.Basic.ConsumeOk("consumer"))),
    message(1, 0),
    message(2, 2**64 - 1, redelivered=True, properties=PERSISTENT),
    foreign(frames.heartbeat()),
    unusual(3, b"17", HEADERS),
    unusual(4, b"no id"),
    unusual(5, b""),
    unusual(6, b"", HEADERS),
    Piece(
        deliver(7) + frames.header(4) + frames.body(b"12") + frames.body(b"") + frames.body(b"34"),
        deliveries=[(7, 1234, False)],
    ),
    message(2**64 - 1, 9),
    Piece(frames.confirm(1), confirms=[(1, False, True)]),
    Piece(frames.confirm(0, multiple=True), confirms=[(0, True, True)]),
    Piece(frames.confirm(2**64 - 1, accepted=False), confirms=[(2**64 - 1, False, False)]),
    Piece(frames.confirm(3, multiple=True, accepted=False), confirms=[(3, True, False)]),
    came_back("missing", b"12"),
    came_back("Grüße", b"", 313, "NO_CONSUMERS"),
    came_back("q" * 255, b"not ours \xff"),
    foreign(frames.method(spec.Basic.Ack(5, False), channel=2)),
    foreign(deliver(1, channel=2) + frames.content(b"5", channel=2)),
    foreign(frames.content(b"5")),  # without a method before it, which is pika's to complain of
    foreign(frames.method(spec.Basic.Cancel("consumer", True))),
    foreign(frames.method(spec.Connection.Blocked("low on memory"), 0)),
    foreign(frames.method(spec.Channel.Close(404, "NOT_FOUND", 50, 10))),
]


def read(reader: Reader, pieces: Iterable[bytes]) -> Received:
    """Feed all, and put together what came out."""
    return reduce(combine, map(reader.feed, pieces), NOTHING)


def combine(before: Received, now: Received) -> Received:
    return Received(
        before.deliveries + now.deliveries,
        before.raw + now.raw,
        before.confirms + now.confirms,
        before.returns + now.returns,
        before.other + now.other,
    )


def expected(story: Iterable[Piece]) -> Received:
    return reduce(combine, (piece.outcome for piece in story), NOTHING)


def cut(data: bytes, positions: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(position % (len(data) + 1) for position in positions), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


WHOLE = b"".join(piece.data for piece in STORY)


def test_the_whole_story_at_once(hot: HotPath) -> None:
    assert hot.FrameReader(frames.CHANNEL).feed(WHOLE) == expected(STORY)


def test_the_story_cut_at_every_position(hot: HotPath) -> None:
    whole = expected(STORY)
    for position in range(len(WHOLE) + 1):
        pieces = [WHOLE[:position], WHOLE[position:]]
        assert read(hot.FrameReader(frames.CHANNEL), pieces) == whole, position


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 64])
def test_the_story_in_small_pieces(hot: HotPath, size: int) -> None:
    pieces = [WHOLE[at : at + size] for at in range(0, len(WHOLE), size)]
    assert read(hot.FrameReader(frames.CHANNEL), pieces) == expected(STORY)


@given(
    story=st.lists(st.sampled_from(STORY), max_size=12),
    positions=st.lists(st.integers(0, 5_000), max_size=12),
)
@settings(max_examples=300)
def test_any_story_cut_anywhere(hot: HotPath, story: list[Piece], positions: list[int]) -> None:
    data = b"".join(piece.data for piece in story)
    assert read(hot.FrameReader(frames.CHANNEL), cut(data, positions)) == expected(story)


def test_what_is_complete_comes_out_at_once(hot: HotPath) -> None:
    reader = hot.FrameReader(frames.CHANNEL)
    for piece in STORY:
        assert reader.feed(piece.data[:-1]) != piece.outcome
        rest = reader.feed(piece.data[-1:])
        assert rest != NOTHING


def test_an_earlier_answer_is_not_changed_by_the_next(hot: HotPath) -> None:
    reader = hot.FrameReader(frames.CHANNEL)
    first = reader.feed(message(1, 5).data)
    reader.feed(message(2, 6).data)
    assert first == NOTHING._replace(deliveries=[(1, 5, False)])


def test_a_batch_of_deliveries_keeps_its_order(hot: HotPath) -> None:
    story = [message(tag, tag * 7) for tag in range(1, 2_001)]
    data = b"".join(piece.data for piece in story)
    assert read(hot.FrameReader(frames.CHANNEL), cut(data, [10_000, 50_001])) == expected(story)


@pytest.mark.parametrize("size", [131_064, 131_065, 300_000])
def test_a_body_over_several_frames(hot: HotPath, size: int) -> None:
    story = [message(1, 5), unusual(2, b"x" * size), message(3, 6), came_back("q", b"y" * size)]
    data = b"".join(piece.data for piece in story)
    pieces = [data[at : at + 4_096] for at in range(0, len(data), 4_096)]
    assert read(hot.FrameReader(frames.CHANNEL), pieces) == expected(story)


def test_an_id_with_many_zeros_over_two_frames(hot: HotPath) -> None:
    size = 200_000
    data = deliver(1) + frames.content(b"0" * (size - 1) + b"5")
    received = hot.FrameReader(frames.CHANNEL).feed(data)
    assert [raw.body[-2:] for raw in received.raw] == [b"05"], "as it came: nobody else has it"


@pytest.mark.parametrize("body", [b"0", b"7", b"10", b"18446744073709551615"])
def test_an_id_as_we_write_it_takes_the_fast_road(hot: HotPath, body: bytes) -> None:
    received = hot.FrameReader(frames.CHANNEL).feed(deliver(1) + frames.content(body))
    assert received == NOTHING._replace(deliveries=[(1, int(body), False)])


@pytest.mark.parametrize("body", [b"00", b"07", b"+7", b" 7", b"7\n", "\u20037".encode()])
def test_an_id_written_otherwise_keeps_its_bytes(hot: HotPath, body: bytes) -> None:
    received = hot.FrameReader(frames.CHANNEL).feed(deliver(1) + frames.content(body))
    assert not received.deliveries
    assert [(raw.tag, raw.body) for raw in received.raw] == [(1, body)]


def test_properties_of_a_raw_message_can_be_read_back(hot: HotPath) -> None:
    (raw,) = hot.FrameReader(frames.CHANNEL).feed(unusual(3, b"17", HEADERS).data).raw
    properties = spec.BasicProperties()
    properties.decode(raw.properties)
    assert properties == HEADERS


def test_another_channel_may_be_ours(hot: HotPath) -> None:
    data = deliver(1, channel=65_535) + frames.content(b"5", channel=65_535) + message(2, 6).data
    received = hot.FrameReader(65_535).feed(data)
    assert received == NOTHING._replace(deliveries=[(1, 5, False)], other=message(2, 6).data)


def test_the_parts_of_two_channels_may_alternate(hot: HotPath) -> None:
    ours = [deliver(1), frames.header(1), frames.body(b"5")]
    theirs = [deliver(9, channel=2), frames.header(1, channel=2), frames.body(b"7", channel=2)]
    mixed = b"".join(a + b for a, b in zip(ours, theirs, strict=True))
    received = hot.FrameReader(frames.CHANNEL).feed(mixed)
    assert received == NOTHING._replace(deliveries=[(1, 5, False)], other=b"".join(theirs))


@pytest.mark.parametrize("position", range(9))
def test_a_server_of_another_version_is_left_to_pika(hot: HotPath, position: int) -> None:
    answer = b"AMQP\x00\x00\x09\x01"
    pieces = [answer[:position], answer[position:]]
    assert read(hot.FrameReader(frames.CHANNEL), pieces) == NOTHING._replace(other=answer)
    (decoded,) = frames.decode(answer)
    assert (decoded.major, decoded.minor, decoded.revision) == (0, 9, 1)


def test_a_text_that_is_not_utf8_does_not_lose_the_return(hot: HotPath) -> None:
    method = b"\x00\x3c\x00\x32" + b"\x01\x38" + b"\x01\xff" + b"\x00" + b"\x02\xc3\x28"
    data = frames.frame(1, method) + frames.content(b"5")
    (returned,) = hot.FrameReader(frames.CHANNEL).feed(data).returns
    assert returned == Returned(312, "\ufffd", "\ufffd(", b"5")


def test_only_the_lowest_bit_says_redelivered(hot: HotPath) -> None:
    """The others of the octet are AMQP's to use for bits to come."""
    whole = deliver(1, queue="")
    for octet, redelivered in ((0, False), (1, True), (2, False), (0xFF, True)):
        method = whole[7:-4] + bytes([octet]) + whole[-3:-1]  # before exchange and routing key
        data = frames.frame(1, method) + frames.content(b"5")
        assert hot.FrameReader(frames.CHANNEL).feed(data).deliveries == [(1, 5, redelivered)]
