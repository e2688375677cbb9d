"""The hot path in Python: what no worker has begun, and the workers that wait for some."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ._common import Delivery, Work

__all__ = ["Inbox"]


class Inbox:
    """Passes deliveries from the I/O thread to the workers, whole batches at a time.

    Workers take one after another, so that a slow request holds up no other, and what nobody has
    begun can be taken back at any time. All but what `seat` returns is for the I/O thread.

    Nothing is locked. Who finds nothing to take announces that it waits, and looks once more; who
    brings something looks afterwards for who waits. So one of them sees the other.

    Args:
        is_settled: Asked by a worker, with epoch and delivery, of what was delivered before:
            whether nothing is to be done about it any more.
        clock: Returns seconds, and does not jump.
    """

    __slots__ = ("_clock", "_closed", "_epoch", "_is_settled", "_seats", "_waiting", "_work")

    def __init__(
        self,
        is_settled: Callable[[int, Delivery], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_settled = is_settled
        self._clock = clock
        self._epoch = 0
        self._work: deque[Work] = deque()
        self._seats: list[_Seat] = []
        self._waiting: deque[_Seat] = deque()
        self._closed = False

    def __len__(self) -> int:
        """How many deliveries nobody has begun."""
        return len(self._work)

    @property
    def busy_seconds(self) -> float:
        """Seconds that the workers have spent on requests until now, all of them together."""
        now = self._clock()
        return sum([seat.busy_seconds(now) for seat in self._seats])

    @property
    def busy_workers(self) -> int:
        """How many workers have a request in hand."""
        return len(self._seats) - len(self._waiting)

    def seat(self) -> _Seat:
        """Return the place of one more worker, who is ready for work from now on.

        Its method ``receive`` waits for a delivery and returns its epoch and itself, or None when
        the inbox is closed and nothing is left. It is for that worker's thread.
        """
        seat = _Seat(self)
        self._seats.append(seat)
        return seat

    def renew(self, epoch: int) -> None:
        """Forget what nobody has begun: the channel is another one.

        Args:
            epoch: The new life of the channel. Delivery tags of one mean nothing in another.
        """
        self._epoch = epoch
        self._work.clear()

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Hand deliveries of this life of the channel to the workers."""
        epoch = self._epoch
        self._work.extend([(epoch, delivery) for delivery in deliveries])
        self._wake(len(deliveries))

    def take_back(self, keep: int = 0) -> list[Delivery]:
        """Take away from the workers what none has begun, but for the ``keep`` oldest."""
        work = self._work
        taken = []
        try:
            while len(work) > keep:
                taken.append(work.pop()[1])
        except IndexError:
            pass  # a worker was quicker
        taken.reverse()
        return taken

    def close(self) -> None:
        """Let every worker end that finds nothing more to do."""
        self._closed = True
        self._wake(len(self._seats))

    def _wake(self, count: int) -> None:
        waiting = self._waiting
        for _ in range(count):
            try:
                waiting.pop().wake.release()
            except IndexError:
                return


class _Seat:
    """The place of one worker at an `Inbox`."""

    __slots__ = ("_busy", "_inbox", "_since", "wake")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._busy = 0.0  # seconds until the last wait
        self._since = inbox._clock()  # when the last wait ended; 0 while it goes on
        self.wake = threading.Lock()
        self.wake.acquire()

    def receive(self) -> Work | None:
        """Wait for a delivery; see `Inbox.seat`."""
        inbox = self._inbox
        while True:
            try:
                work = inbox._work.popleft() if inbox._work else None
            except IndexError:  # another worker was quicker
                work = None
            if work is None:
                if self._wait():
                    continue
                return None
            if not (work[1][2] and inbox._is_settled(*work)):
                return work

    def busy_seconds(self, now: float) -> float:
        """Return how long the worker has not waited, until ``now``. For the I/O thread, too."""
        since = self._since
        return self._busy + (now - since if since else 0.0)

    def _wait(self) -> bool:
        """Wait until there may be something; return whether it is worth another look."""
        inbox = self._inbox
        self._busy, self._since = self.busy_seconds(inbox._clock()), 0.0
        inbox._waiting.append(self)
        if inbox._work or inbox._closed:
            self._stay_awake()
        else:
            self.wake.acquire()
        self._since = inbox._clock()
        return not inbox._closed or bool(inbox._work)

    def _stay_awake(self) -> None:
        """Do not wait after all."""
        try:
            self._inbox._waiting.remove(self)
        except ValueError:  # whoever brought something has called us meanwhile
            self.wake.acquire()
