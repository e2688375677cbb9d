"""How much is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes of a run.

    Attributes:
        operation_rounds: Rounds of every operation.
        relay_rounds: Rounds of the relay with everybody.
        relay_messages: Ids of one relay, for those who are quick enough.
        relay_seconds: About how long one relay of those who are not may take.
        trial_messages: Ids of the relay that shows who is quick enough.
        growth_rounds: Rounds of each of the growing relays.
        growth_messages: Ids of a relay with one queue a case.
        growth_queues: Queues of the case.
        growth_queue_messages: Ids of a relay with several queues a case.
        start_rounds: Rounds of starting up.
        memory_messages: Ids of the relay whose memory is looked at.
        idle_seconds: How long a service without work is looked at.
        latency_rounds: Rounds of one id at a time.
        latency_ids: Ids of each round.
        database_rounds: Rounds of ids with rows.
        database_ids: Ids of each round.
        scaling_rounds: Rounds of every fleet.
        scaling_seconds: About how long a fleet is watched.
        scaling_processes: Processes of a fleet.
        prefetch_rounds: Rounds of every prefetch.
        prefetch_seconds: About how long a prefetch is watched.
        prefetches: By milliseconds of one id, the fixed prefetches to compare with.
        fairness_rounds: Rounds of replicas that share a queue.
        file_rounds: Rounds of copying objects.
        file_counts: How many objects of 1 KiB, of 1 MiB and of 100 MiB are copied in a round.
        largest_file: Bytes of the object with which memory is looked at.
    """

    operation_rounds: int
    relay_rounds: int
    relay_messages: int
    relay_seconds: float
    trial_messages: int
    growth_rounds: int
    growth_messages: tuple[int, ...]
    growth_queues: tuple[int, ...]
    growth_queue_messages: int
    start_rounds: int
    memory_messages: int
    idle_seconds: float
    latency_rounds: int
    latency_ids: int
    database_rounds: int
    database_ids: int
    scaling_rounds: int
    scaling_seconds: float
    scaling_processes: tuple[int, ...]
    prefetch_rounds: int
    prefetch_seconds: float
    prefetches: Mapping[int, tuple[int, ...]]
    fairness_rounds: int
    file_rounds: int
    file_counts: tuple[int, int, int]
    largest_file: int


FULL = Plan(
    operation_rounds=50,
    relay_rounds=5,
    relay_messages=100_000,
    relay_seconds=8.0,
    trial_messages=1_000,
    growth_rounds=3,
    growth_messages=(10_000, 100_000, 1_000_000),
    growth_queues=(1, 3, 10),
    growth_queue_messages=100_000,
    start_rounds=15,
    memory_messages=1_000_000,
    idle_seconds=60.0,
    latency_rounds=10,
    latency_ids=300,
    database_rounds=9,
    database_ids=5_000,
    scaling_rounds=3,
    scaling_seconds=2.5,
    scaling_processes=(1, 2, 4),
    prefetch_rounds=5,
    prefetch_seconds=1.5,
    prefetches={
        0: (1, 2, 10, 50, 200, 1_000),
        1: (1, 2, 10, 50, 200),
        10: (1, 2, 10, 50),
        100: (1, 2, 10),
    },
    fairness_rounds=3,
    file_rounds=5,
    file_counts=(2_000, 100, 3),
    largest_file=2**30,
)

QUICK = Plan(
    operation_rounds=10,
    relay_rounds=3,
    relay_messages=20_000,
    relay_seconds=1.0,
    trial_messages=300,
    growth_rounds=1,
    growth_messages=(1_000, 10_000),
    growth_queues=(1, 3),
    growth_queue_messages=5_000,
    start_rounds=3,
    memory_messages=100_000,
    idle_seconds=10.0,
    latency_rounds=3,
    latency_ids=200,
    database_rounds=3,
    database_ids=1_500,
    scaling_rounds=1,
    scaling_seconds=0.5,
    scaling_processes=(1, 2),
    prefetch_rounds=1,
    prefetch_seconds=0.5,
    prefetches={0: (1, 50, 200), 1: (1, 10, 50), 10: (1, 10)},
    fairness_rounds=1,
    file_rounds=2,
    file_counts=(300, 20, 1),
    largest_file=2**28,
)
