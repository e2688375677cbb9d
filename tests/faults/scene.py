"""What a scenario plays on: queues, a service under fault, and the ledger of both."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pika.exceptions import ChannelClosedByBroker
from servers.ports import wait_for
from servers.queues import counts
from servers.world import World

from .ledger import Ledger
from .plan import Behaviour, Plan
from .rows import Row
from .service import Service

__all__ = ["QUEUE_TYPES", "Scene"]

QUEUE_TYPES = ("classic", "quorum")
QUICK = {"reconnect_pause": 0.1, "reconnect_pause_limit": 0.5}
"""Options of a service that is not to keep a test waiting."""

_NAME = "faulty"
_ROUNDS = 5  # of starting a service again for what its last life has left behind
_RETRY_STEPS_MS = (
    *(100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000),
    *(60_000, 120_000, 300_000, 600_000, 1_200_000, 1_800_000, 3_600_000),
)


class Scene:
    """One scenario on one type of queue.

    Args:
        world: The servers.
        folder: Where the service's files go.
        scenario: What is done to the service, in a few words.
        queue_type: The type of the inbound and the outbound queue.

    Attributes:
        world: The servers.
        folder: Where the service's files go.
        scenario: What is done to the service.
        queue_type: The type of both queues.
        inbound: The queue that ids are sent to.
        outbound: The queue that outputs come to.
        ledger: What became of them.
        row: The row, once it is made.
    """

    def __init__(self, world: World, folder: Path, scenario: str, queue_type: str) -> None:
        self.world = world
        self.folder = folder
        self.scenario = scenario
        self.queue_type = queue_type
        self.inbound, self.outbound = world.queue("in"), world.queue("out")
        self._journal = folder / "journal"
        self.ledger = Ledger(world.rabbitmq, self.inbound, self.outbound, self._journal)
        self.row: Row | None = None
        self._services: list[Service] = []
        for queue in (self.inbound, self.outbound):
            world.rabbitmq.declare(queue, arguments={"x-queue-type": queue_type})
        self.describe()

    def describe(
        self,
        *,
        rabbitmq: Mapping[str, object] | None = None,
        db: Mapping[str, object] | None = None,
        storage: Mapping[str, object] | None = None,
    ) -> None:
        """Configure the service; a section's fields replace those that lead to the servers."""
        out: list[tuple[bool | int | str, list[str]]] = [(True, [self.outbound])]
        self.world.describe(_NAME, self.inbound, out, rabbitmq=rabbitmq, db=db, storage=storage)

    def service(
        self,
        default: Behaviour | None = None,
        special: Mapping[int, Behaviour] | None = None,
        **options: object,
    ) -> Service:
        """Return a service that is yet to be started.

        Args:
            default: What it does with an id; one output by default, and nothing else.
            special: What it does with those ids instead.
            **options: Of ``Microservice``.
        """
        plan = Plan(
            name=_NAME,
            config_host=self.world.sys_map.url,
            journal=str(self._journal),
            default=default or Behaviour(),
            special=special or {},
            options={**QUICK, **options},
        )
        folder = self.folder / f"service-{len(self._services)}"
        folder.mkdir()
        service = Service(plan, folder, self.world.environment)
        self._services.append(service)
        return service

    def fresh_database(self) -> str:
        """Let the service have a database of its own, with a table ``runs``; return its name."""
        database = self.world.postgresql.fresh_database()
        with self.world.postgresql.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE runs (id NUMERIC)")
        self.describe(db={"database": database})
        return database

    def rows(self, database: str) -> Counter[int]:
        """Return how many rows the table ``runs`` has for each id."""
        with self.world.postgresql.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM runs")
            return Counter(int(id) for (id,) in cursor.fetchall())

    def files(self) -> dict[int, bytes]:
        """Return what was written into the bucket ``out``, by id."""
        bucket = self.world.bucket_out
        keys = self.world.s3.keys(bucket)
        return {int(key): self.world.s3.get(bucket, key) for key in keys}

    def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue; none where there is no queue."""
        with self.world.rabbitmq.channel() as channel:
            try:
                return counts(channel, queue)[0]
            except ChannelClosedByBroker:
                return 0

    def waiting(self) -> dict[str, int]:
        """Return how many messages wait to be worked on, by queue; empty when there are none."""
        depths = {queue: self.depth(queue) for queue in self._family() if queue != self._dead}
        return {queue: count for queue, count in depths.items() if count}

    def finish(self, service: Service, timeout: float = 60.0, dies_of: Sequence[int] = ()) -> None:
        """Let all come to its end, stop the service, and make the row; `Ledger.check` judges it.

        Args:
            service: The service, which is started again whenever it has ended.
            timeout: Seconds until everything is to be accounted for.
            dies_of: What it may end with by itself.
        """

        def nothing_to_do() -> bool:
            self.revive(service, dies_of)
            return service.has_run and not any(map(self.depth, self._worked_on))

        self.ledger.wait_until_accounted(timeout, lambda: self.revive(service, dies_of))
        for _ in range(_ROUNDS):
            with suppress(TimeoutError):  # what is left then is noted in the end
                wait_for(nothing_to_do, timeout)
            service.stop(expected=dies_of)
            # What it had been sent and had not begun is in its queue again.
            if not self.waiting():
                break
            service.start()
        self.conclude()

    def wait_for_runs(self, more: int) -> None:
        """Return when ``process`` was started so many times more."""
        runs = self.ledger.runs() + more
        wait_for(lambda: self.ledger.runs() >= runs, what=f"{more} more runs of process")

    def revive(self, service: Service, dies_of: Sequence[int] = ()) -> None:
        """Start a service again if it has ended; what it may end with is told."""
        moment = time.time()
        if service.revive(dies_of):
            self.ledger.fault_ended(moment)

    def conclude(self) -> None:
        """Take stock, with every service stopped."""
        self.ledger.collect()
        for queue, count in self.waiting().items():
            self.ledger.note_left(queue, count)
        for service in self._services:
            self.ledger.note_service(service)
        self.row = self.ledger.row(self.scenario, self.queue_type, "")

    def note(self, besides: str) -> None:
        """Say in the row what else was measured; only after `finish`."""
        assert self.row is not None
        joined = "; ".join(filter(None, (self.row.besides, besides)))
        self.row = replace(self.row, besides=joined)

    def close(self) -> None:
        """End what still runs, and remove the queues."""
        for service in self._services:
            service.close()
        if not self.world.rabbitmq.running:
            self.world.rabbitmq.start()
        with self.world.rabbitmq.channel() as channel:
            for queue in self._family():
                channel.queue_delete(queue)

    @property
    def _worked_on(self) -> tuple[str, str]:
        return self.inbound, f"{self.inbound}.suspect"

    @property
    def _dead(self) -> str:
        return f"{self.inbound}.dead"

    def _family(self) -> list[str]:
        """Return the inbound queue and all that may stand beside it."""
        retries = [f"{self.inbound}.retry.{milliseconds}" for milliseconds in _RETRY_STEPS_MS]
        return [*self._worked_on, self._dead, *retries]
