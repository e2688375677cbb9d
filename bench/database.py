"""What does an id cost that reads a row and writes one?

Everybody does the same on the same PostgreSQL, in turn, and commits every id by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import quote

from rich.progress import Progress

from . import contestants as names
from .broker import PostgreSQLServer
from .contestants import Contestant
from .contestants.rows import PEOPLE, TRIAL_IDS, URL_VARIABLE
from .pictures import Bars, draw
from .plan import Plan
from .report import Report, Target

__all__ = ["measure"]

_ROOT = Path(__file__).resolve().parent.parent
_LIMIT = 1.15
_TIMEOUT_SECONDS = 600.0
_TABLES = f"""
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE visits (id BIGINT NOT NULL, name TEXT NOT NULL);
INSERT INTO people SELECT n, 'name ' || n FROM generate_series(0, {PEOPLE - 1}) n;
ANALYZE people;
"""


class _Run(NamedTuple):
    """What one run gave: CPU and time of one id, in microseconds."""

    cpu: float
    time: float


def measure(plan: Plan, server: PostgreSQLServer, progress: Progress) -> Report:
    """Answer the question."""
    runs = _runs(plan, server, progress)
    return Report(
        name="database",
        title=(
            f"One SELECT, one INSERT and a commit for every id: medians of {plan.database_rounds} "
            f"interleaved rounds of {plan.database_ids:,} ids"
        ),
        header=("client", "CPU µs/id", "ids/s", "from", "to", "CPU against SQLAlchemy"),
        rows=[_row(name, of_one, runs[names.SQLALCHEMY]) for name, of_one in runs.items()],
        targets=[target for name in runs for target in _targets(name, runs)],
        records=[_record(name, of_one, plan) for name, of_one in runs.items()],
        draw=lambda path: _draw(path, runs),
        notes=[
            "CPU is the client's, user and system. PostgreSQL is on the same machine, and does not "
            "wait for its disk (fsync is off), so that what the client does is as large a part of "
            "the time as it can be. Ratios are medians of every round's own."
        ],
    )


def _runs(plan: Plan, server: PostgreSQLServer, progress: Progress) -> dict[str, list[_Run]]:
    everybody = names.database_clients()
    task = progress.add_task("database", total=plan.database_rounds * len(everybody))
    database = server.fresh_database()
    _execute(server, database, _TABLES)
    runs: dict[str, list[_Run]] = {contestant.name: [] for contestant in everybody}
    for number in range(plan.database_rounds):
        # Each begins a round in turn, so that nobody always comes after the same one.
        first = number % len(everybody)
        for contestant in everybody[first:] + everybody[:first]:
            run = _run(server, database, contestant, plan.database_ids)
            runs[contestant.name].append(run)
            progress.advance(task)
    return runs


def _run(server: PostgreSQLServer, database: str, contestant: Contestant, count: int) -> _Run:
    _execute(server, database, "TRUNCATE visits")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SLINGSHOT_")}
    password = quote(server.password, safe="")
    url = f"postgresql://{server.username}:{password}@{server.host}:{server.port}/{database}"
    result = subprocess.run(
        [*contestant.command, str(count)],
        cwd=_ROOT,
        env={**ours, URL_VARIABLE: url, **contestant.environment},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
    )
    if result.returncode:
        last_words = "\n".join(result.stderr.splitlines()[-20:])
        raise RuntimeError(f"{contestant.name} ended with {result.returncode}:\n{last_words}")
    rows = _execute(server, database, "SELECT count(DISTINCT id) FROM visits")
    if rows < TRIAL_IDS + count and contestant.name not in names.WITHOUT_ROWS:
        raise RuntimeError(f"{contestant.name} left {rows:,} rows for {count:,} ids")
    figures = json.loads(result.stdout.splitlines()[-1])
    cpu = figures["cpu_user"] + figures["cpu_sys"]
    return _Run(cpu / count * 1e6, figures["seconds"] / count * 1e6)


def _execute(server: PostgreSQLServer, database: str, sql: str) -> int:
    """Run SQL, and return the number that it gives, if it gives one."""
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchall()[0][0]) if cursor.description else 0


def _cpu(runs: list[_Run]) -> float:
    return median(run.cpu for run in runs)


def _rates(runs: list[_Run]) -> tuple[float, float, float]:
    """Return the ids a second in the middle, the least and the most."""
    rates = [1e6 / run.time for run in runs]
    return median(rates), min(rates), max(rates)


def _row(name: str, runs: list[_Run], bare: list[_Run]) -> list[str]:
    ratio = median(one.cpu / other.cpu for one, other in zip(runs, bare, strict=True))
    return [name, f"{_cpu(runs):,.1f}", *(f"{rate:,.0f}" for rate in _rates(runs)), f"{ratio:.2f}x"]


def _record(name: str, runs: list[_Run], plan: Plan) -> dict[str, object]:
    rate, least, most = _rates(runs)
    return {
        "client": name,
        "ids": plan.database_ids,
        "rounds": len(runs),
        "cpu_us": round(_cpu(runs), 1),
        "rate": round(rate),
        "rate_min": round(least),
        "rate_max": round(most),
    }


def _targets(name: str, runs: Mapping[str, list[_Run]]) -> list[Target]:
    if name not in names.WITH_ROWS:
        return []
    pairs = list(zip(runs[name], runs[names.SQLALCHEMY], strict=True))
    ratios = {
        "CPU": median(one.cpu / other.cpu for one, other in pairs),
        "time": median(one.time / other.time for one, other in pairs),
    }
    return [
        Target(f"{what} an id, {name}, against {names.SQLALCHEMY}", ratio, _LIMIT, at_least=False)
        for what, ratio in ratios.items()
    ]


def _draw(path: Path, runs: Mapping[str, list[_Run]]) -> None:
    labels = list(runs)
    ours = [name for name in labels if name.startswith("ours")]
    panels = [
        Bars("client CPU, µs an id", labels, {"cpu": [_cpu(one) for one in runs.values()]}, ours),
        Bars("ids a second", labels, {"rate": [_rates(one)[0] for one in runs.values()]}, ours),
    ]
    draw(path, panels)
