"""Does ``prefetch="auto"`` find the pace of the work, and does it leave work to other replicas?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.progress import Progress

from .broker import FIRST_ID, RabbitMQNode, wait_for
from .contestants.fleet import Slingshot
from .contestants.work import Assignment
from .fleets import Gauge, RunningFleet, Window, broker_process, fleet_process, queues
from .pictures import Bars, Lines, draw
from .plan import Plan
from .report import Report, Target

__all__ = ["measure"]

_AUTO = "auto"
_OF_THE_BEST = 0.95
_INBOUND, _OUTBOUND = "bench-prefetch-in", "bench-prefetch-out"
_SHARED_IDS = 20
_SHARED_SECONDS = 1.0
_MOST = 12  # ids of these that one of two replicas may have
_PATIENCE_SECONDS = 60.0
_TOGETHER = "started together"
_LATER = "the second started when the first had begun"


class _Case(NamedTuple):
    milliseconds: int
    prefetch: str

    @property
    def auto(self) -> bool:
        return self.prefetch == _AUTO


def measure(plan: Plan, node: RabbitMQNode, progress: Progress) -> Report:
    """Answer the question."""
    fixed = sum(1 + len(prefetches) for prefetches in plan.prefetches.values())
    total = fixed * plan.prefetch_rounds + 2 * plan.fairness_rounds
    task = progress.add_task("prefetch", total=total)
    broker = broker_process(node)
    runs: dict[_Case, list[Window]] = {}
    for milliseconds, prefetches in plan.prefetches.items():
        cases = [_Case(milliseconds, str(prefetch)) for prefetch in (_AUTO, *prefetches)]
        for case, window in _throughput(plan, node, broker, cases):
            runs.setdefault(case, []).append(window)
            progress.advance(task)
    shares: dict[str, list[int]] = {_TOGETHER: [], _LATER: []}
    for _ in range(plan.fairness_rounds):
        for how, counts in shares.items():
            counts.append(_most(node, later=how is _LATER))
            progress.advance(task)
    return _report(plan, runs, shares)


def _throughput(
    plan: Plan, node: RabbitMQNode, broker: int, cases: Sequence[_Case]
) -> Iterator[tuple[_Case, Window]]:
    """Run a service for each prefetch, each on queues of its own; let one work at a time."""
    with ExitStack() as stack:
        fleets: list[tuple[_Case, RunningFleet, int]] = []
        for case in cases:
            assignment = Assignment(
                url=node.url,
                inbound=f"{_INBOUND}-{case.prefetch}",
                outbound=f"{_OUTBOUND}-{case.prefetch}",
                work="wait",
                seconds=case.milliseconds / 1e3,
                prefetch=case.prefetch,
            )
            fleet = stack.enter_context(RunningFleet(node, broker, Slingshot(), assignment))
            fleets.append((case, fleet, round(fleet.warm_up() * plan.prefetch_seconds)))
        for number in range(plan.prefetch_rounds):
            first = number % len(fleets)
            for case, fleet, count in fleets[first:] + fleets[:first]:
                yield case, fleet.watch(count, plan.prefetch_seconds)


def _most(node: RabbitMQNode, *, later: bool) -> int:
    """Let two replicas share a full queue; return how many ids the one with more had.

    Raises:
        RuntimeError: They did not do all of their work, or some of it twice.
    """
    ids = range(FIRST_ID, FIRST_ID + _SHARED_IDS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slingshot-bench-")))
        replicas = [_replica(node, folder / name) for name in ("one", "two")]
        stack.enter_context(queues(node, Slingshot(), replicas[0]))
        node.publish(_INBOUND, [b"%d" % id for id in ids])
        stack.enter_context(fleet_process(Slingshot(), replicas[0]))
        if later:
            wait_for(Path(replicas[0].tally).exists, _PATIENCE_SECONDS, "the first id to begin")
        stack.enter_context(fleet_process(Slingshot(), replicas[1]))
        with Gauge(node) as gauge:
            done = f"{len(ids)} ids in {_OUTBOUND}"
            wait_for(lambda: gauge.messages(_OUTBOUND) >= len(ids), _PATIENCE_SECONDS, done)
        shares = [_tallied(Path(replica.tally)) for replica in replicas]
        came = sorted(map(int, node.drain(_OUTBOUND, len(ids))))
        if came != list(ids) or sorted(shares[0] + shares[1]) != came:
            raise RuntimeError(f"two replicas made {came} of {_SHARED_IDS} ids: {shares}")
    return max(map(len, shares))


def _replica(node: RabbitMQNode, tally: Path) -> Assignment:
    return Assignment(
        url=node.url,
        inbound=_INBOUND,
        outbound=_OUTBOUND,
        work="wait",
        seconds=_SHARED_SECONDS,
        tally=str(tally),
    )


def _tallied(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def _report(
    plan: Plan, runs: Mapping[_Case, list[Window]], shares: Mapping[str, list[int]]
) -> Report:
    best = _best(runs)
    return Report(
        name="prefetch",
        title=(
            f"Jobs that wait, one thread, by prefetch: medians of {plan.prefetch_rounds} "
            "interleaved rounds"
        ),
        header=("job, prefetch", "ids/s", "from", "to", "of the best fixed", "CPU µs/id"),
        rows=[_row(case, runs[case], runs[best[case.milliseconds]]) for case in runs],
        targets=[*_throughput_targets(runs, best), *_fairness_targets(shares)],
        records=[
            *(_record(case, runs[case], runs[best[case.milliseconds]]) for case in runs),
            *(_fairness_record(how, counts) for how, counts in shares.items()),
        ],
        draw=lambda path: _draw(path, runs, best),
        notes=[
            "Prefetches are compared, round by round, with the fixed one of the best median. "
            f"Two replicas share {_SHARED_IDS} ids of {_SHARED_SECONDS:g} s: of "
            f"{plan.fairness_rounds} rounds each, the worst."
        ],
    )


def _rate(runs: list[Window]) -> float:
    return median(run.rate for run in runs)


def _best(runs: Mapping[_Case, list[Window]]) -> dict[int, _Case]:
    """Return the best fixed prefetch of every job."""
    return {
        milliseconds: max(
            (case for case in runs if case.milliseconds == milliseconds and not case.auto),
            key=lambda case: _rate(runs[case]),
        )
        for milliseconds in dict.fromkeys(case.milliseconds for case in runs)
    }


def _share(of_one: list[Window], best: list[Window]) -> float:
    return median(one.rate / other.rate for one, other in zip(of_one, best, strict=True))


def _row(case: _Case, of_one: list[Window], best: list[Window]) -> list[str]:
    rates = [_rate(of_one), min(run.rate for run in of_one), max(run.rate for run in of_one)]
    return [
        f"{case.milliseconds} ms, {case.prefetch}",
        *(f"{rate:,.{0 if rate >= 100 else 2}f}" for rate in rates),
        f"{_share(of_one, best):.1%}",
        f"{median(run.microseconds for run in of_one):,.1f}",
    ]


def _record(case: _Case, of_one: list[Window], best: list[Window]) -> dict[str, object]:
    return {
        "what": "throughput",
        "job_ms": case.milliseconds,
        "prefetch": case.prefetch,
        "rounds": len(of_one),
        "rate": round(_rate(of_one), 2),
        "rate_min": round(min(run.rate for run in of_one), 2),
        "rate_max": round(max(run.rate for run in of_one), 2),
        "of_best": round(_share(of_one, best), 4),
        "cpu_us": round(median(run.microseconds for run in of_one), 1),
        "most_of_20": "",
    }


def _fairness_record(how: str, counts: list[int]) -> dict[str, object]:
    return {
        "what": f"two replicas, {how}",
        "job_ms": round(_SHARED_SECONDS * 1e3),
        "prefetch": _AUTO,
        "rounds": len(counts),
        **dict.fromkeys(("rate", "rate_min", "rate_max", "of_best", "cpu_us"), ""),
        f"most_of_{_SHARED_IDS}": max(counts),
    }


def _throughput_targets(
    runs: Mapping[_Case, list[Window]], best: Mapping[int, _Case]
) -> list[Target]:
    return [
        Target(
            f"jobs of {milliseconds} ms: auto against the best fixed prefetch, {other.prefetch}",
            _share(runs[_Case(milliseconds, _AUTO)], runs[other]),
            _OF_THE_BEST,
        )
        for milliseconds, other in best.items()
    ]


def _fairness_targets(shares: Mapping[str, list[int]]) -> list[Target]:
    what = f"{_SHARED_IDS} ids of {_SHARED_SECONDS:g} s for two replicas"
    return [
        Target(f"{what}, {how}: one had", max(counts), _MOST, at_least=False, unit=" ids")
        for how, counts in shares.items()
    ]


def _draw(path: Path, runs: Mapping[_Case, list[Window]], best: Mapping[int, _Case]) -> None:
    lines: dict[str, list[tuple[float, float]]] = {}
    auto: dict[str, float] = {}
    for case, of_one in runs.items():
        job = f"{case.milliseconds} ms"
        percent = _share(of_one, runs[best[case.milliseconds]]) * 100
        if case.auto:
            auto[job] = percent
        else:
            lines.setdefault(job, []).append((int(case.prefetch), percent))
    two = list(lines)[:2]  # in other colours than the others, because there are two of each kind
    panels: list[Bars | Lines] = [
        Lines("ids/s, % of the best fixed prefetch", "prefetch", lines, two),
        Bars("prefetch=auto, % of it", list(auto), {"auto": list(auto.values())}, list(auto)),
    ]
    draw(path, panels)
