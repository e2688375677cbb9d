"""The hot path in Python: what every delivery waits for, and what may be acknowledged.

Two channels meet here. Delivery tags count the messages of the consuming channel, sequence
numbers those of the publishing one; both start at 1, and lose their meaning with their channel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ._common import NO_DELIVERY, Confirm, Delivery, Finished, FrameError, Publish
from ._fallback_frames import FrameWriter

__all__ = ["Ledger"]

_ORPHAN = -1  # the tag of publishes whose delivery is gone


class _Waiting:
    """A delivery with unconfirmed publishes."""

    __slots__ = ("missing", "refused")

    def __init__(self, missing: int) -> None:
        self.missing = missing
        self.refused: list[Publish] = []


class Ledger:
    """The books of one service. An object belongs to one thread, and so do its writers."""

    __slots__ = (
        "_finished",
        "_last_tag",
        "_oldest",
        "_open",
        "_refused",
        "_returned",
        "_sequence",
        "_unconfirmed",
        "_waiting",
    )

    def __init__(self) -> None:
        self._open: dict[int, None] = {}  # delivered and not settled, in the order of their tags
        self._last_tag = 0
        self._waiting: dict[int, _Waiting] = {}
        self._refused: list[tuple[int, list[Publish]]] = []
        self._finished: set[int] = set()  # may be acknowledged, and is not yet
        self._unconfirmed: dict[int, tuple[int, Publish]] = {}
        self._returned: Counter[Publish] = Counter()  # and not yet accepted
        self._sequence = 0
        self._oldest = 1

    @property
    def is_idle(self) -> bool:
        """Whether no delivery waits for an answer, or for its acknowledgement."""
        return not (self._waiting or self._refused or self._finished)

    @property
    def oldest_open(self) -> int:
        """The oldest delivery that is neither acknowledged nor handed back; 0 without any."""
        return next(iter(self._open), 0)

    @property
    def finished(self) -> frozenset[int]:
        """The deliveries that may be acknowledged and are not yet."""
        return frozenset(self._finished)

    def waits_for(self, tag: int) -> bool:
        """Whether delivery ``tag`` has publishes that are not safe yet."""
        return tag in self._waiting or any(refused == tag for refused, _ in self._refused)

    def deliver(self, deliveries: Iterable[Delivery]) -> None:
        """Note that messages came in, in the order of their tags.

        Raises:
            FrameError: The tags do not rise. To acknowledge several together would be wrong then.
        """
        for tag, _, _ in deliveries:
            if tag <= self._last_tag:
                raise FrameError(f"delivery tag {tag} does not come after {self._last_tag}")
            self._open[tag] = None
            self._last_tag = tag

    def publish(self, tag: int, publishes: Sequence[Publish], writer: FrameWriter) -> None:
        """Write the outputs of delivery ``tag``, which is finished when all of them are safe.

        Args:
            tag: The delivery, or `NO_DELIVERY`. For one that is not open the outputs are sent,
                and that is all.
            publishes: What to send. With nothing to send, the delivery is finished at once.
            writer: The publishing channel's.

        Raises:
            IndexError: There is no such queue. Nothing of the outputs is written.
            OverflowError: An id is out of range. Nothing of the outputs is written.
        """
        owner = tag if tag in self._open or tag == NO_DELIVERY else _ORPHAN
        sequence, written = self._sequence, len(writer._parts)
        try:
            for sequence, publish in enumerate(publishes, self._sequence + 1):
                writer.publish(*publish)
                self._unconfirmed[sequence] = (owner, publish)
        except BaseException:
            del writer._parts[written:]
            for late in range(self._sequence + 1, sequence + 1):
                self._unconfirmed.pop(late, None)
            raise
        self._sequence = sequence
        self._wait_for(owner, len(publishes))

    def publish_finished(
        self, finished: Iterable[Finished], epoch: int, writer: FrameWriter
    ) -> None:
        """Write the outputs of all that is of ``epoch``; the rest belongs to a lost channel."""
        for entry_epoch, tag, publishes in finished:
            if entry_epoch == epoch:
                self.publish(tag, publishes, writer)

    def expect(self, tag: int, publish: Publish) -> None:
        """Note that ``publish`` leaves now for delivery ``tag``, past the writer."""
        owner = tag if tag in self._open or tag == NO_DELIVERY else _ORPHAN
        self._sequence += 1
        self._unconfirmed[self._sequence] = (owner, publish)
        self._wait_for(owner, 1)

    def _wait_for(self, tag: int, count: int) -> None:
        if tag == _ORPHAN:
            return
        waiting = self._waiting.get(tag)
        if waiting is not None:
            waiting.missing += count
        elif count:
            self._finished.discard(tag)
            self._waiting[tag] = _Waiting(count)
        else:
            self._finished.add(tag)

    def confirm(self, confirms: Iterable[Confirm]) -> None:
        """Take note of confirms, positive and negative.

        With ``multiple``, all publishes up to the sequence number are meant; with 0, all there
        are, which is AMQP's rule.
        """
        for sequence, multiple, accepted in confirms:
            if multiple:
                last = min(sequence, self._sequence) if sequence else self._sequence
                while self._oldest <= last:
                    self._resolve(self._oldest, accepted)
                    self._oldest += 1
            else:
                self._resolve(sequence, accepted)
            if self._returned and not self._unconfirmed:
                self._returned.clear()  # every return comes before its confirm

    def returned(self, publish: Publish) -> None:
        """Take note that a message came back; its confirm is still to come.

        A return does not say which of several equal messages it is. The next of them to be
        accepted is taken for it: so there are never more that count as safe than are safe.
        """
        self._returned[publish] += 1

    def _resolve(self, sequence: int, accepted: bool) -> None:
        entry = self._unconfirmed.pop(sequence, None)
        if entry is None:
            return
        tag, publish = entry
        # An orphan is nobody's, so it may not use up a return that may be another's.
        if accepted and tag != _ORPHAN and (count := self._returned.pop(publish, 0)):
            if count > 1:
                self._returned[publish] = count - 1
            accepted = False
        waiting = self._waiting.get(tag)
        if waiting is None:
            return
        waiting.missing -= 1
        if not accepted:
            waiting.refused.append(publish)
        if waiting.missing:
            return
        del self._waiting[tag]
        if waiting.refused:
            self._refused.append((tag, waiting.refused))
        else:
            self._finished.add(tag)

    def take_refused(self) -> list[tuple[int, list[Publish]]]:
        """Return the deliveries whose publishes are all answered, not all with yes.

        Returns:
            Delivery tags, each with the publishes that came back or were refused. Publishing
            again, or `settle`, says what became of them.
        """
        refused, self._refused = self._refused, []
        return refused

    def settle(self, tag: int) -> None:
        """Note that delivery ``tag`` was handed back, and is not to be acknowledged."""
        if tag in self._open:
            del self._open[tag]
            self._waiting.pop(tag, None)
            self._finished.discard(tag)
            self._refused = [entry for entry in self._refused if entry[0] != tag]

    def acknowledge(self, writer: FrameWriter) -> int:
        """Write the acknowledgements that are due.

        The finished deliveries that are the oldest open ones are acknowledged together, others
        one by one: a slow request does not hold back the acknowledgements of those behind it.

        Args:
            writer: The consuming channel's.

        Returns:
            How many deliveries were acknowledged.
        """
        finished = self._finished
        finished.discard(NO_DELIVERY)
        if not finished:
            return 0
        together = []
        for tag in self._open:
            if tag not in finished:
                break
            together.append(tag)
        if together:
            writer.ack(together[-1], True)
        count = len(finished)
        finished.difference_update(together)
        for tag in sorted(finished):
            writer.ack(tag, False)
        for tag in (*together, *finished):
            del self._open[tag]
        finished.clear()
        return count

    def forget_deliveries(self) -> None:
        """The consuming channel is gone, and its tags with it; the broker delivers again."""
        kept = self._waiting.get(NO_DELIVERY)
        self._waiting = {} if kept is None else {NO_DELIVERY: kept}
        self._refused = [entry for entry in self._refused if entry[0] == NO_DELIVERY]
        self._unconfirmed = {
            sequence: (tag if tag == NO_DELIVERY else _ORPHAN, publish)
            for sequence, (tag, publish) in self._unconfirmed.items()
        }
        self._finished.clear()
        self._open.clear()
        self._last_tag = 0

    def forget_publishes(self) -> list[tuple[int, list[Publish]]]:
        """The publishing channel is gone: nobody will confirm what is unconfirmed.

        Returns:
            Delivery tags, each with the publishes that are not known to be safe, by tag.
        """
        unsafe = {tag: waiting.refused for tag, waiting in self._waiting.items()}
        for tag, publish in self._unconfirmed.values():
            if tag in unsafe:
                unsafe[tag].append(publish)
        self._waiting.clear()
        self._unconfirmed.clear()
        self._returned.clear()
        self._sequence, self._oldest = 0, 1
        return sorted(unsafe.items())
