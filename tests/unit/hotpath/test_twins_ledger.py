"""Both ledgers keep the same books, whatever happens and in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import both, observe, show

from slingshot_microservice.hotpath import FrameError

QUEUES = ["a", "b"]
TAGS = st.integers(0, 8)
IDS = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])
PUBLISH = st.tuples(st.integers(0, 1), IDS)
BAD_PUBLISH = st.sampled_from([(2, 1), (-1, 1), (0, -1), (1, 2**64)])
PUBLISHES = st.one_of(
    st.lists(PUBLISH, max_size=3),
    st.lists(st.one_of(PUBLISH, BAD_PUBLISH), max_size=3),
)
SEQUENCES = st.one_of(st.integers(0, 12), st.sampled_from([2**63, 2**64 - 1]))
CONFIRMS = st.lists(st.tuples(SEQUENCES, st.booleans(), st.booleans()), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.lists(st.sampled_from([1, 1, 1, 2, 0]), max_size=4)),
        st.tuples(st.just("publish"), TAGS, PUBLISHES),
        st.tuples(st.just("publish"), TAGS, PUBLISHES),
        st.tuples(
            st.just("publish_finished"),
            st.lists(st.tuples(st.integers(1, 2), TAGS, PUBLISHES), max_size=3),
        ),
        st.tuples(st.just("expect"), TAGS, st.one_of(PUBLISH, st.just((-1, 0)))),
        st.tuples(st.just("confirm"), CONFIRMS),
        st.tuples(st.just("confirm"), CONFIRMS),
        st.tuples(st.just("returned"), st.one_of(PUBLISH, st.just((-1, 0)))),
        st.tuples(st.just("settle"), TAGS),
        st.tuples(st.just("acknowledge")),
        st.tuples(st.just("take_refused")),
        st.tuples(st.just("forget_deliveries")),
        st.tuples(st.just("forget_publishes")),
    ),
    max_size=40,
)


class Books:
    """A ledger with both of its writers."""

    def __init__(self, twin: Any) -> None:
        self.ledger = twin.Ledger()
        self.publishing = twin.FrameWriter(1, QUEUES)
        self.consuming = twin.FrameWriter(2, [])
        self.tag = 0

    def deliver(self, steps: list[int]) -> None:
        """Deliver tags that rise by ``steps``; by 0 they do not, which is an error."""
        tags = [sum(steps[: count + 1]) + self.tag for count in range(len(steps))]
        self.tag = max([self.tag, *tags])
        self.ledger.deliver([(tag, 5, False) for tag in tags])

    def publish(self, tag: int, publishes: list[Any]) -> None:
        self.ledger.publish(tag, publishes, self.publishing)

    def publish_finished(self, finished: list[Any]) -> None:
        self.ledger.publish_finished(finished, 1, self.publishing)

    def acknowledge(self) -> object:
        return self.ledger.acknowledge(self.consuming)

    def forget_deliveries(self) -> None:
        self.tag = 0
        self.ledger.forget_deliveries()

    def do(self, name: str, *rest: Any) -> object:
        return getattr(self if hasattr(self, name) else self.ledger, name)(*rest)

    def state(self) -> list[object]:
        ledger = self.ledger
        waits = [ledger.waits_for(tag) for tag in range(10)]
        written = [self.publishing.take(), self.consuming.take()]
        return [ledger.is_idle, ledger.finished, waits, written]


@given(steps=STEPS)
@settings(max_examples=1_000)
def test_any_sequence(steps: list[Any]) -> None:
    def keep(twin: Any) -> list[object]:
        books = Books(twin)
        return [(observe(books.do, *step), books.state()) for step in steps]

    both(keep)


@given(data=st.data())
@settings(max_examples=60)
def test_with_so_much_open_that_memory_is_taken_again(data: st.DataObject) -> None:
    rounds = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, 700),  # deliveries
                st.integers(0, 5),  # publishes of each
                st.sampled_from([1, 2, 3, 7]),  # every which one is confirmed at once
                st.booleans(),  # whether all others are, too
                st.sampled_from(["", "", "forget_deliveries", "forget_publishes"]),
            ),
            max_size=6,
        )
    )

    def keep(twin: Any) -> list[object]:
        books, sent = Books(twin), 0
        seen: list[object] = []
        for deliveries, outputs, step, rest, loss in rounds:
            first = books.tag + 1
            books.deliver([1] * deliveries)
            for tag in range(first, books.tag + 1):
                books.publish(tag, [(0, tag)] * outputs)
            last = sent + deliveries * outputs
            books.ledger.confirm([(at, False, at % 11 != 0) for at in range(sent, last, step)])
            if rest:
                books.ledger.confirm([(0, True, True)])
            seen.append((books.acknowledge(), books.state(), books.ledger.take_refused()))
            sent = 0 if loss == "forget_publishes" else last
            if loss:
                seen.append((books.do(loss), books.state(), []))
        return seen

    both(keep)


def test_an_output_that_cannot_be_sent_takes_back_those_before_it() -> None:
    """Or the sequence numbers would be those of other messages from here on."""

    def keep(twin: Any) -> list[object]:
        books = Books(twin)
        books.deliver([1, 1])
        failed = observe(books.publish, 1, [(0, 7), (1, 8), (2, 9)])
        written = books.publishing.take()
        books.publish(2, [(0, 1)])
        books.ledger.confirm([(1, False, True)])
        return [failed, written, books.ledger.finished]

    kept = both(keep)
    failed = "raised", IndexError, "there is no queue 2: expected 0 to 1"
    assert kept == show([failed, b"", frozenset([2])])


@pytest.mark.parametrize("tags", [[0], [1, 1], [5, 3], [2**64 - 1, 1]], ids=str)
def test_a_lie_about_delivery_tags_is_an_error(tags: list[int]) -> None:
    """To acknowledge several together would acknowledge what is not finished."""
    deliveries = [(tag, 5, False) for tag in tags]
    raised = both(lambda twin: twin.Ledger().deliver(deliveries))
    last = tags[-2] if len(tags) > 1 else 0
    message = f"delivery tag {tags[-1]} does not come after {last}"
    assert raised == ("raised", FrameError, message)


def test_what_was_handed_back_is_never_acknowledged() -> None:
    def keep(twin: Any) -> list[object]:
        books = Books(twin)
        books.deliver([1, 1, 1])
        books.publish(1, [])
        books.publish(2, [(0, 7)])
        for tag in (1, 2):
            books.ledger.settle(tag)
        books.publish(1, [(0, 8)])
        books.ledger.confirm([(0, True, True)])
        return [books.acknowledge(), books.ledger.is_idle]

    assert both(keep) == show([0, True])
