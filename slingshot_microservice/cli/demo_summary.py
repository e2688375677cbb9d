"""What ``demo`` shows at the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from ..demo import check, gather, measure
from ..demo.results import Results
from ..demo.workspace import Workspace
from .program import command_line

__all__ = ["Run", "show_missing", "show_results", "show_whereabouts"]

_MISSING_SHOWN = 10
_LONGEST_FUNCTIONS = (
    "SELECT longest_function, path FROM measures JOIN sources USING (id) ORDER BY 1 DESC LIMIT 5"
)


@dataclass(frozen=True)
class Run:
    """How the run went.

    Attributes:
        seconds: From the first id sent to the last file gathered.
        waiting: Messages left in each queue.
    """

    seconds: float
    waiting: Mapping[str, int]


def show_results(console: Console, results: Results, run: Run) -> None:
    """Show the routes, the totals and the largest files."""
    console.print(_routes(results, run))
    console.print(_largest(results))
    totals = results.totals
    _print_lines(
        console,
        [
            f"{totals.files:,} files gathered: {totals.lines:,} lines, {totals.functions:,} "
            f"functions, {totals.classes:,} classes.",
            f"It took {run.seconds:.1f} s, which is {totals.files / run.seconds:,.0f} ids/s "
            "through the whole chain.",
        ],
    )


def show_whereabouts(console: Console, workspace: Workspace, results: Results) -> None:
    """Say where everything lies, and how to look at it."""
    lines = [
        "",
        f"Everything is in {workspace.folder}",
        f"  the sys-map    {workspace.sys_map}",
        f"  the database   {workspace.database}  (tables sources, measures, gathered, totals)",
        f"  the reports    {workspace.reports}  (a file an id)",
        f"  the services   {Path(check.__file__).parent}  (check.py, measure.py, gather.py)",
    ]
    if results.largest:
        report = workspace.reports / str(results.largest[0].id)
        lines += ["", "Look at the report of the largest file, and at the longest functions:"]
        lines += [f"  {shlex.join(['cat', str(report)])}", f"  {_query(workspace)}"]
    lines += ["", "Run the same by hand; ids that come a second time change nothing:"]
    _print_lines(console, [*lines, f"  {_by_hand(workspace)}"])


def show_missing(console: Console, results: Results) -> None:
    """Name files that are not accounted for."""
    shown = results.missing[:_MISSING_SHOWN]
    _print_lines(console, ["", f"{len(results.missing)} files did not come to the end:"])
    _print_lines(console, [f"  {path}" for path in shown])
    if len(shown) < len(results.missing):
        _print_lines(console, ["  …"])


def _routes(results: Results, run: Run) -> Table:
    table = _table("Which way they went")
    for column in ("service", "case"):
        table.add_column(column)
    table.add_column("files", justify="right")
    table.add_column("went to")
    table.add_row("check", "True", f"{results.parsed:,}", "measure")
    table.add_row("check", "False", f"{results.unparsed:,}", "gather")
    for size, count in results.sizes.items():
        queues = "gather, and the queue review" if size == "large" else "gather"
        table.add_row("measure", f'"{size}"', f"{count:,}", queues)
    waiting = run.waiting.get("review", 0)
    table.add_row("", "", f"{waiting:,}", "wait in the queue review for somebody to look")
    return table


def _largest(results: Results) -> Table:
    table = _table("The largest")
    table.add_column("id", justify="right")
    table.add_column("lines", justify="right")
    table.add_column("file", overflow="fold")
    for file in results.largest:
        table.add_row(str(file.id), f"{file.lines:,}", file.path)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def _query(workspace: Workspace) -> str:
    """Return a command that asks the database, by what is at hand."""
    program = [sys.executable, "-m", "sqlite3"] if sys.version_info >= (3, 12) else ["sqlite3"]
    return shlex.join([*program, str(workspace.database), _LONGEST_FUNCTIONS])


def _by_hand(workspace: Workspace) -> str:
    modules = [module.__name__ for module in (check, measure, gather)]
    ids = f"check={workspace.ids[0]}-{workspace.ids[-1]}"
    return command_line(["dev", *modules, "--sys-map", workspace.sys_map, "--send", ids, "--burst"])


def _print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines whole, so that what is in them can be copied."""
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
