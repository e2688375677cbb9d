"""Ours, for ``slingshot-microservice run``: the program that a user would write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sqlalchemy import Connection, text

from slingshot_microservice import Microservice
from slingshot_microservice.typing import Output, ProcessFn, ReadFileFn, WriteFileFn

from .work import OBJECTS, ROW, Assignment, burn

_assignment = Assignment.from_environment()
_row = text(ROW)


def keep(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> Iterator[Output]:
    """Read an object, write one and insert a row."""
    body = read_file("in", request % OBJECTS).read()
    write_file("out", request).write(body)
    connection.execute(_row, {"id": request, "size": len(body)})
    yield request, True


def passing(spend: Callable[[float], None], seconds: float) -> ProcessFn:
    """Return a ``process`` that does nothing but pass the time."""

    def process(
        request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
    ) -> Iterator[Output]:
        spend(seconds)
        yield request, True

    return process


def tallied(process: ProcessFn, path: Path) -> ProcessFn:
    """Return a ``process`` that first writes down what it is asked."""

    def tally(
        request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
    ) -> Iterable[Output] | None:
        with path.open("a") as file:
            file.write(f"{request}\n")
        return process(request, read_file, write_file, connection)

    return tally


def chosen(assignment: Assignment) -> ProcessFn:
    """Return the ``process`` of an assignment."""
    if assignment.work == "files":
        return keep
    process = passing(burn if assignment.work == "cpu" else time.sleep, assignment.seconds)
    return tallied(process, Path(assignment.tally)) if assignment.tally else process


microservice = Microservice("fleet", "sys-map.toml", chosen(_assignment))
