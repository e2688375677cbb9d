"""What is sent is what pika would have sent, to the byte."""

from __future__ import annotations

import frames
import pytest
from frames import spec
from hotpaths import HotPath
from hypothesis import given
from hypothesis import strategies as st

QUEUES = [
    "q",
    "simple-microservice-inbound",
    "Grüße, 世界 🚀",
    " with spaces and \x00",
    "q" * 255,
    "世" * 85,  # 255 bytes
    "",
]
IDS = [0, 7, 9, 10, 99, 100, 2**32, 10**19 - 1, 10**19, 2**64 - 1]
TAGS = [1, 255, 256, 2**32, 2**63, 2**64 - 1]


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue[:12])
def test_a_publish_is_what_pika_sends(hot: HotPath, queue: str, id: int) -> None:
    writer = hot.FrameWriter(frames.CHANNEL, ["another", queue])
    writer.publish(1, id)
    assert writer.take() == frames.publish(queue, id)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("flag", [False, True])
def test_acks_and_nacks_are_what_pika_sends(hot: HotPath, tag: int, flag: bool) -> None:
    writer = hot.FrameWriter(frames.CHANNEL, [])
    writer.ack(tag, flag)
    assert writer.take() == frames.method(spec.Basic.Ack(tag, flag))
    writer.nack(tag, flag)
    assert writer.take() == frames.method(spec.Basic.Nack(tag, multiple=False, requeue=flag))


@pytest.mark.parametrize("channel", [1, 2, 256, 65_535])
def test_the_channel_is_in_every_frame(hot: HotPath, channel: int) -> None:
    writer = hot.FrameWriter(channel, ["q"])
    writer.publish(0, 12)
    writer.ack(3, False)
    writer.nack(4, True)
    assert [frame.channel_number for frame in frames.decode(writer.take())] == [channel] * 5


def test_a_reader_of_pikas_finds_every_promise(hot: HotPath) -> None:
    writer = hot.FrameWriter(frames.CHANNEL, ["a", "b"])
    writer.publish(1, 12)
    method, header, body = frames.decode(writer.take())
    assert (method.method.exchange, method.method.routing_key) == ("", "b")
    assert method.method.mandatory
    assert not method.method.immediate
    assert header.properties.delivery_mode == 2
    assert header.body_size == 2
    assert body.fragment == b"12"


def test_what_was_taken_is_gone(hot: HotPath) -> None:
    writer = hot.FrameWriter(frames.CHANNEL, ["q"])
    assert writer.take() == b""
    writer.publish(0, 1)
    first = writer.take()
    assert writer.take() == b""
    writer.publish(0, 1)
    assert writer.take() == first


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 2), st.integers(0, 2**64 - 1)),
        st.tuples(st.just("ack"), st.integers(1, 2**64 - 1), st.booleans()),
        st.tuples(st.just("nack"), st.integers(1, 2**64 - 1), st.booleans()),
    )
)


@given(actions=ACTIONS)
def test_a_batch_is_one_piece_in_order(
    hot: HotPath, actions: list[tuple[str, int, bool | int]]
) -> None:
    queues = ["a", "b" * 255, "ü"]
    writer = hot.FrameWriter(frames.CHANNEL, queues)
    expected = []
    for kind, number, value in actions:
        if kind == "publish":
            writer.publish(number, value)
            expected.append(frames.publish(queues[number], value))
        elif kind == "ack":
            writer.ack(number, bool(value))
            expected.append(frames.method(spec.Basic.Ack(number, value)))
        else:
            writer.nack(number, bool(value))
            expected.append(frames.method(spec.Basic.Nack(number, False, value)))
    assert writer.take() == b"".join(expected)
