"""What a question's answer looks like: on the terminal, in a CSV file, and in README.md."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from .machine import FIELDS

__all__ = ["Report", "Target", "keep", "show"]

_README = Path(__file__).with_name("README.md")


@dataclass(frozen=True)
class Target:
    """What a figure must be.

    Attributes:
        what: What is measured.
        value: What it is.
        limit: What it must be.
        at_least: Whether ``limit`` is the least that it must be, rather than the most.
        unit: What stands behind the numbers.
    """

    what: str
    value: float
    limit: float
    at_least: bool = True
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def cells(self) -> tuple[str, ...]:
        """Return a row of a table."""
        bound = "at least" if self.at_least else "at most"
        limit = f"{bound} {self.limit:g}{self.unit}"
        return self.what, limit, f"{self.value:.3g}{self.unit}", "met" if self.met else "missed"


@dataclass(frozen=True)
class Report:
    """The answer to a question.

    Attributes:
        name: The question's, and that of its files.
        title: What was measured, in a line.
        header: The table's columns; the first holds names, the others numbers.
        rows: The table.
        targets: What was to be reached.
        records: What the CSV file gets, a row each, all with the same fields.
        draw: Draws the picture into a file.
        notes: What else there is to say.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    targets: Sequence[Target]
    records: Sequence[Mapping[str, object]]
    draw: Callable[[Path], None]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def tables(self) -> list[tuple[Sequence[str], Sequence[Sequence[str]]]]:
        """The table of figures, and that of targets if there are any."""
        targets = ("target", "limit", "measured", ""), [target.cells() for target in self.targets]
        return [(self.header, self.rows), *([targets] if self.targets else [])]


def show(report: Report, console: Console) -> None:
    """Print an answer."""
    console.print(f"\n[bold]{report.name}[/bold]: {report.title}", soft_wrap=True)
    for header, rows in report.tables:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column(header[0])
        for column in header[1:]:
            table.add_column(column, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for note in report.notes:
        console.print(note, soft_wrap=True, markup=False)


def keep(report: Report, machine: Mapping[str, str], folder: Path) -> None:
    """Append an answer to its CSV file, draw its picture, and put its tables into README.md."""
    folder.mkdir(parents=True, exist_ok=True)
    _append(folder / f"{report.name}.csv", report, machine)
    report.draw(folder / f"{report.name}.svg")
    text = _README.read_text(encoding="utf-8")
    _README.write_text(_with_results(text, report, machine), encoding="utf-8")


def _append(path: Path, report: Report, machine: Mapping[str, str]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*FIELDS, *report.records[0]], lineterminator="\n")
        if new:
            writer.writeheader()
        for record in report.records:
            writer.writerow({**machine, **record})


def _with_results(text: str, report: Report, machine: Mapping[str, str]) -> str:
    begin, end = f"<!-- results: {report.name} -->", "<!-- end of results -->"
    results = "\n\n".join([report.title, *_markdown(report), *report.notes, _conditions(machine)])
    return re.sub(
        f"({re.escape(begin)}\n).*?({re.escape(end)})",
        lambda match: f"{match[1]}\n{results}\n\n{match[2]}",
        text,
        flags=re.DOTALL,
    )


def _markdown(report: Report) -> list[str]:
    return [
        "\n".join(_row(row) for row in (header, ["---", *["---:"] * (len(header) - 1)], *rows))
        for header, rows in report.tables
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _conditions(machine: Mapping[str, str]) -> str:
    return (
        f"Commit {machine['commit']}, {machine['date']} UTC, {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['python']}, {machine['versions']}."
    )
