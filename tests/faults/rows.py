"""The rows of the fault ledger: on the terminal, in a CSV file, in docs/reliability.md."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

__all__ = [
    "BEGIN",
    "END",
    "Row",
    "append",
    "markdown",
    "merge",
    "put_between_markers",
    "read",
    "write",
]

BEGIN, END = "<!-- faults: start -->", "<!-- faults: end -->"
_TABLE = ("implementation", "queue", "attempted", "done", "lost", "duplicated", "parked")


@dataclass(frozen=True)
class Row:
    """What became of all ids of one scenario.

    Attributes:
        scenario: What was done to the service.
        implementation: Of the hot path, ``compiled`` or ``fallback``.
        queue: The type of the queues, ``classic`` or ``quorum``.
        attempted: Messages that were sent.
        done: Ids of which every output came, or which have none and came to their end.
        lost: What is neither done nor parked.
        duplicated: Outputs that came again.
        repeated: Runs of ``process`` after the first one of an id.
        parked: Messages in the queue of the dead.
        unexpected: What should not have happened at all.
        recovery: Seconds from the end of a fault until work was taken again, at most; empty
            where there was none to recover from.
        besides: What else was measured.
    """

    scenario: str
    implementation: str
    queue: str
    attempted: int
    done: int
    lost: int
    duplicated: int
    repeated: int
    parked: int
    unexpected: int
    recovery: str
    besides: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two rows results of the same scenario."""
        return self.scenario, self.implementation, self.queue


COLUMNS = tuple(field.name for field in fields(Row))


def append(path: Path, row: Row) -> None:
    """Put a row at the end of a CSV file."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        writer.writerow(astuple(row))


def read(path: Path) -> list[dict[str, str]]:
    """Return the records of a CSV file; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, records: Sequence[Mapping[str, str]]) -> None:
    """Make a CSV file of records that have the same fields."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def merge(
    old: Iterable[dict[str, str]], new: Sequence[dict[str, str]], conditions: Mapping[str, str]
) -> list[dict[str, str]]:
    """Put records in the place of older ones of the same scenario.

    Args:
        old: What was measured before, each with its conditions.
        new: What was measured now.
        conditions: Where and with what ``new`` was measured, such as the commit.
    """
    merged = {_key(record): record for record in old}
    merged |= {_key(record): {**record, **conditions} for record in new}
    return [merged[key] for key in sorted(merged)]


def markdown(records: Iterable[Mapping[str, str]]) -> str:
    """Return the table that people read."""
    header = ["scenario", *_TABLE, "unexpected", "recovery, s", "besides", "commit"]
    lines = [header, ["---", "---", "---", *["---:"] * 7, "---", "---"]]
    for it in records:
        numbers = [f"{int(it[name]):,}" for name in (*_TABLE[2:], "unexpected")]
        first = [it["scenario"], it["implementation"], it["queue"]]
        lines.append([*first, *numbers, it["recovery"], it["besides"], it["commit"]])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def put_between_markers(page: Path, text: str) -> None:
    """Replace what stands between the markers of a page; a page without them gets them."""
    old = page.read_text(encoding="utf-8") if page.exists() else "# Reliability\n"
    if BEGIN not in old:
        old = f"{old.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _key(record: Mapping[str, str]) -> tuple[str, str, str]:
    return record["scenario"], record["implementation"], record["queue"]
