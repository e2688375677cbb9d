"""What does a service cost before it does anything, and how does its memory grow?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from rich.progress import Progress

from .broker import RabbitMQNode, Run, relay
from .contestants import Contestant, idlers
from .pictures import Bars, Lines, draw
from .plan import Plan
from .report import Report, Target

__all__ = ["measure"]

_MIB = 1024 * 1024
_IMPORT_LIMIT_MS = 40.0
_MEMORY_LIMIT_PERCENT = 2.0
_CPU_LIMIT_PERCENT = 0.1  # of a core
_EARLY = 10_000  # messages after which memory is not to grow any more
_BARE = "bare Python"
_IMPORT = "import slingshot_microservice"
_PROGRAMS = {_BARE: "pass", _IMPORT: _IMPORT, "import pika": "import pika"}


def measure(plan: Plan, node: RabbitMQNode, twins: list[Contestant], progress: Progress) -> Report:
    """Answer the question."""
    task = progress.add_task("idle", total=plan.start_rounds * (1 + len(twins)) + 2 * len(twins))
    imports = _imports(plan.start_rounds)
    progress.advance(task, plan.start_rounds)
    starts: dict[str, list[Run]] = {twin.name: [] for twin in twins}
    for _ in range(plan.start_rounds):
        for twin in twins:
            starts[twin.name].append(relay(node, twin, 1))
            progress.advance(task)
    grown: dict[str, Run] = {}
    for twin in twins:
        grown[twin.name] = relay(node, twin, plan.memory_messages)
        progress.advance(task)
    resting: dict[str, Run] = {}
    for idler in idlers(plan.idle_seconds):
        resting[idler.name] = relay(node, idler, 1)
        progress.advance(task)
    return _report(plan, imports, starts, grown, resting)


def _report(
    plan: Plan,
    imports: Mapping[str, float],
    starts: Mapping[str, list[Run]],
    grown: Mapping[str, Run],
    resting: Mapping[str, Run],
) -> Report:
    figures = [(f"{name}, from start to end", ms, "ms") for name, ms in imports.items()]
    for name, runs in starts.items():
        first = median(run.to_first_message for run in runs) * 1e3
        figures.append((f"{name}: from start() to the first message", first, "ms"))
    for name, run in grown.items():
        figures += [
            (f"{name}: memory after {count:,} messages", size / _MIB, "MiB")
            for count, size in run.resident.items()
        ]
    for name, run in resting.items():
        seconds = f"in {run.seconds:.0f} s without work"
        figures += [
            (f"{name}: CPU {seconds}", _share(run), "% of a core"),
            (f"{name}: wake-ups {seconds}", run.switches / run.seconds, "a second"),
        ]
    return Report(
        name="idle",
        title=f"Import, start, memory and rest: medians of {plan.start_rounds}",
        header=("what", "measured"),
        rows=[(what, f"{_shown(value)} {unit}") for what, value, unit in figures],
        targets=[
            _import_target(imports),
            *(_memory_target(*item) for item in grown.items()),
            *(_rest_target(*item) for item in resting.items()),
        ],
        records=[
            {"what": what, "value": round(value, 4), "unit": unit} for what, value, unit in figures
        ],
        draw=lambda path: _draw(path, imports, grown),
    )


def _imports(rounds: int) -> dict[str, float]:
    """Return how many milliseconds programs take that do nothing but import."""
    times: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            for name, code in _PROGRAMS.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
                times[name].append((time.perf_counter() - started) * 1e3)
    # The first round may have had to write bytecode.
    return {name: median(of_one[1:]) for name, of_one in times.items()}


def _import_target(imports: Mapping[str, float]) -> Target:
    extra = imports[_IMPORT] - imports[_BARE]
    return Target(f"{_IMPORT}, over {_BARE}", extra, _IMPORT_LIMIT_MS, at_least=False, unit=" ms")


def _memory_target(name: str, run: Run) -> Target:
    last = max(run.resident)
    growth = (run.resident[last] / run.resident[_EARLY] - 1) * 100
    what = f"{name}: memory after {last:,} messages against after {_EARLY:,}"
    return Target(what, growth, _MEMORY_LIMIT_PERCENT, at_least=False, unit=" %")


def _rest_target(name: str, run: Run) -> Target:
    what = f"{name}: CPU without work, of a core"
    return Target(what, _share(run), _CPU_LIMIT_PERCENT, at_least=False, unit=" %")


def _share(run: Run) -> float:
    """Return the CPU that was used, in percent of a core."""
    return run.cpu / run.seconds * 100


def _shown(value: float) -> str:
    return f"{value:,.1f}" if value >= 1 else f"{value:.3f}"


def _draw(path: Path, imports: Mapping[str, float], grown: Mapping[str, Run]) -> None:
    memory = {
        name: [(count, size / _MIB) for count, size in run.resident.items()]
        for name, run in grown.items()
    }
    panels: list[Bars | Lines] = [
        Bars("ms from start to end", list(imports), {"ms": list(imports.values())}, [_IMPORT]),
        Lines("memory, MiB", "messages", memory, list(memory)),
    ]
    draw(path, panels)
