"""Service ``measure``: how large is a source file, and what is in it?"""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Connection, text

from slingshot_microservice import Microservice
from slingshot_microservice.demo.source import measure
from slingshot_microservice.typing import Output, ReadFileFn, WriteFileFn

TABLE = """CREATE TABLE IF NOT EXISTS measures (id BIGINT PRIMARY KEY, size TEXT,
    lines INTEGER, functions INTEGER, classes INTEGER, longest_function INTEGER)"""

# An id may be delivered twice; its row is there once.
ROW = """INSERT INTO measures (id, size, lines, functions, classes, longest_function)
    VALUES (:id, :size, :lines, :functions, :classes, :longest_function)
    ON CONFLICT (id) DO UPDATE SET size = excluded.size, lines = excluded.lines,
        functions = excluded.functions, classes = excluded.classes,
        longest_function = excluded.longest_function"""


def startup(read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection) -> None:
    """Make the table, once, before the first request."""
    connection.execute(text(TABLE))


def process(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> Iterator[Output]:
    """Write a report and a row, and route the id by the size of its file."""
    report = measure(read_file("in", request).read())
    size = "small" if report["lines"] < 200 else "medium" if report["lines"] < 1000 else "large"
    write_file("report", request).write(json.dumps(report, indent=2))
    connection.execute(text(ROW), {"id": request, "size": size, **report})
    yield request, size


microservice = Microservice("measure", "sys-map.example.com", startup, process)

if __name__ == "__main__":
    microservice.start()
