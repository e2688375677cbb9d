"""What a strict type checker must let pass: programs as users write them. Never run.

The project-wide run of mypy covers this file; nothing else does.
"""

from __future__ import annotations

import enum
import shutil
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Literal

from sqlalchemy import text
from sqlalchemy.engine.base import Connection

from slingshot_microservice import Microservice, Options, SlingshotError
from slingshot_microservice.typing import (
    CaseVariable,
    Output,
    ProcessFn,
    ReadFileFn,
    StartupFn,
    WriteFileFn,
    WriteHandle,
)


def process(
    request: int,
    read_file: ReadFileFn,
    write_file: WriteFileFn,
    connection: Connection,
) -> Generator[tuple[int, bool | int | str], None, None]:
    """Spell everything out."""
    reader = read_file("in", request)
    input_data = reader.read().decode()
    writer = write_file("out", request)
    writer.write(f"Hello {input_data}".encode())
    yield (request, True)


microservice = Microservice("simple-py-microservice", "sys-map.slingshot.cv", process)
microservice.start()
microservice.stop()


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


def other_names(id: int, read: ReadFileFn, write: WriteFileFn, db: Connection) -> list[Output]:
    """Parameters may be called anything, and a list may be returned."""
    with write("out", id) as file, read("in", id) as source:
        file.write("text")
        file.write(bytearray(b"bytes"))
        file.write(memoryview(b"more"))
        size: int = file.tell()
        source.seek(0)
        for line in source:
            file.write(line)
    db.execute(text("SELECT 1"))
    return [(id, True), (id, size), (id, "large"), (id, Size.LARGE)]


def iterate(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> Iterator[tuple[int, str]]:
    """A narrower case than any is fine."""
    yield request, "case"


def nothing(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> None:
    """No outputs at all."""


def startup(
    read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> Iterable[tuple[int, CaseVariable]]:
    return {(1, True), (2, "two")}


class Processor:
    def __call__(
        self, request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
    ) -> Iterator[Output]:
        yield request, 1


functions: list[ProcessFn] = [process, other_names, iterate, nothing, Processor()]
beginnings: list[StartupFn] = [startup]

Microservice("a", "https://host/base", startup, process)
Microservice("a", Path("sys-map.toml"), process=other_names)
Microservice("a", "host", startup=startup, process=iterate, prefetch=10, drain_timeout=5)
Microservice("a", "host", nothing, retry_pause=0.5, memory_file_limit=2**20)
Microservice("a", "host", lambda request, read_file, write_file, connection: [(request, True)])


def write_all(handle: WriteHandle, source: Path) -> None:
    with source.open("rb") as file:
        shutil.copyfileobj(file, handle)


try:
    microservice.start()
except SlingshotError as error:
    raise SystemExit(error.exit_code) from error

prefetch: int | Literal["auto"] = Options(prefetch=5).prefetch
