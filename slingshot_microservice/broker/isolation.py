"""Running a message while no worker has another in hand. I/O thread only."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..hotpath import Delivery, Inbox
from .amqp import IOLoop, Timer

__all__ = ["Isolation"]

_LOOK_SECONDS = 0.01  # only while a message is to be run alone


class Isolation:
    """Hands deliveries to the workers, some of them alone.

    A message that was in hand when a worker process died is perhaps what has killed it. Were it run
    beside others, the next death would be blamed on it, whoever has caused that one.

    Args:
        loop: The I/O thread's loop.
        inbox: Where the workers find their deliveries.
    """

    def __init__(self, loop: IOLoop, inbox: Inbox) -> None:
        self._loop = loop
        self._inbox = inbox
        self._alone: deque[Delivery] = deque()
        self._held: list[Delivery] = []
        self._timer: Timer | None = None

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Hand deliveries to the workers, as soon as none is run alone."""
        if self._timer is None:
            self._inbox.put(deliveries)
        else:
            self._held += deliveries

    def put_alone(self, delivery: Delivery) -> None:
        """Hand a delivery to a worker as soon as none has anything, and hold all others until then.

        They are held until it has been processed.
        """
        self._alone.append(delivery)
        if self._timer is None:
            self._held += self._inbox.take_back()
            self._look()

    def take_back(self, keep: int = 0) -> list[Delivery]:
        """Take away from the workers what none has begun; see `Inbox.take_back`."""
        held, alone = self._held[keep:], [] if keep else list(self._alone)
        del self._held[keep:]
        if not keep:
            self._alone.clear()
        return sorted([*self._inbox.take_back(max(0, keep - len(self._held))), *held, *alone])

    def renew(self, epoch: int) -> None:
        """Forget what nobody has begun: the channel is another one."""
        self._held.clear()
        self._alone.clear()
        self._inbox.renew(epoch)

    def _look(self) -> None:
        idle = not (self._inbox.busy_workers or len(self._inbox))
        if idle and not self._alone:
            self._timer = None
            held, self._held = self._held, []
            self._inbox.put(held)
            return
        if idle:
            self._inbox.put([self._alone.popleft()])
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
