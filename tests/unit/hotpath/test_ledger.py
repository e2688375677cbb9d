"""Which deliveries may be acknowledged, and when: one rule a test."""

from __future__ import annotations

import frames
import pytest
from hotpaths import Books, HotPath, load

from slingshot_microservice.hotpath import NO_DELIVERY

A, B, C = (0, 10), (0, 11), (1, 10)


@pytest.fixture
def ledger(hot: HotPath) -> Books:
    return Books(hot)


def acks(ledger: Books) -> list[tuple[int, bool]]:
    """Let the ledger acknowledge; return (tag, multiple) of what it wrote."""
    writer = ledger.hot.FrameWriter(frames.CHANNEL, [])
    ledger.acknowledge(writer)
    written = [frame.method for frame in frames.decode(writer.take())]
    assert all(ack.NAME == "Basic.Ack" for ack in written)
    return [(ack.delivery_tag, ack.multiple) for ack in written]


def test_a_delivery_without_outputs_is_acknowledged_at_once(ledger: Books) -> None:
    ledger.expect(1, [])
    assert acks(ledger) == [(1, True)]
    assert acks(ledger) == []


def test_a_delivery_waits_for_the_last_of_its_confirms(ledger: Books) -> None:
    ledger.expect(1, [A, B, C])
    for sequence in (3, 1):
        ledger.confirm(sequence, False, True)
        assert ledger.waits_for(1)
        assert acks(ledger) == []
    ledger.confirm(2, False, True)
    assert not ledger.waits_for(1)
    assert acks(ledger) == [(1, True)]


def test_the_head_is_acknowledged_together(ledger: Books) -> None:
    for tag in (1, 2, 3):
        ledger.expect(tag, [A])
    ledger.confirm(3, True, True)
    assert acks(ledger) == [(3, True)]


def test_a_slow_delivery_holds_back_none_of_those_behind_it(ledger: Books) -> None:
    for tag in (1, 2, 3, 4):
        ledger.expect(tag, [A])
    ledger.confirm(2, False, True)
    ledger.confirm(4, False, True)
    assert sorted(acks(ledger)) == [(2, False), (4, False)]
    ledger.confirm(1, False, True)
    assert acks(ledger) == [(1, True)], "not 2, which is acknowledged already"
    ledger.confirm(3, False, True)
    assert acks(ledger) == [(3, True)]


def test_a_handed_back_delivery_is_no_obstacle_at_the_head(ledger: Books) -> None:
    ledger.settle(1)
    ledger.expect(2, [])
    assert acks(ledger) == [(2, True)]
    ledger.settle(3)
    assert acks(ledger) == []


def test_a_confirm_of_zero_means_all(ledger: Books) -> None:
    ledger.expect(1, [A, B])
    ledger.expect(2, [C])
    ledger.confirm(0, True, True)
    assert acks(ledger) == [(2, True)]


def test_a_confirm_of_what_was_never_sent_changes_nothing(ledger: Books) -> None:
    ledger.expect(1, [A])
    for sequence in (0, 2, 2**64 - 1):
        ledger.confirm(sequence, False, True)
    assert ledger.waits_for(1)
    ledger.confirm(2**64 - 1, True, True)
    assert acks(ledger) == [(1, True)]
    ledger.expect(2, [A])
    assert ledger.waits_for(2), "a confirm does not count in advance"


@pytest.mark.parametrize("multiple", [False, True])
def test_a_refused_output_is_named_and_the_delivery_not_acknowledged(
    ledger: Books, multiple: bool
) -> None:
    ledger.expect(1, [A, B])
    ledger.confirm(1, False, True)
    assert ledger.take_refused() == [], "one is not answered yet"
    ledger.confirm(2, multiple, False)
    assert ledger.waits_for(1)
    assert acks(ledger) == []
    assert ledger.take_refused() == [(1, [B])]
    assert ledger.take_refused() == []
    ledger.expect(1, [B])
    ledger.confirm(3, False, True)
    assert acks(ledger) == [(1, True)]


def test_a_returned_output_is_refused_although_it_is_confirmed(ledger: Books) -> None:
    ledger.expect(1, [A, B])
    ledger.returned(B)
    ledger.confirm(2, True, True)
    assert acks(ledger) == []
    assert ledger.take_refused() == [(1, [B])]


def test_of_equal_messages_none_counts_as_safe_before_one_is(ledger: Books) -> None:
    """The queue went between two equal messages; RabbitMQ confirms the unroutable one at once.

    Were the first taken for the returned one, the second's delivery would be acknowledged while
    nothing is safe at the broker.
    """
    ledger.expect(1, [A])
    ledger.expect(2, [A])
    ledger.returned(A)
    ledger.confirm(2, False, True)
    assert acks(ledger) == []
    assert ledger.take_refused() == [(2, [A])]
    ledger.confirm(1, False, True)
    assert acks(ledger) == [(1, True)]


def test_a_negative_confirm_does_not_stand_for_a_return(ledger: Books) -> None:
    ledger.expect(1, [A])
    ledger.expect(2, [A])
    ledger.returned(A)
    ledger.confirm(2, False, False)
    ledger.confirm(1, False, True)
    assert acks(ledger) == []
    assert ledger.take_refused() == [(2, [A]), (1, [A])]


