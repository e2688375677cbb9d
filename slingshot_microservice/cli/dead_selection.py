"""Which parked messages are meant."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..parked.message import ParkedMessage

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """What was asked for; what is empty does not restrict.

    Attributes:
        reasons: The reasons.
        ids: The ids.
        limit: How many messages at most, the oldest first; ``None`` for all.
    """

    reasons: frozenset[str] = frozenset()
    ids: frozenset[int] = frozenset()
    limit: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether every message is meant."""
        return not self.reasons and not self.ids and self.limit is None

    def means(self, message: ParkedMessage) -> bool:
        """Tell whether a message is of these, the limit aside."""
        return (not self.reasons or message.reason in self.reasons) and (
            not self.ids or message.id in self.ids
        )

    def pick(
        self,
        messages: Iterable[ParkedMessage],
        stop: threading.Event,
        passed: Callable[[], None] = lambda: None,
    ) -> Iterator[ParkedMessage]:
        """Yield those that are meant, until there are enough.

        Args:
            messages: All that there are.
            stop: Ends it early.
            passed: Called for each one that was looked at.
        """
        picked = 0
        for message in messages:
            if stop.is_set():
                return
            if self.means(message):
                yield message
                picked += 1
            passed()
            if picked == self.limit:
                return
