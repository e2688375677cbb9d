"""A service in a process of its own, to be started, killed and stopped by a scenario."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers.processes import ServerProcess, beside_python

from .journal import Journal
from .plan import Plan

__all__ = ["Service"]

_TESTS = Path(__file__).parents[1]
_RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (\w+) ")
_HARMLESS = {"DEBUG", "INFO", "WARNING"}
_START_SECONDS = 60.0


class Service:
    """The program of ``faults.program``, which may live several times.

    Args:
        plan: What it is to do.
        folder: Where its plan and its log go.
        environment: Its environment.

    Attributes:
        log: What it writes, over all of its lives.
        exits: What it ended with, unless it was killed or died as planned.
        deaths: How often it was killed or died as planned.
    """

    def __init__(self, plan: Plan, folder: Path, environment: Mapping[str, str]) -> None:
        self._plan = folder / "plan.json"
        plan.save(self._plan)
        self._journal = Journal(Path(plan.journal))
        self._environment = {**environment, "PYTHONWARNINGS": "error", "PYTHONPATH": str(_TESTS)}
        self._environment |= {
            name: value for name, value in os.environ.items() if name.endswith("_EXTENSIONS")
        }
        self._process: ServerProcess | None = None
        self._noted: set[tuple[int, str]] = set()  # process and kind of event
        self.log = folder / "service.log"
        self.exits: list[int] = []
        self.deaths = 0

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.running

    @property
    def has_run(self) -> bool:
        """Whether its present life has begun to take requests; before, a signal just ends it."""
        return self._has_noted("running")

    @property
    def pid(self) -> int:
        """The process id of its present life."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Begin a life; return when the program has got going (it need not have connected)."""
        assert not self.running
        self._noted.clear()
        command: list[str | Path] = [beside_python() / "python", "-m", "faults.program"]
        self._process = ServerProcess(
            [*command, self._plan], self.log, environment=self._environment
        )
        # It may be one that ends by itself, and has done so before anybody looks.
        self._process.wait_until(lambda: self._has_noted("hello"), _START_SECONDS, lasting=False)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self.deaths += 1

    def stop(self, timeout: float = 40.0, expected: Sequence[int] = ()) -> float:
        """Stop it with SIGTERM; return how many seconds it took to end.

        Args:
            timeout: Seconds after which it is killed.
            expected: What it may end with by itself just before.
        """
        assert self._process is not None
        begin = time.monotonic()
        self._process.end(timeout=timeout)
        seconds = time.monotonic() - begin
        self._note_exit(expected)
        return seconds

    def revive(self, expected: Sequence[int] = ()) -> bool:
        """Start it again if it has ended; return whether it had.

        Args:
            expected: What it may have ended with.
        """
        assert self._process is not None
        if self.running:
            return False
        self._note_exit(expected)
        self.start()
        return True

    def close(self) -> None:
        """See that nothing of it is left."""
        if self._process is not None:
            self._process.kill()

    def peak_memory(self) -> int:
        """Return the most bytes of memory that its present life has held at a time."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def errors(self) -> list[str]:
        """Return what its log has that is worse than a warning: the first line of each record."""
        if not self.log.exists():
            return []
        found: list[str] = []
        continues = False
        for line in self.log.read_text(errors="replace").splitlines():
            record = _RECORD.match(line)
            if record is None and continues:
                continue  # the lines of a traceback
            continues = record is not None
            if record is None or record[1] not in _HARMLESS:
                found.append(line)
        return found

    def _note_exit(self, expected: Sequence[int] = ()) -> None:
        assert self._process is not None
        code = self._process.exit_code
        assert code is not None
        self._process.kill()  # revokes what would have ended it with the tests
        if code in expected:
            self.deaths += 1
        else:
            self.exits.append(code)

    def _has_noted(self, kind: str) -> bool:
        self._noted.update((event.pid, event.kind) for event in self._journal.read())
        return (self.pid, kind) in self._noted
