"""How quickly do ids get from one queue to another, and what does the client spend on it?

Everybody relays on the same RabbitMQ, in turn: durable queues, persistent messages.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from rich.progress import Progress

from . import contestants as names
from .broker import PREFETCH, RabbitMQNode, Run, relay
from .contestants import Contestant
from .pictures import Bars, draw
from .plan import Plan
from .report import Report, Target

__all__ = ["measure"]

_MIB = 1024 * 1024
_QUICK = (names.C_CLIENT, names.COMPILED, names.FALLBACK)  # they all get the same number
_RATE_TARGETS = {
    names.C_CLIENT: 0.95,
    names.FASTSTREAM: 12.0,
    names.DRAMATIQ: 20.0,
    names.CELERY: 30.0,
}
_CPU_TARGETS = [
    (names.COMPILED, names.C_CLIENT, 1.5),
    (names.FALLBACK, names.PIKA, 0.5),
]


def measure(
    plan: Plan, node: RabbitMQNode, everybody: list[Contestant], progress: Progress
) -> Report:
    """Answer the question."""
    runs = _runs(plan, node, everybody, progress)
    return Report(
        name="relay",
        title=(
            f"Ids from one queue to another: medians of {plan.relay_rounds} interleaved rounds, "
            f"prefetch {PREFETCH} where one may say so"
        ),
        header=("client", "messages", "msg/s", "from", "to", "CPU µs/msg", "peak MiB"),
        rows=[_row(name, of_one) for name, of_one in runs.items()],
        targets=_targets(runs),
        records=[_record(name, of_one) for name, of_one in runs.items()],
        draw=lambda path: _draw(path, runs),
        notes=[
            "Limits are compared with the median of every round's own ratio. All publish with "
            'confirms, but for "pika, no confirms". Whoever is slow gets fewer messages.'
        ],
    )


def _runs(
    plan: Plan, node: RabbitMQNode, everybody: list[Contestant], progress: Progress
) -> dict[str, list[Run]]:
    task = progress.add_task("relay", total=len(everybody) * (plan.relay_rounds + 1))
    counts: dict[str, int] = {}
    for contestant in everybody:
        trial = relay(node, contestant, plan.trial_messages)
        quick = contestant.name in _QUICK
        counts[contestant.name] = plan.relay_messages if quick else _count(plan, trial)
        progress.advance(task)
    runs: dict[str, list[Run]] = {contestant.name: [] for contestant in everybody}
    for number in range(plan.relay_rounds):
        # Each begins a round in turn, so that nobody always comes after the same one.
        first = number % len(everybody)
        for contestant in everybody[first:] + everybody[:first]:
            name = contestant.name
            runs[name].append(relay(node, contestant, counts[name]))
            progress.advance(task)
    return runs


def _count(plan: Plan, trial: Run) -> int:
    """Return how many messages take about as long as they may, rounded."""
    affordable = int(trial.rate * plan.relay_seconds)
    if affordable >= plan.relay_messages:
        return plan.relay_messages
    step = plan.trial_messages
    return max(step, affordable // step * step)


def _rate(runs: list[Run]) -> float:
    return median(run.rate for run in runs)


def _cpu(runs: list[Run]) -> float:
    return median(run.microseconds for run in runs)


def _peak(runs: list[Run]) -> float:
    return median(run.peak for run in runs) / _MIB


def _row(name: str, runs: list[Run]) -> list[str]:
    rates = [_rate(runs), min(run.rate for run in runs), max(run.rate for run in runs)]
    return [
        name,
        f"{runs[0].messages:,}",
        *(f"{rate:,.0f}" for rate in rates),
        f"{_cpu(runs):,.1f}",
        f"{_peak(runs):.0f}",
    ]


def _record(name: str, runs: list[Run]) -> dict[str, object]:
    return {
        "client": name,
        "messages": runs[0].messages,
        "rounds": len(runs),
        "rate": round(_rate(runs)),
        "rate_min": round(min(run.rate for run in runs)),
        "rate_max": round(max(run.rate for run in runs)),
        "cpu_us": round(_cpu(runs), 2),
        "peak_mib": round(_peak(runs), 1),
    }


def _targets(runs: dict[str, list[Run]]) -> list[Target]:
    rates = {name: [run.rate for run in of_one] for name, of_one in runs.items()}
    costs = {name: [run.microseconds for run in of_one] for name, of_one in runs.items()}
    throughput = [
        Target(f"throughput, {names.COMPILED}, against {other}", ratio, limit)
        for other, limit in _RATE_TARGETS.items()
        if (ratio := _ratio(rates, names.COMPILED, other)) is not None
    ]
    return throughput + [
        Target(f"CPU a message, {one}, against {other}", ratio, limit, at_least=False)
        for one, other, limit in _CPU_TARGETS
        if (ratio := _ratio(costs, one, other)) is not None
    ]


def _ratio(figures: dict[str, list[float]], one: str, other: str) -> float | None:
    """Compare round by round, because a machine that is shared is not the same in every round."""
    if one not in figures or other not in figures:
        return None
    return median(a / b for a, b in zip(figures[one], figures[other], strict=True))


def _draw(path: Path, runs: dict[str, list[Run]]) -> None:
    labels, ours = list(runs), [names.COMPILED, names.FALLBACK]
    rates = [_rate(of_one) for of_one in runs.values()]
    costs = [_cpu(of_one) for of_one in runs.values()]
    panels = [
        Bars("messages a second", labels, {"rate": rates}, ours),
        Bars("client CPU, µs a message, logarithmic", labels, {"cpu": costs}, ours, True),
    ]
    draw(path, panels)
