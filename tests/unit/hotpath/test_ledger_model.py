"""The ledger against a broker of sets: whatever happens, and in whatever order, no id is lost.

The model knows of every message which one it is, which the ledger cannot know of those that
came back. So it does not say which delivery is refused, only what must hold whichever it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import frames
import pytest
from hotpaths import Books, load
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slingshot_microservice.hotpath import NO_DELIVERY, Publish

pytestmark = pytest.mark.timeout(600)  # of many steps each

Outputs = list[Publish]


@dataclass
class Message:
    """One that the broker has not confirmed.

    Attributes:
        tag: The delivery that it belongs to; None once that is void.
        publish: What it says.
        routed: False if it came back.
    """

    tag: int | None
    publish: Publish
    routed: bool = True


class LedgerMachine(RuleBasedStateMachine):
    implementation = "_fallback"

    def __init__(self) -> None:
        super().__init__()
        hot = load(self.implementation)
        self.ledger = Books(hot)
        self.writer = hot.FrameWriter(frames.CHANNEL, [])
        # Of the consuming channel.
        self.begun = 0
        self.delivered = 0
        self.fresh: set[int] = set()  # in the hands of a worker
        self.asked: dict[int, Counter[Publish]] = {}  # what each delivery is to publish
        self.settled: set[int] = set()
        # Of the publishing channel.
        self.sequence = 0
        self.unconfirmed: dict[int, Message] = {}
        self.safe: Counter[Publish] = Counter()
        self.promised: Counter[Publish] = Counter()  # the outputs of acknowledged deliveries
        self.doubtful: set[Publish] = set()  # came back, or were refused
        # On its way again, as the publisher would do it.
        self.unsent: dict[int, Outputs] = {}
        self.unsettled: set[int] = set()  # all outputs are answered

    def waiting(self) -> set[int]:
        return {message.tag for message in self.unconfirmed.values() if message.tag is not None}

    def send(self, tag: int, outputs: Outputs) -> None:
        self.ledger.expect(tag, outputs)
        for publish in outputs:
            self.sequence += 1
            self.unconfirmed[self.sequence] = Message(tag, publish)
        if not outputs:
            self.unsettled.add(tag)

    def answer(self, sequences: list[int], accepted: bool) -> None:
        before = self.waiting()
        for sequence in sequences:
            message = self.unconfirmed.pop(sequence)
            if accepted and message.routed:
                self.safe[message.publish] += 1
            else:
                self.doubtful.add(message.publish)
        self.unsettled |= before - self.waiting()

    def deliver(self, count: int) -> None:
        self.fresh |= set(range(self.delivered + 1, self.delivered + count + 1))
        self.delivered += count

    @rule(data=st.data(), own=st.integers(0, 3), common=st.integers(0, 2))
    def finish(self, data: st.DataObject, own: int, common: int) -> None:
        """Some outputs are of this delivery alone, others are equal to another's."""
        if not self.fresh:
            self.deliver(data.draw(st.integers(1, 4)))
        tag = data.draw(st.sampled_from(sorted(self.fresh)))
        self.fresh.remove(tag)
        self.begun += 1
        outputs = [(0, 10 * self.begun + number) for number in range(own)] + [(1, 7)] * common
        self.asked[tag] = Counter(outputs)
        self.send(tag, outputs)

    @precondition(lambda self: self.fresh)
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.fresh)))
        self.fresh.remove(tag)
        self.settled.add(tag)
        self.ledger.settle(tag)

    @precondition(lambda self: NO_DELIVERY not in self.asked)
    @rule(count=st.integers(1, 3))
    def start_up(self, count: int) -> None:
        outputs = [(1, 7)] * count
        self.asked[NO_DELIVERY] = Counter(outputs)
        self.send(NO_DELIVERY, outputs)

    @precondition(lambda self: self.unconfirmed)
    @rule(data=st.data(), accepted=st.booleans())
    def confirm_one(self, data: st.DataObject, accepted: bool) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.unconfirmed)))
        self.ledger.confirm(sequence, False, accepted)
        self.answer([sequence], accepted)

    @precondition(lambda self: self.unconfirmed)
    @rule(data=st.data(), accepted=st.booleans(), zero=st.booleans())
    def confirm_many(self, data: st.DataObject, accepted: bool, zero: bool) -> None:
        last = self.sequence if zero else data.draw(st.sampled_from(sorted(self.unconfirmed)))
        self.ledger.confirm(0 if zero else last, True, accepted)
        self.answer([sequence for sequence in self.unconfirmed if sequence <= last], accepted)

    @rule(sequence=st.integers(1, 50), multiple=st.booleans())
    def confirm_again(self, sequence: int, multiple: bool) -> None:
        if not any(one == sequence or (multiple and one < sequence) for one in self.unconfirmed):
            self.ledger.confirm(sequence, multiple, True)

    @precondition(lambda self: any(one.routed for one in self.unconfirmed.values()))
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        routed = sorted(at for at, message in self.unconfirmed.items() if message.routed)
        message = self.unconfirmed[data.draw(st.sampled_from(routed))]
        message.routed = False
        self.doubtful.add(message.publish)
        self.ledger.returned(message.publish)

    @precondition(lambda self: self.unsettled)
    @rule()
    def take_refused(self) -> None:
        for tag, outputs in self.ledger.take_refused():
            assert tag in self.unsettled, "not all of its outputs are answered"
            self.must_be_doubtful(tag, outputs)
            self.unsettled.remove(tag)
            self.unsent[tag] = outputs

    def must_be_doubtful(self, tag: int, outputs: Outputs) -> None:
        assert outputs
        assert set(outputs) <= self.doubtful
        assert Counter(outputs) <= self.asked[tag]

    @precondition(lambda self: self.unsent)
    @rule(data=st.data(), again=st.booleans())
    def resolve_refused(self, data: st.DataObject, again: bool) -> None:
        tag = data.draw(st.sampled_from(sorted(self.unsent)))
        outputs = self.unsent.pop(tag)
        if again:
            self.send(tag, outputs)
        elif tag != NO_DELIVERY:
            self.settled.add(tag)
            self.ledger.settle(tag)

    @precondition(lambda self: self.unsettled)
    @rule()
    def acknowledge(self) -> None:
        count = self.ledger.acknowledge(self.writer)
        acknowledged: set[int] = set()
        for frame in frames.decode(self.writer.take()):
            tag, multiple = frame.method.delivery_tag, frame.method.multiple
            assert tag in self.unsettled - acknowledged, "its own tag is not settled yet"
            reached = set(range(1, tag + 1)) - self.settled if multiple else {tag}
            assert reached - acknowledged <= self.unsettled, "one of them waits for its outputs"
            acknowledged |= reached
        assert count == len(acknowledged)
        self.settled |= acknowledged
        self.unsettled -= acknowledged
        self.settle_startup()
        for tag in acknowledged:
            self.promised += self.asked[tag]
        assert self.promised <= self.safe, "acknowledged before its outputs were safe"
        self.nothing_is_forgotten()

    def nothing_is_forgotten(self) -> None:
        """What was answered and not acknowledged now must have an output in doubt."""
        for tag in self.unsettled:
            assert self.doubtful & set(self.asked[tag])
            assert self.ledger.waits_for(tag)

    @rule()
    def lose_deliveries(self) -> None:
        self.ledger.forget_deliveries()
        for message in self.unconfirmed.values():
            message.tag = NO_DELIVERY if message.tag == NO_DELIVERY else None
        self.delivered = 0
        self.fresh.clear()
        self.settled.clear()
        self.asked = {tag: asked for tag, asked in self.asked.items() if tag == NO_DELIVERY}
        self.unsent = {tag: unsent for tag, unsent in self.unsent.items() if tag == NO_DELIVERY}
        self.unsettled &= {NO_DELIVERY}
        self.settle_startup()

    def settle_startup(self) -> None:
        if not self.ledger.waits_for(NO_DELIVERY):
            self.unsettled.discard(NO_DELIVERY)

    @rule()
    def lose_publishes(self) -> None:
        lost = {message.publish for message in self.unconfirmed.values()}
        self.doubtful |= lost
        unsafe = dict(self.ledger.forget_publishes())
        assert unsafe.keys() == self.waiting()
        for tag, outputs in unsafe.items():
            self.must_be_doubtful(tag, outputs)
        self.unsent |= unsafe
        self.unconfirmed.clear()
        self.sequence = 0

    @invariant()
    def idle_means_that_nothing_waits(self) -> None:
        waiting = self.waiting()
        assert all(map(self.ledger.waits_for, waiting))
        if waiting or self.unsettled - {NO_DELIVERY}:
            assert not self.ledger.is_idle
        elif NO_DELIVERY not in self.unsettled:
            assert self.ledger.is_idle

    def teardown(self) -> None:
        """In the end everything that was finished can be acknowledged, once."""
        for _ in range(50):  # more than there are returns in a run
            self.take_refused()
            for tag in sorted(self.unsent):
                self.send(tag, self.unsent.pop(tag))
            self.ledger.confirm(0, True, True)
            self.answer(list(self.unconfirmed), True)
        self.acknowledge()
        assert self.ledger.is_idle
        finished = self.asked.keys() - {NO_DELIVERY}
        assert finished <= self.settled


class CompiledLedgerMachine(LedgerMachine):
    implementation = "_compiled"


SETTINGS = settings(max_examples=400, stateful_step_count=40)
LedgerMachine.TestCase.settings = SETTINGS
CompiledLedgerMachine.TestCase.settings = SETTINGS
TestLedgerModel = LedgerMachine.TestCase
TestCompiledLedgerModel = CompiledLedgerMachine.TestCase
