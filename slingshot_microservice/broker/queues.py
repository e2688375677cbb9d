"""The queues of one service: those the configuration names, and those that lie beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .protocol import dead_queue_name, retry_queue_name, suspect_queue_name

__all__ = ["QueueBook", "QueueSpec"]

# Replicated where there is a cluster, because what lies here must be as safe as what came in; and
# without the limit of deliveries after which RabbitMQ 4 throws a message away. Its own word for "no
# limit", -1, is taken by RabbitMQ 3 as well, which then throws away what is given back once.
_NO_LIMIT = 1_000_000_000
_SAFE: Sequence[Mapping[str, Any]] = (
    {"x-queue-type": "quorum", "x-delivery-limit": _NO_LIMIT},
    {"x-queue-type": "quorum"},
    {},
)


class QueueSpec(NamedTuple):
    """A queue and what it is made with, if it is not there yet.

    Attributes:
        name: Its name.
        arguments: What to try, in this order, where a broker does not know the first.
    """

    name: str
    arguments: Sequence[Mapping[str, Any]] = ({},)


class QueueBook:
    """Numbers for the queues that one service publishes to, and back.

    The outbound ones have their places in the configuration's list, 0 and up; the others get
    negative numbers when they are first asked for.

    Args:
        inbound: The queue that is consumed.
        outbound: The queues that outputs go to.
    """

    def __init__(self, inbound: str, outbound: Sequence[str]) -> None:
        self.inbound = inbound
        self.outbound = list(outbound)
        self._beside: list[QueueSpec] = []
        self._indexes = {queue: index for index, queue in enumerate(self.outbound)}
        self.dead = self.add(QueueSpec(dead_queue_name(inbound), _SAFE))
        self.suspect = self.add(QueueSpec(suspect_queue_name(inbound), _SAFE))

    def add(self, spec: QueueSpec) -> int:
        """Return the number of a queue, which is given one if it has none."""
        index = self._indexes.get(spec.name)
        if index is None:
            self._beside.append(spec)
            index = self._indexes[spec.name] = -len(self._beside)
        return index

    def retry(self, milliseconds: int) -> int:
        """Return the number of the queue in which to wait so long before the next try."""
        return self.add(
            QueueSpec(
                retry_queue_name(self.inbound, milliseconds),
                _retry_arguments(self.inbound, milliseconds),
            )
        )

    def needed(self, waits: Sequence[int], *, parking: bool) -> list[QueueSpec]:
        """Return what must exist before the first message is taken, the inbound queue first.

        Of the queues to wait in, the one for the first wait stands for all: the others are made
        when they are first needed.

        Args:
            waits: The waits, in milliseconds.
            parking: Whether there is anything beside the inbound queue.
        """
        named = [QueueSpec(queue) for queue in (self.inbound, *self.outbound)]
        beside = [self.dead, self.suspect, *(self.retry(wait) for wait in waits[:1])]
        return named + ([self.spec(index) for index in beside] if parking else [])

    @property
    def beside(self) -> list[str]:
        """The names of the queues that are not in the configuration."""
        return [spec.name for spec in self._beside]

    def find(self, name: str) -> int | None:
        """Return the number of the queue of that name; None if nothing was ever sent there."""
        return self._indexes.get(name)

    def spec(self, index: int) -> QueueSpec:
        """Return the queue of that number."""
        return self._beside[-index - 1] if index < 0 else QueueSpec(self.outbound[index])


def _retry_arguments(inbound: str, milliseconds: int) -> Sequence[Mapping[str, Any]]:
    """Return the arguments of a queue that leads back to the inbound one.

    Only quorum queues keep a message until the queue that it goes back to has it for sure
    (RabbitMQ 3.10 and later); from a classic one it is lost when that queue is away just then.
    """
    back = {
        "x-message-ttl": milliseconds,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": inbound,
    }
    safe = {
        "x-queue-type": "quorum",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return {**back, **safe}, back
