"""How does throughput grow with processes and threads, for work that takes time?

Every fleet is started by its own command line, on the same RabbitMQ, in turn.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.progress import Progress

from .broker import RabbitMQNode
from .contestants.fleet import (
    DRAMATIQ,
    FASTSTREAM,
    OURS,
    Dramatiq,
    FastStream,
    Fleet,
    Slingshot,
)
from .contestants.work import Assignment
from .fleets import RunningFleet, Window, broker_process
from .pictures import Lines, draw
from .plan import Plan
from .report import Report, Target
from .stores import StoreServers

__all__ = ["measure"]

_INBOUND, _OUTBOUND = "bench-fleet-in", "bench-fleet-out"
_MANY = 32  # threads, or coroutines, that wait
_OF_ALL = 0.9  # the share of what so many could do if nothing else took time


class _Work(NamedTuple):
    name: str
    title: str
    seconds: float = 0.0


_CPU = _Work("cpu", "1 ms of CPU", 0.001)
_WAIT = _Work("wait", "5 ms of waiting", 0.005)
_FILES = _Work("files", "two files and a row")
_WORKS = (_CPU, _WAIT, _FILES)
_CLIENTS = (OURS, DRAMATIQ, FASTSTREAM)


class _Case(NamedTuple):
    work: _Work
    fleet: Fleet
    processes: int
    at_once: int

    @property
    def one(self) -> _Case:
        """The same with one process."""
        return self._replace(processes=1)


def measure(plan: Plan, node: RabbitMQNode, progress: Progress) -> Report:
    """Answer the question."""
    cases = _cases(plan)
    task = progress.add_task("scaling", total=len(cases) * plan.scaling_rounds)
    runs: dict[_Case, list[Window]] = {case: [] for case in cases}
    broker = broker_process(node)
    with StoreServers() as stores:
        for number in range(plan.scaling_rounds):
            # Rounds begin at different places, so that nobody always comes after the same one.
            first = number * len(cases) // plan.scaling_rounds
            for case in cases[first:] + cases[:first]:
                runs[case].append(_run(plan, node, broker, stores, case))
                progress.advance(task)
        versions = stores.versions
    return _report(plan, runs, versions)


def _cases(plan: Plan) -> list[_Case]:
    """Return who does what, with how much at once in each process.

    Threads do not help pure CPU, so ours has one; the others need more than one at a time there
    because each id of theirs waits for its confirm: Dramatiq has its default.
    """
    ours, dramatiq, faststream = Slingshot(), Dramatiq(), FastStream()
    everybody: list[Fleet] = [ours, dramatiq, faststream]
    cases: list[_Case] = []
    for count in plan.scaling_processes:
        for fleet, at_once in zip(everybody, (1, 8, 16), strict=True):
            cases.append(_Case(_CPU, fleet, count, at_once))
    cases += [_Case(_WAIT, ours, 1, at_once) for at_once in (1, 8)]
    for work, at_once in ((_WAIT, _MANY), (_FILES, 8)):
        for count in plan.scaling_processes:
            cases += [_Case(work, fleet, count, at_once) for fleet in everybody]
    return cases


def _run(plan: Plan, node: RabbitMQNode, broker: int, stores: StoreServers, case: _Case) -> Window:
    files = case.work is _FILES
    assignment = Assignment(
        url=node.url,
        inbound=_INBOUND,
        outbound=_OUTBOUND,
        work=case.work.name,
        seconds=case.work.seconds,
        processes=case.processes,
        at_once=case.at_once,
        stores=stores.cleared() if files else None,
    )
    with RunningFleet(node, broker, case.fleet, assignment) as fleet:
        count = round(fleet.warm_up() * plan.scaling_seconds)
        window = fleet.watch(count, plan.scaling_seconds)
    if files:
        stores.check(case.fleet.name, fleet.sent)
    return window


def _report(plan: Plan, runs: dict[_Case, list[Window]], versions: str) -> Report:
    ordered = sorted(runs, key=_place)
    return Report(
        name="scaling",
        title=f"Work that takes time: medians of {plan.scaling_rounds} interleaved rounds",
        header=(
            *("work, client", "processes", "at once", "ids/s", "from", "to", "growth"),
            *("CPU µs/id", "RabbitMQ's", "busy"),
        ),
        rows=[_row(case, runs) for case in ordered],
        targets=_targets(runs),
        records=[_record(case, runs) for case in ordered],
        draw=lambda path: _draw(path, runs),
        notes=[
            "At once: in each process. Growth: against one process, round by round. Busy: of all "
            f"cores, with everything that ran. Files and rows: {versions}."
        ],
    )


def _place(case: _Case) -> tuple[int, int]:
    """Return where in the table a case stands; those of one fleet stay in their order."""
    return _WORKS.index(case.work), _CLIENTS.index(case.fleet.name)


def _rate(runs: list[Window]) -> float:
    return median(run.rate for run in runs)


def _growth(case: _Case, runs: dict[_Case, list[Window]]) -> float:
    """Compare with one process, round by round."""
    pairs = zip(runs[case], runs[case.one], strict=True)
    return median(many.rate / one.rate for many, one in pairs)


def _row(case: _Case, runs: dict[_Case, list[Window]]) -> list[str]:
    of_one = runs[case]
    rates = [_rate(of_one), min(run.rate for run in of_one), max(run.rate for run in of_one)]
    return [
        f"{case.work.title}: {case.fleet.name}",
        str(case.processes),
        str(case.at_once),
        *(f"{rate:,.0f}" for rate in rates),
        f"{_growth(case, runs):.2f}x",
        f"{median(run.microseconds for run in of_one):,.0f}",
        f"{median(run.broker_microseconds for run in of_one):,.0f}",
        f"{median(run.busy for run in of_one):.0%}",
    ]


def _record(case: _Case, runs: dict[_Case, list[Window]]) -> dict[str, object]:
    of_one = runs[case]
    return {
        "work": case.work.name,
        "client": case.fleet.name,
        "processes": case.processes,
        "at_once": case.at_once,
        "rounds": len(of_one),
        "ids": round(median(run.ids for run in of_one)),
        "rate": round(_rate(of_one), 1),
        "rate_min": round(min(run.rate for run in of_one), 1),
        "rate_max": round(max(run.rate for run in of_one), 1),
        "growth": round(_growth(case, runs), 3),
        "cpu_us": round(median(run.microseconds for run in of_one), 1),
        "broker_cpu_us": round(median(run.broker_microseconds for run in of_one), 1),
        "busy": round(median(run.busy for run in of_one), 3),
    }


def _targets(runs: dict[_Case, list[Window]]) -> list[Target]:
    ceiling = _MANY / _WAIT.seconds
    what = f"{_WAIT.title}, ours, one process of {_MANY} threads, against {ceiling:,.0f} ids/s"
    return [
        Target(what, _rate(of_one) / ceiling, _OF_ALL)
        for case, of_one in runs.items()
        if (case.work, case.fleet.name, case.processes, case.at_once) == (_WAIT, OURS, 1, _MANY)
    ]


def _draw(path: Path, runs: dict[_Case, list[Window]]) -> None:
    panels = []
    for work, across in ((_CPU, "processes"), (_WAIT, "at once in all"), (_FILES, "processes")):
        lines: dict[str, list[tuple[float, float]]] = {}
        for case, of_one in runs.items():
            if case.work is work:
                x = case.processes * (case.at_once if work is _WAIT else 1)
                lines.setdefault(case.fleet.name, []).append((x, _rate(of_one)))
        panels.append(Lines(f"ids/s, {work.title}", across, lines, [OURS]))
    draw(path, panels)
