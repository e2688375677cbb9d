"""How much is measured."""

from __future__ import annotations

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
    file_rounds=2,
    file_counts=(300, 20, 1),
    largest_file=2**28,
)
