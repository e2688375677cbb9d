"""How do throughput and CPU grow with the number of ids, and with the queues of a case?"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.progress import Progress

from . import contestants as names
from .broker import RabbitMQNode, Run, relay
from .contestants import Contestant
from .pictures import Lines, draw
from .plan import Plan
from .report import Report

__all__ = ["measure"]


_LONG = 1_000_000


class _Size(NamedTuple):
    messages: int
    queues: int


def measure(
    plan: Plan, node: RabbitMQNode, everybody: list[Contestant], progress: Progress
) -> Report:
    """Answer the question."""
    sizes = _sizes(plan)
    rounds = {size: plan.growth_rounds if size.messages < _LONG else 1 for size in sizes}
    task = progress.add_task("growth", total=sum(rounds.values()) * len(everybody))
    runs: dict[tuple[_Size, str], list[Run]] = {}
    for size in sizes:
        for _ in range(rounds[size]):
            for contestant in everybody:
                run = relay(node, contestant, *size)
                runs.setdefault((size, contestant.name), []).append(run)
                progress.advance(task)
    return Report(
        name="growth",
        title=(
            f"Ids from one queue to others: medians of {plan.growth_rounds} rounds, but for "
            f"{_LONG:,} ids, which take long enough to tell by themselves"
        ),
        header=("ids", "queues of the case", "client", "ids/s", "outputs/s", "CPU µs/id"),
        rows=[_row(size, name, of_one) for (size, name), of_one in runs.items()],
        targets=[],
        records=[_record(size, name, of_one) for (size, name), of_one in runs.items()],
        draw=lambda path: _draw(path, plan, runs),
    )


def _sizes(plan: Plan) -> list[_Size]:
    growing = [_Size(messages, 1) for messages in plan.growth_messages]
    spreading = [_Size(plan.growth_queue_messages, queues) for queues in plan.growth_queues]
    return list(dict.fromkeys(growing + spreading))


def _row(size: _Size, name: str, runs: list[Run]) -> list[str]:
    rate = median(run.rate for run in runs)
    cpu = median(run.microseconds for run in runs)
    outputs = rate * size.queues
    return [
        f"{size.messages:,}",
        str(size.queues),
        name,
        f"{rate:,.0f}",
        f"{outputs:,.0f}",
        f"{cpu:.1f}",
    ]


def _record(size: _Size, name: str, runs: list[Run]) -> dict[str, object]:
    return {
        "client": name,
        "messages": size.messages,
        "queues": size.queues,
        "rounds": len(runs),
        "rate": round(median(run.rate for run in runs)),
        "cpu_us": round(median(run.microseconds for run in runs), 2),
    }


def _draw(path: Path, plan: Plan, runs: dict[tuple[_Size, str], list[Run]]) -> None:
    clients = list(dict.fromkeys(name for _, name in runs))
    ids: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
    queues: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
    for (size, name), of_one in runs.items():
        if size.queues == 1:
            ids[name].append((size.messages, median(run.rate for run in of_one)))
        if size.messages == plan.growth_queue_messages:
            cpu = median(run.microseconds for run in of_one)
            queues[name].append((size.queues, cpu))
    ours = [names.COMPILED, names.FALLBACK]
    panels = [
        Lines("ids a second, one queue", "ids", ids, ours),
        Lines("client CPU, µs an id", "queues of the case", queues, ours),
    ]
    draw(path, panels)
