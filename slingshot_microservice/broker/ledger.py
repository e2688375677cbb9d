"""For every delivery, the publishes that it waits for; and which deliveries may be acknowledged.

Two channels meet here. Delivery tags count the messages of the consuming channel, sequence
numbers those of the publishing one; both start at 1 and both lose their meaning with their
channel. Arithmetic only: nothing here does I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

from ..hotpath import FrameWriter, Publish

__all__ = ["NO_DELIVERY", "Ledger"]

NO_DELIVERY = 0
"""Stands for a delivery tag where outputs belong to no delivery; AMQP's own tags start at 1."""

_ORPHAN = -1  # the tag of publishes whose delivery is gone


class _Waiting:
    """A delivery with unconfirmed publishes."""

    __slots__ = ("missing", "refused")

    def __init__(self, missing: int) -> None:
        self.missing = missing
        self.refused: list[Publish] = []


class Ledger:
    """The books of one service. Used by the I/O thread alone."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._refused: list[tuple[int, list[Publish]]] = []
        self._finished: set[int] = set()  # may be acknowledged, and is not yet
        self._settled: set[int] = set()  # was acknowledged or handed back, ahead of the head
        self._head = 1  # the lowest tag that is not settled
        self._unconfirmed: dict[int, tuple[int, Publish]] = {}
        self._returned: Counter[Publish] = Counter()  # and not yet accepted
        self._sequence = 0
        self._oldest = 1

    @property
    def is_idle(self) -> bool:
        """Whether no delivery waits for anything."""
        return not (self._waiting or self._refused or self._finished)

    @property
    def finished(self) -> Set[int]:
        """The deliveries that may be acknowledged and are not yet."""
        return self._finished

    def waits_for(self, tag: int) -> bool:
        """Whether delivery ``tag`` has publishes that are not safe yet."""
        return tag in self._waiting or any(refused == tag for refused, _ in self._refused)

    def expect(self, tag: int, publishes: Sequence[Publish]) -> None:
        """Note that ``publishes`` leave now, in this order, for delivery ``tag``.

        A delivery without publishes is finished at once.
        """
        if not publishes:
            self._finished.add(tag)
            return
        sequence = self._sequence
        for publish in publishes:
            sequence += 1
            self._unconfirmed[sequence] = (tag, publish)
        self._sequence = sequence
        self._waiting[tag] = _Waiting(len(publishes))

    def confirm(self, sequence: int, multiple: bool, accepted: bool) -> None:
        """Take note of a confirm.

        Args:
            sequence: The sequence number of the publish.
            multiple: Whether all up to it are meant; with 0, all there are (AMQP's rule).
            accepted: False for a negative confirm.
        """
        if not multiple:
            self._resolve(sequence, accepted)
            return
        last = min(sequence, self._sequence) if sequence else self._sequence
        while self._oldest <= last:
            self._resolve(self._oldest, accepted)
            self._oldest += 1

    def returned(self, publish: Publish) -> None:
        """Take note that a message came back; its confirm is still to come.

        A return does not say which of several equal messages it is. The next of them to be
        accepted is taken for it: so there are never more that count as safe than are safe.
        """
        self._returned[publish] += 1

    def _resolve(self, sequence: int, accepted: bool) -> None:
        tag, publish = self._unconfirmed.pop(sequence, (_ORPHAN, None))
        if publish is None:
            return
        if accepted and publish in self._returned:
            self._returned -= Counter((publish,))
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
            Delivery tags, each with the publishes that came back or were refused. The ledger
            forgets about them; `expect` or `settle` says what became of them.
        """
        refused, self._refused = self._refused, []
        return refused

    def settle(self, tag: int) -> None:
        """Note that delivery ``tag`` was handed back."""
        self._settled.add(tag)

    def acknowledge(self, writer: FrameWriter) -> int:
        """Write the acknowledgements that are due.

        The finished deliveries at the head are acknowledged together, others one by one: a slow
        request does not hold back the acknowledgements of those behind it.

        Returns:
            How many deliveries were acknowledged.
        """
        finished, settled = self._finished, self._settled
        finished.discard(NO_DELIVERY)
        acknowledged = len(finished)
        head, last = self._head, 0
        while True:
            if head in finished:
                finished.remove(head)
                last = head
            elif head in settled:
                settled.remove(head)
            else:
                break
            head += 1
        self._head = head
        if last:
            writer.ack(last, True)
        for tag in finished:
            writer.ack(tag, False)
        settled |= finished
        finished.clear()
        return acknowledged

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
        self._settled.clear()
        self._head = 1

    def forget_publishes(self) -> list[tuple[int, list[Publish]]]:
        """The publishing channel is gone: nobody will confirm what is unconfirmed.

        Returns:
            Delivery tags, each with the publishes that are not known to be safe.
        """
        unsafe = {tag: waiting.refused for tag, waiting in self._waiting.items()}
        for tag, publish in self._unconfirmed.values():
            if tag in unsafe:
                unsafe[tag].append(publish)
        self._waiting.clear()
        self._unconfirmed.clear()
        self._returned.clear()
        self._sequence, self._oldest = 0, 1
        return list(unsafe.items())
