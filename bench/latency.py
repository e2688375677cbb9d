"""How long is one id on its way through a service that has nothing else to do?

All services run at the same time, each on queues of its own; one client probes them in turn.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from rich.progress import Progress

from . import contestants as names
from .broker import RabbitMQNode, environment, start
from .contestants import Contestant
from .pictures import Bars, draw
from .plan import Plan
from .report import Report, Target

__all__ = ["measure"]

_LIMIT = 1.2
_NOBODY = "RabbitMQ alone"  # a queue that the client reads itself
_PAUSE_SECONDS = 0.003
_TRIAL_IDS = 50
_END_SECONDS = 30.0

_Blocks = list[list[float]]  # seconds of each id, a list for each round


def measure(
    plan: Plan, node: RabbitMQNode, everybody: list[Contestant], progress: Progress
) -> Report:
    """Answer the question."""
    task = progress.add_task("latency", total=None)
    blocks = _blocks(plan, node, everybody)
    progress.update(task, total=1, completed=1)
    return Report(
        name="latency",
        title=(
            f"One id at a time, from its publish to its output: {plan.latency_rounds} interleaved "
            f"rounds of {plan.latency_ids:,} ids each"
        ),
        header=("service", "ids", "p50 µs", "p90 µs", "p99 µs", "worst µs"),
        rows=[_row(name, of_one) for name, of_one in blocks.items()],
        targets=_targets(blocks),
        records=[_record(name, of_one) for name, of_one in blocks.items()],
        draw=lambda path: _draw(path, blocks),
        notes=[
            "The client is plain pika, and its own work is part of every figure, as is that of "
            f'RabbitMQ; "{_NOBODY}" is that alone, without a service. Limits are compared with the '
            "median of every round's own ratio."
        ],
    )


def _blocks(plan: Plan, node: RabbitMQNode, everybody: list[Contestant]) -> dict[str, _Blocks]:
    pairs = [(f"bench-in-{number}", f"bench-out-{number}") for number in range(len(everybody))]
    alone = "bench-alone"
    for queue in (*(queue for pair in pairs for queue in pair), alone):
        node.delete(queue)
        node.declare(queue)
    count = _TRIAL_IDS + plan.latency_rounds * plan.latency_ids
    with ExitStack() as stack:
        services = []
        for contestant, (inbound, outbound) in zip(everybody, pairs, strict=True):
            process = start(node, contestant, inbound, count, [outbound])
            stack.callback(_end, process)
            services.append(process)
        blocks = _probe(plan, node, [(alone, alone), *pairs])
        for contestant, process in zip(everybody, services, strict=True):
            _, said = process.communicate(timeout=_END_SECONDS)
            if process.returncode:
                raise RuntimeError(f"{contestant.name} ended with {process.returncode}:\n{said}")
    for queue in (*(queue for pair in pairs for queue in pair), alone):
        node.delete(queue)
    return dict(zip([_NOBODY, *(each.name for each in everybody)], blocks, strict=True))


def _probe(plan: Plan, node: RabbitMQNode, pairs: list[tuple[str, str]]) -> list[_Blocks]:
    task = {
        "pairs": pairs,
        "pause": _PAUSE_SECONDS,
        "trial": _TRIAL_IDS,
        "rounds": plan.latency_rounds,
        "ids": plan.latency_ids,
    }
    # A process of its own, because this one may be drawing a bar.
    result = subprocess.run(
        [sys.executable, "-m", "bench.prober"],
        env=environment(node),
        input=json.dumps(task) + "\n",
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"the prober ended with {result.returncode}:\n{result.stderr}")
    blocks: list[_Blocks] = json.loads(result.stdout)
    return blocks


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()


def _microseconds(seconds: list[float], percent: int) -> float:
    return quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1e6


def _all(blocks: _Blocks) -> list[float]:
    return [seconds for block in blocks for seconds in block]


def _row(name: str, blocks: _Blocks) -> list[str]:
    times = _all(blocks)
    shown = [*(_microseconds(times, percent) for percent in (50, 90, 99)), max(times) * 1e6]
    return [name, f"{len(times):,}", *(f"{value:,.0f}" for value in shown)]


def _record(name: str, blocks: _Blocks) -> dict[str, object]:
    times = _all(blocks)
    percentiles = {
        f"p{percent}_us": round(_microseconds(times, percent)) for percent in (50, 90, 99)
    }
    return {
        "service": name,
        "ids": len(times),
        "rounds": len(blocks),
        **percentiles,
        "worst_us": round(max(times) * 1e6),
    }


def _targets(blocks: dict[str, _Blocks]) -> list[Target]:
    return [
        Target(
            f"p{percent}, {name}, against {names.PIKA_CONFIRMS}",
            _ratio(of_one, blocks[names.PIKA_CONFIRMS], percent),
            _LIMIT,
            at_least=False,
        )
        for name, of_one in blocks.items()
        for percent in (50, 99)
        if name in (names.COMPILED, names.FALLBACK)
    ]


def _ratio(one: _Blocks, other: _Blocks, percent: int) -> float:
    pairs = zip(one, other, strict=True)
    return median(_microseconds(a, percent) / _microseconds(b, percent) for a, b in pairs)


def _draw(path: Path, blocks: dict[str, _Blocks]) -> None:
    series: dict[str, list[float | None]] = {
        f"p{percent}": [_microseconds(_all(of_one), percent) for of_one in blocks.values()]
        for percent in (50, 99)
    }
    draw(path, [Bars("µs from publish to output", list(blocks), series, ours=list(series))])
