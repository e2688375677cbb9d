"""One ledger for all scenarios: every id that was sent, and what became of it.

What went in is noted by who sends it; what ``process`` did by the service itself, in a journal
that outlives it; what came out by a client of the tests' own, which takes it from the outbound
queue and the queue of the dead.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from servers.ports import wait_for
from servers.queues import QueueClient

from .journal import Journal
from .plan import request_of
from .rows import Row
from .service import Service
from .taking import Message, take

__all__ = ["Ledger", "Parked"]

_COLLECT_SECONDS = 0.2  # between two looks, each of which costs the broker some connections
_SHOWN = 10  # of a list that may be long, in an error


class Parked(NamedTuple):
    """A message in the queue of the dead.

    Attributes:
        body: Its bytes.
        headers: Its headers.
    """

    body: bytes
    headers: dict[str, Any]

    @property
    def reason(self) -> str:
        """Why it was parked."""
        return str(self.headers.get("slingshot-reason"))


class Ledger:
    """The books of one scenario.

    Args:
        client: Reaches the broker that the queues are at, by a way of its own.
        inbound: The queue that ids are sent to.
        outbound: The queue that outputs come to.
        journal: The file that the service writes to.

    Attributes:
        journal: What the service noted.
        outputs: How often each output came.
        parked: What is in the queue of the dead.
        unexpected: What should not have happened, in words.
    """

    def __init__(self, client: QueueClient, inbound: str, outbound: str, journal: Path) -> None:
        self._client = client
        self._inbound = inbound
        self._outbound = outbound
        self._due: dict[int, int] = {}  # how many outputs, by id
        self._doomed: dict[bytes, str] = {}  # the reasons, by body
        self._malformed: Counter[bytes] = Counter()
        self._missing: Counter[int] = Counter()  # outputs that have not come yet, by id
        self._silent: set[int] = set()  # ids without outputs that have not come to their end
        self._faults: list[float] = []
        self._parked_again = False
        self._announced: list[re.Pattern[str]] = []
        self.journal = Journal(journal)
        self.outputs: Counter[int] = Counter()
        self.parked: list[Parked] = []
        self.unexpected: list[str] = []

    def send(self, ids: Iterable[int], outputs: int = 1) -> None:
        """Send ids that are to be done, each with so many outputs."""
        ids = list(ids)
        for id in ids:
            assert id not in self._due, f"{id} was sent already"
            self._due[id] = outputs
            if outputs:
                self._missing[id] = outputs
            else:
                self._silent.add(id)
        self._publish(b"%d" % id for id in ids)

    def send_missing(self) -> None:
        """Send again what is not done, as a sender does whose queue was deleted with all in it."""
        self._publish(b"%d" % id for id in {*self._missing, *self._silent})

    def send_doomed(self, ids: Iterable[int], reason: str) -> None:
        """Send ids that are to be parked for ``reason``, without any output."""
        bodies = [b"%d" % id for id in ids]
        self._doomed |= dict.fromkeys(bodies, reason)
        self._publish(bodies)

    def send_malformed(self, bodies: Iterable[bytes]) -> None:
        """Send bodies that are no ids, to be parked at once; one may be sent several times."""
        bodies = list(bodies)
        self._malformed.update(bodies)
        self._publish(bodies)

    def announce(self, pattern: str) -> None:
        """Let lines of the log with this regular expression be no surprise."""
        self._announced.append(re.compile(pattern))

    def let_parked_come_again(self) -> None:
        """Let messages be parked twice, as is right when a worker dies between copy and ack."""
        self._parked_again = True

    def fault_ended(self, moment: float) -> None:
        """Note the end of a fault (Unix seconds), from which on work should be taken again."""
        self._faults.append(moment)

    def collect(self) -> None:
        """Take what has come out. Nothing is taken, or lost, while the broker cannot be reached."""
        if not self._client.answers():
            return
        for message in take(self._client, self._outbound):
            self._note_output(message)
        for message in take(self._client, f"{self._inbound}.dead"):
            self.parked.append(Parked(message.body, message.headers))
        self.journal.read()
        self._silent -= self.journal.ends.keys()

    @property
    def is_accounted(self) -> bool:
        """Whether everything that was sent is known to be done or parked."""
        if self._missing or self._silent:
            return False
        bodies = Counter(parked.body for parked in self.parked)
        return self._doomed.keys() <= bodies.keys() and self._malformed <= bodies

    def wait_until_accounted(
        self, timeout: float, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """Collect until everything is accounted for, or the time is over: then `check` tells.

        Args:
            timeout: Seconds.
            meanwhile: Called again and again, for instance to start a service that has died.
        """

        next_look = 0.0

        def accounted() -> bool:
            nonlocal next_look
            meanwhile()
            if time.monotonic() < next_look:
                return False
            self.collect()
            next_look = time.monotonic() + _COLLECT_SECONDS
            return self.is_accounted

        with suppress(TimeoutError):
            wait_for(accounted, timeout)

    def duplicates(self) -> int:
        """Return how many outputs came again."""
        return self.outputs.total() - len(self.outputs)

    def runs(self) -> int:
        """Return how often ``process`` was started so far."""
        self.journal.read()
        return self.journal.starts.total()

    def repeats(self) -> int:
        """Return how many runs of ``process`` there were after the first one of an id."""
        return self.journal.starts.total() - len(self.journal.starts)

    def recovery_seconds(self) -> float | None:
        """Return the longest time from the end of a fault to the next run of ``process``."""
        seconds = [self.journal.started_after(moment) for moment in self._faults]
        return max((it for it in seconds if it is not None), default=None)

    def lost(self) -> list[int | bytes]:
        """Return what is neither done nor parked."""
        bodies = Counter(parked.body for parked in self.parked)
        ids = [id for id in {*self._missing, *self._silent} if not bodies[b"%d" % id]]
        doomed = [body for body in self._doomed if not bodies[body]]
        malformed = (self._malformed - bodies).elements()
        return [*ids, *doomed, *malformed]

    def note_service(self, service: Service) -> None:
        """Look at what a service ended with, and at its log."""
        self.unexpected += [f"the service ended with {code}" for code in service.exits if code]
        self.unexpected += [
            line
            for line in service.errors()
            if not any(pattern.search(line) for pattern in self._announced)
        ]

    def note_left(self, queue: str, count: int) -> None:
        """Note that a queue has messages left when all should be over."""
        if count:
            self.unexpected.append(f"{count} messages are left in queue {queue}")

    def row(self, scenario: str, queue: str, besides: str) -> Row:
        """Return what became of everything."""
        hello = {event.text for event in self.journal.events if event.kind == "hello"}
        recovery = self.recovery_seconds()
        return Row(
            scenario=scenario,
            implementation="+".join(sorted(hello)),
            queue=queue,
            attempted=len(self._due) + len(self._doomed) + self._malformed.total(),
            done=len(self._due) - len(self._missing) - len(self._silent),
            lost=len(self.lost()),
            duplicated=self.duplicates(),
            repeated=self.repeats(),
            parked=len(self.parked),
            unexpected=len(self.unexpected) + len(self._misparked()),
            recovery="" if recovery is None else f"{recovery:.1f}",
            besides=besides,
        )

    def check(self) -> None:
        """Assert that nothing was lost, and nothing happened that should not."""
        lost = self.lost()
        assert not lost, f"{len(lost)} lost: {lost[:_SHOWN]!r}"
        unexpected = [*self.unexpected, *self._misparked()]
        assert not unexpected, f"{len(unexpected)} unexpected: {unexpected[:_SHOWN]!r}"

    def _publish(self, bodies: Iterable[bytes]) -> None:
        self._client.publish(self._inbound, bodies)

    def _note_output(self, message: Message) -> None:
        output = int(message.body)
        request, index = request_of(output)
        self.outputs[output] += 1
        if not 0 <= index < self._due.get(request, 0):
            self.unexpected.append(f"output {output}, which nobody was to send")
        elif self.outputs[output] == 1:
            self._missing[request] -= 1
            if not self._missing[request]:
                del self._missing[request]

    def _misparked(self) -> list[str]:
        """Return what is parked and should not be, or not for this reason, or not so often."""
        wrong = []
        times = Counter(parked.body for parked in self.parked)
        for body, reason, *_ in {(it.body, it.reason) for it in self.parked}:
            due = "malformed-id" if body in self._malformed else self._doomed.get(body)
            if due != reason:
                wrong.append(f"{_short(body)} is parked for {reason!r}, due was {due!r}")
        for body, count in times.items():
            if count > max(self._malformed[body], 1) and not self._parked_again:
                wrong.append(f"{_short(body)} is parked {count} times")
        return wrong


def _short(body: bytes) -> str:
    return repr(body[:40]) + ("…" if len(body) > 40 else "")
