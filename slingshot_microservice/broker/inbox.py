"""Deliveries that no worker has begun, and the workers that wait for some."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ..hotpath import Delivery
from .protocol import Work

__all__ = ["Inbox"]


class Life:
    """What came in during one life of the channel, and nobody has begun.

    Delivery tags of one life mean nothing in another.
    """

    __slots__ = ("deliveries", "epoch")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.deliveries: deque[Delivery] = deque()


class Inbox:
    """Passes deliveries from the I/O thread to the workers, whole batches at a time.

    Workers take one after another, so that a slow request holds up no other, and what nobody has
    begun can be taken back at any time. All but the workers' `Seat` is for the I/O thread.

    Nothing is locked. Who finds nothing to take announces that it waits, and looks once more; who
    brings something looks afterwards for who waits. So one of them sees the other.

    Args:
        is_settled: Asked by a worker, with epoch and delivery, of what was delivered before:
            whether nothing is to be done about it any more.

    Attributes:
        life: What came in on the channel that is open.
        waiting: Whoever has announced to wait.
        closed: Whether workers are to end.
    """

    def __init__(self, is_settled: Callable[[int, Delivery], bool]) -> None:
        self.is_settled = is_settled
        self.life = Life(0)
        self._seats: list[Seat] = []
        self.waiting: deque[Seat] = deque()
        self.closed = False

    def seat(self) -> Seat:
        """Return the place of one more worker, who is ready for work from now on."""
        seat = Seat(self)
        self._seats.append(seat)
        return seat

    @property
    def busy_seconds(self) -> float:
        """Seconds that the workers have spent on requests until now, all of them together."""
        now = time.monotonic()
        return sum([seat.busy_seconds(now) for seat in self._seats])

    @property
    def busy_workers(self) -> int:
        """How many workers have a request in hand."""
        return len(self._seats) - len(self.waiting)

    def __len__(self) -> int:
        """How many deliveries nobody has begun."""
        return len(self.life.deliveries)

    def renew(self, epoch: int) -> None:
        """Forget what nobody has begun: the channel is another one."""
        self.life = Life(epoch)

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Hand deliveries of this life of the channel to the workers."""
        self.life.deliveries.extend(deliveries)
        self._wake(len(deliveries))

    def take_back(self, keep: int = 0) -> list[Delivery]:
        """Take away from the workers what none has begun, but for the ``keep`` oldest."""
        deliveries = self.life.deliveries
        taken = []
        try:
            while len(deliveries) > keep:
                taken.append(deliveries.pop())
        except IndexError:
            pass  # a worker was quicker
        taken.reverse()
        return taken

    def close(self) -> None:
        """Let every worker end that finds nothing more to do."""
        self.closed = True
        self._wake(len(self._seats))

    def _wake(self, count: int) -> None:
        waiting = self.waiting
        for _ in range(count):
            try:
                waiting.pop().wake.release()
            except IndexError:
                return


class Seat:
    """The place of one worker at an `Inbox`. All but `busy_seconds` is for the worker's thread."""

    __slots__ = ("_busy", "_inbox", "_since", "wake")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._busy = 0.0  # seconds until the last wait
        self._since = time.monotonic()  # when the last wait ended; 0 while it goes on
        self.wake = threading.Lock()
        self.wake.acquire()

    def receive(self) -> Work | None:
        """Wait for a delivery; see `Receiver.receive`."""
        inbox = self._inbox
        while True:
            life = inbox.life
            try:
                delivery = life.deliveries.popleft()
            except IndexError:
                if self._wait():
                    continue
                return None
            if not (delivery[2] and inbox.is_settled(life.epoch, delivery)):
                return life.epoch, delivery

    def busy_seconds(self, now: float) -> float:
        """Return how long the worker has not waited, until ``now``."""
        since = self._since
        return self._busy + (now - since if since else 0.0)

    def _wait(self) -> bool:
        """Wait until there may be something; return whether it is worth another look."""
        inbox = self._inbox
        self._busy, self._since = self.busy_seconds(time.monotonic()), 0.0
        inbox.waiting.append(self)
        if inbox.life.deliveries or inbox.closed:
            self._stay_awake()
        else:
            self.wake.acquire()
        self._since = time.monotonic()
        return not inbox.closed or bool(inbox.life.deliveries)

    def _stay_awake(self) -> None:
        """Do not wait after all."""
        try:
            self._inbox.waiting.remove(self)
        except ValueError:  # whoever brought something has called us meanwhile
            self.wake.acquire()
