"""Both implementations give the same for the same: results, their types, errors and messages."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from enum import IntEnum
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import fuzz
import pytest
import streams
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import both, compiled, fallback, observe

ID_MAX = 2**64 - 1

# --- ids ---

DIGITS = st.integers(0, 10**25).map(lambda number: b"%d" % number)
BODIES = st.one_of(
    st.binary(max_size=30),
    st.text(max_size=12).map(str.encode),
    DIGITS,
    st.builds(
        lambda before, sign, zeros, digits, after: (
            (before + sign + "0" * zeros).encode() + digits + after.encode()
        ),
        before=st.sampled_from(["", " ", "\n\t", "\u00a0", "\u3000", "\x1c", "\ufeff"]),
        sign=st.sampled_from(["", "+", "-", "++", "+ "]),
        zeros=st.sampled_from([0, 1, 19, 5_000]),
        digits=DIGITS,
        after=st.sampled_from(["", " ", "\r\n", "\u2028", "\x1f", "_1", "\u0661"]),
    ),
)


@given(body=BODIES)
@settings(max_examples=500)
def test_decode_id(body: bytes) -> None:
    both(lambda twin: twin.decode_id(body))


@pytest.mark.parametrize("offset", range(-3, 4))
@pytest.mark.parametrize("edge", [0, 10**18, 10**19, 2**63, 2**64, 10**20])
def test_decode_id_at_the_edges(edge: int, offset: int) -> None:
    both(lambda twin: twin.decode_id(b"%d" % (edge + offset)))


# --- routing ---


class Colour(IntEnum):
    RED = 1
    BLUE = 2


class Text(str):
    def __str__(self) -> str:
        return "not what it is"


class Number(int):
    def __index__(self) -> int:
        return 99


class Pretender:
    __class__ = int  # type: ignore[assignment]


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Point(NamedTuple):
    x: int
    y: object


class Pair(list[object]):
    pass


class Indexed:
    def __getitem__(self, index: int) -> object:
        raise IndexError


Loose = namedtuple("Loose", "id")


def broken(count: int) -> Iterator[object]:
    for id in range(count):
        yield id, True
    raise LookupError("what process itself raises")


INTEGERS = st.one_of(
    st.integers(-2, 3),
    st.integers(-(2**130), 2**130),
    st.sampled_from([ID_MAX, ID_MAX + 1, 2**127 - 1, 2**127, -(2**127), -(2**127) - 1]),
    st.sampled_from([Colour.RED, Colour.BLUE, Number(1), Number(ID_MAX), Number(-1)]),
)
CASES = st.one_of(
    st.booleans(),
    INTEGERS,
    st.sampled_from(["", "1", "a", "Grüße", "\ud800", Text("a"), Text("1"), "True"]),
)
ODD = st.one_of(
    st.none(),
    st.floats(),
    st.binary(max_size=80),
    st.text(max_size=80),
    st.sampled_from([Ellipsis, (), [], (1,), [1, 2, 3], {1: 2}, int, Loose(1)]),
)
OUTPUTS = st.one_of(
    st.tuples(INTEGERS, CASES),
    st.lists(st.one_of(INTEGERS, CASES), min_size=2, max_size=2),
    st.builds(Point, INTEGERS, CASES),
    st.builds(lambda id, case: Pair([id, case]), INTEGERS, CASES),
    st.tuples(ODD, CASES),
    st.tuples(INTEGERS, ODD),
    ODD,
)
ROUTES = st.lists(st.tuples(CASES, st.lists(st.integers(0, 5), max_size=3)), max_size=6)


@given(routes=ROUTES, case=st.one_of(CASES, ODD))
@settings(max_examples=400)
def test_lookup(routes: list[Any], case: object) -> None:
    both(lambda twin: twin.RoutingTable(routes).lookup(case))


@given(routes=ROUTES, outputs=st.lists(OUTPUTS, max_size=6))
@settings(max_examples=500)
def test_plan(routes: list[Any], outputs: list[object]) -> None:
    both(lambda twin: twin.RoutingTable(routes).plan(outputs))
    both(lambda twin: twin.RoutingTable(routes).plan(output for output in outputs))


@given(routes=ROUTES, outputs=st.lists(st.tuples(st.integers(0, ID_MAX), CASES)))
def test_plan_of_what_may_be_sent(routes: list[Any], outputs: list[object]) -> None:
    both(lambda twin: twin.RoutingTable(routes).plan(outputs))


PRETENDER, UNPRINTABLE = Pretender(), Unprintable()


@pytest.mark.parametrize(
    "outputs",
    [
        None,
        "text",
        Text("text"),
        b"bytes",
        5,
        {},
        {(1, True): 2},
        Indexed,
        Unprintable,
        PRETENDER,
        UNPRINTABLE,
        [PRETENDER],
        [UNPRINTABLE],
        [(PRETENDER, True)],
        [(1, PRETENDER)],
        [(1, UNPRINTABLE)],
        [(UNPRINTABLE, 1)],
        [(Colour.RED, Colour.RED)],
        [(Number(7), Text("a"))],
        [(True, True)],
        [(1, True), (2**64, True), (3, True)],
        [(10**5_000, True)],
        [(1, 10**5_000)],
        [(-1, True)],
        iter([]),
    ],
    ids=lambda outputs: type(outputs).__name__,
)
def test_plan_of_odd_objects(outputs: object) -> None:
    routes = [(True, [0]), (1, [1, 2]), ("a", [3]), (7, [])]
    both(lambda twin: twin.RoutingTable(routes).plan(outputs))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_an_error_of_process_itself_goes_through(count: int) -> None:
    raised = both(lambda twin: twin.RoutingTable([]).plan(broken(count)))
    assert raised == ("raised", LookupError, "what process itself raises")


def test_what_comes_out_of_plan_is_plain() -> None:
    """An IntEnum among the ids or a subclass among the cases is not handed on as one."""
    plan = both(lambda twin: twin.RoutingTable([(True, [0])]).plan([(Colour.RED, True)]))
    assert plan == (tuple, [(list, [(tuple, [(int, 0), (int, 1)])]), (list, [])])


@pytest.mark.parametrize(
    "routes",
    [[("a", 5)], [(None, [1])], [(1.5, [1])], [1], None, [("a", [1], 2)]],
    ids=str,
)
def test_routes_that_are_none(routes: Any) -> None:
    """The configuration is checked before; what is asked here is only that nothing is built."""
    for twin in (fallback, compiled):
        with pytest.raises((TypeError, ValueError)):
            twin.RoutingTable(routes)


# --- writing ---

QUEUES = ["a", "b" * 255, "Grüße", ""]
WRITES = st.lists(
    st.one_of(
        st.tuples(
            st.just("publish"),
            st.one_of(st.integers(-5, 5), st.sampled_from([2**63, -(2**63), 2**70, True])),
            st.one_of(INTEGERS, st.integers(0, ID_MAX)),
        ),
        st.tuples(st.just("ack"), st.one_of(INTEGERS, st.integers(0, ID_MAX)), st.booleans()),
        st.tuples(st.just("nack"), st.one_of(INTEGERS, st.integers(0, ID_MAX)), st.booleans()),
        st.tuples(st.just("take")),
    ),
    max_size=12,
)


@given(channel=st.sampled_from([0, 1, 256, 65_535]), writes=WRITES)
@settings(max_examples=400)
def test_writer(channel: int, writes: list[Any]) -> None:
    def write(twin: Any) -> list[object]:
        writer = twin.FrameWriter(channel, QUEUES)
        steps = [observe(getattr(writer, name), *rest) for name, *rest in writes]
        return [*steps, writer.take(), writer.take()]

    both(write)


@pytest.mark.parametrize("index", [-1, -4, 4, 2**31, 2**63, -(2**64)])
def test_a_queue_that_is_not_there_is_an_error_and_writes_nothing(index: int) -> None:
    for twin in (fallback, compiled):
        writer = twin.FrameWriter(1, QUEUES)
        with pytest.raises(IndexError, match=f"there is no queue {index}: expected 0 to 3"):
            writer.publish(index, 5)
        assert writer.take() == b""


@pytest.mark.parametrize("id", [-1, 2**64, -(2**63), 10**40])
def test_an_id_out_of_range_is_an_error_and_writes_nothing(id: int) -> None:
    for twin in (fallback, compiled):
        writer = twin.FrameWriter(1, QUEUES)
        with pytest.raises(OverflowError, match=f"id {id} is out of range: expected 0 to {ID_MAX}"):
            writer.publish(0, id)
        assert writer.take() == b""


@pytest.mark.parametrize("channel", [-1, 65_536, 2**40])
@pytest.mark.parametrize("name", ["FrameReader", "FrameWriter"])
def test_a_channel_out_of_range(name: str, channel: int) -> None:
    rest: list[object] = [] if name == "FrameReader" else [[]]
    raised = both(lambda twin: getattr(twin, name)(channel, *rest))
    message = f"channel {channel} is out of range: expected 0 to 65535"
    assert raised == ("raised", ValueError, message)


@pytest.mark.parametrize("queue", ["q" * 256, "ü" * 128, "\ud800", Text("sub")], ids=len)
def test_names_of_queues(queue: str) -> None:
    def write(twin: Any) -> bytes:
        writer = twin.FrameWriter(1, [queue])
        writer.publish(0, 1)
        return bytes(writer.take())

    both(write)


# --- reading ---


def read(twin: Any, pieces: list[bytes]) -> list[object]:
    """Return what comes of each piece, up to the first error: after it there is no connection."""
    reader = twin.FrameReader(streams.CHANNEL)
    steps: list[object] = []
    for piece in pieces:
        step = observe(reader.feed, piece)
        steps.append(step)
        if isinstance(step, tuple) and step[0] == "raised":
            break
    return steps


def test_every_kind_of_frame_cut_at_every_position() -> None:
    random = Random(1)
    for make in [*streams.FRAMES] * 12:
        data = make(random)
        for at in range(min(len(data), 400) + 1):
            both(read, [data[:at], data[at:]])


@given(seed=st.integers(0, 2**32), length=st.integers(1, 6), cuts=st.lists(st.integers(0, 2_000)))
@settings(max_examples=500)
def test_streams_cut_anywhere(seed: int, length: int, cuts: list[int]) -> None:
    data = streams.stream(Random(seed), length)
    bounds = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(bounds)]
    expected = fallback.FrameReader(streams.CHANNEL).feed(data)
    assert "raised" not in str(both(read, pieces))
    assert compiled.FrameReader(streams.CHANNEL).feed(data) == expected


@given(seed=st.integers(0, 2**32), lies=st.integers(1, 4), pieces=st.integers(1, 9))
@settings(max_examples=400)
def test_streams_that_lie(seed: int, lies: int, pieces: int) -> None:
    random = Random(seed)
    data = streams.stream(random, 4)
    for _ in range(lies):
        data = streams.lie(random, data)
    both(read, streams.cut(random, data, pieces))


@given(pieces=st.lists(st.binary(max_size=40), max_size=5))
@settings(max_examples=500)
def test_bytes_of_any_kind(pieces: list[bytes]) -> None:
    both(read, pieces)


@given(
    kind=st.sampled_from([1, 2, 3, 8]),
    number=st.sampled_from([50, 60, 80, 120, 90]),
    fields=st.binary(max_size=40),
    size=st.integers(0, 2**64 - 1),
)
@settings(max_examples=400)
def test_fields_of_any_kind(kind: int, number: int, fields: bytes, size: int) -> None:
    payload = b"\x00\x3c" + number.to_bytes(2, "big") + fields
    one = streams.frame(kind, payload)
    begin = streams.method(60, b"\x00" + bytes(9) + b"\x00\x00")
    for data in (one, begin + one, begin + streams.header(size) + one + one):
        both(read, [data])


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_largest_frames(more: int) -> None:
    size = streams.PAYLOAD_MAX + more
    data = streams.method(60, b"\x00" + bytes(9) + b"\x00\x00")
    data += streams.header(2 * size) + streams.body(b"1" * size) + streams.body(b"2" * size)
    both(read, [data])
    both(read, [data[:70_000], data[70_000:]])


def test_a_thousand_fuzzed_streams() -> None:
    counts = fuzz.run("tests", 1_000)
    assert counts["streams"] == 1_000
    assert min(counts[kind] for kind in ("deliveries", "raw", "confirms", "returns")) > 50
    assert sum(count for kind, count in counts.items() if kind.startswith("error")) > 300
