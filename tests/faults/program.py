"""The program under fault: ``python -m faults.program PLAN``, in a process of its own."""

from __future__ import annotations

import builtins
import ctypes
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import text
from sqlalchemy.engine import Connection

import slingshot_microservice
from slingshot_microservice import Microservice
from slingshot_microservice.hotpath import IMPLEMENTATION
from slingshot_microservice.typing import ReadFileFn, WriteFileFn

from .deaths import Deaths
from .journal import JournalWriter
from .plan import Behaviour, Plan, output_id

__all__: list[str] = []


class Work:
    """The service's ``process``."""

    def __init__(self, plan: Plan, journal: JournalWriter, deaths: Deaths) -> None:
        self._plan = plan
        self._journal = journal
        self._deaths = deaths

    def process(
        self, request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
    ) -> Iterator[tuple[int, bool]]:
        self._journal.write("start", request)
        behaviour = self._plan.of(request)
        self._deaths.expect(request, behaviour.dies_after)
        try:
            self._take_effect(request, behaviour, read_file, write_file, connection)
            for index in range(behaviour.outputs):
                yield output_id(request, index), True
            if behaviour.raises:
                _fail(behaviour.raises)
        except BaseException:
            self._journal.write("fail", request)
            raise
        self._journal.write("end", request)

    def _take_effect(
        self,
        request: int,
        behaviour: Behaviour,
        read_file: ReadFileFn,
        write_file: WriteFileFn,
        connection: Connection,
    ) -> None:
        if behaviour.seconds:
            time.sleep(behaviour.seconds)
        if behaviour.reads:
            assert read_file("in", request).read()
            self._deaths.passed("read")
        if behaviour.writes:
            write_file("out", request).write(str(request))
        if behaviour.copies:
            write_file("out", request).write(read_file("in", request).read())
        if behaviour.row:
            connection.execute(text("INSERT INTO runs VALUES (:id)"), {"id": request})
        if behaviour.segfaults:
            self._journal.write("die", request, "segfault")
            ctypes.string_at(0)


def _fail(name: str) -> NoReturn:
    if name == "RecursionError":
        _fail(name)
    if name == "MemoryError":
        bytearray(1 << 60)
    kind = getattr(builtins, name, None) or getattr(slingshot_microservice, name)
    raise kind("as planned")


def main() -> None:
    plan = Plan.load(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    journal = JournalWriter(Path(plan.journal))
    journal.write("hello", text=IMPLEMENTATION)
    deaths = Deaths(Path(plan.journal), journal)
    deaths.watch()
    work = Work(plan, journal, deaths)
    options: dict[str, Any] = dict(plan.options)
    Microservice(plan.name, plan.config_host, work.process, **options).start(
        on_running=lambda: journal.write("running")
    )


if __name__ == "__main__":
    main()
