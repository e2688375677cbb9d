"""What the demo's services have left in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

from .workspace import Workspace

__all__ = ["LargeFile", "Results", "Totals", "count_gathered", "read_results"]

_LARGEST = """SELECT sources.id, lines, path FROM measures JOIN sources USING (id)
    ORDER BY lines DESC, path LIMIT 5"""
_UNPARSED = "SELECT count(*) FROM gathered WHERE id NOT IN (SELECT id FROM measures)"
_MISSING = """SELECT path FROM sources WHERE id NOT IN (SELECT id FROM gathered) ORDER BY id"""


class Totals(NamedTuple):
    """What the gathered files come to; files that do not parse count as files only."""

    files: int
    lines: int
    functions: int
    classes: int


class LargeFile(NamedTuple):
    """One of the largest files, with its path inside the standard library."""

    id: int
    lines: int
    path: str


@dataclass(frozen=True)
class Results:
    """What has become of the source files.

    Attributes:
        parsed: Files that parse.
        unparsed: Files that do not.
        sizes: Files by size class: ``small``, ``medium``, ``large``.
        totals: What all of them come to.
        largest: Up to five files, the largest first.
        missing: Paths of the files that were not gathered; none when all went well.
    """

    parsed: int
    unparsed: int
    sizes: dict[str, int]
    totals: Totals
    largest: Sequence[LargeFile]
    missing: Sequence[str]


def count_gathered(workspace: Workspace) -> int:
    """Return how many files have come to the end of the chain."""
    ((count,),) = _query(workspace, "SELECT files FROM totals")
    return int(count)


def read_results(workspace: Workspace) -> Results:
    """Read what the services have left."""
    sizes = dict(_query(workspace, "SELECT size, count(*) FROM measures GROUP BY size"))
    totals = Totals(*_query(workspace, "SELECT files, lines, functions, classes FROM totals")[0])
    return Results(
        parsed=sum(sizes.values()),
        unparsed=_query(workspace, _UNPARSED)[0][0],
        sizes={size: sizes.get(size, 0) for size in ("small", "medium", "large")},
        totals=totals,
        largest=[LargeFile(*row) for row in _query(workspace, _LARGEST)],
        missing=[path for (path,) in _query(workspace, _MISSING)],
    )


def _query(workspace: Workspace, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(workspace.database)) as connection:
        return connection.execute(statement).fetchall()