def test_every_return_counts(ledger: Books) -> None:
    ledger.expect(1, [A, A, A])
    ledger.returned(A)
    ledger.returned(A)
    ledger.confirm(3, True, True)
    assert ledger.take_refused() == [(1, [A, A])]


def test_a_lost_consumer_forgets_its_tags(ledger: Books) -> None:
    ledger.expect(1, [])
    ledger.expect(2, [A])
    ledger.expect(3, [B])
    ledger.confirm(2, False, False)
    ledger.settle(4)
    ledger.forget_deliveries()
    assert ledger.is_idle
    assert not any(map(ledger.waits_for, (1, 2, 3)))
    assert (acks(ledger), ledger.take_refused()) == ([], [])
    ledger.confirm(1, False, True)
    assert acks(ledger) == [], "the late confirm belongs to a tag of the lost channel"
    ledger.expect(1, [C])
    ledger.confirm(3, False, True)
    assert acks(ledger) == [(1, True)], "tags and head start over, sequence numbers do not"


def test_a_lost_publisher_names_what_may_not_be_safe(ledger: Books) -> None:
    ledger.expect(1, [A, B, C])
    ledger.expect(2, [A])
    ledger.expect(3, [B])
    ledger.confirm(1, False, False)
    ledger.confirm(2, False, True)
    ledger.confirm(5, False, True)
    assert ledger.forget_publishes() == [(1, [A, C]), (2, [A])]
    assert acks(ledger) == [(3, False)]
    ledger.expect(1, [A, C])
    ledger.confirm(2, True, True)
    assert acks(ledger) == [(1, True)], "sequence numbers start over"


def test_a_return_dies_with_its_channel(ledger: Books) -> None:
    ledger.expect(1, [A])
    ledger.returned(A)
    ledger.forget_publishes()
    ledger.expect(1, [A])
    ledger.confirm(1, False, True)
    assert acks(ledger) == [(1, True)]


def test_what_belongs_to_no_delivery_is_never_acknowledged(ledger: Books) -> None:
    ledger.expect(NO_DELIVERY, [A])
    assert not ledger.is_idle
    ledger.confirm(1, False, True)
    assert not ledger.waits_for(NO_DELIVERY)
    assert acks(ledger) == []
    assert ledger.is_idle


def test_what_belongs_to_no_delivery_survives_a_lost_consumer(ledger: Books) -> None:
    ledger.expect(NO_DELIVERY, [A, B])
    ledger.forget_deliveries()
    assert ledger.waits_for(NO_DELIVERY)
    ledger.confirm(1, False, True)
    ledger.confirm(2, False, False)
    ledger.forget_deliveries()
    assert ledger.waits_for(NO_DELIVERY)
    assert ledger.take_refused() == [(NO_DELIVERY, [B])]


def test_is_not_idle_while_outputs_wait(ledger: Books) -> None:
    ledger.expect(1, [A])
    is_idle = [ledger.is_idle]
    ledger.forget_publishes()
    assert [*is_idle, ledger.is_idle] == [False, True]


def test_is_not_idle_while_a_refusal_waits(ledger: Books) -> None:
    ledger.expect(1, [A])
    ledger.confirm(1, False, False)
    is_idle = [ledger.is_idle]
    ledger.take_refused()
    assert [*is_idle, ledger.is_idle] == [False, True]


def test_is_not_idle_while_an_acknowledgement_waits(ledger: Books) -> None:
    ledger.expect(1, [])
    is_idle = [ledger.is_idle]
    acks(ledger)
    assert [*is_idle, ledger.is_idle] == [False, True]


def test_confirms_of_a_lost_channel_do_not_count_for_the_next(ledger: Books) -> None:
    """The tags of two consuming channels are equal; what they stand for is not."""
    ledger.expect(1, [A])
    ledger.forget_deliveries()
    ledger.expect(1, [B])
    ledger.confirm(1, False, True)
    assert acks(ledger) == []
    ledger.settle(2)
    ledger.forget_deliveries()
    ledger.expect(1, [])
    ledger.expect(2, [])
    assert acks(ledger) == [(2, True)], "2 was handed back on the channel before"
    ledger.forget_deliveries()
    ledger.expect(1, [])
    assert acks(ledger) == [(1, True)], "and was acknowledged on the channel before"


def test_a_hundred_thousand_deliveries_leave_nothing_behind() -> None:
    books = Books(load("_fallback"))  # of the compiled one, the memory is watched from outside
    writer = books.hot.FrameWriter(frames.CHANNEL, [])
    books.expect(1, [A])  # and never confirmed: the head stays where it is
    for tag in range(2, 100_001):
        books.expect(tag, [A])
        books.confirm(tag, False, True)
        books.acknowledge(writer)
        writer.take()
    slots: tuple[str, ...] = vars(type(books.ledger))["__slots__"]
    kept = {name: getattr(books.ledger, name) for name in slots}
    sizes = {name: len(value) for name, value in kept.items() if hasattr(value, "__len__")}
    assert max(sizes.values()) == 1, sizes
