"""What a service under fault notes down, in a file that outlives it."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

__all__ = ["NO_ID", "Event", "Journal", "JournalWriter"]

NO_ID = -1


class Event(NamedTuple):
    """Something that happened in the service.

    Attributes:
        time: When, in Unix seconds.
        pid: In which process.
        kind: ``hello``, with the hot path's implementation; ``running`` when requests are taken;
            ``start``, ``end``, ``fail`` of ``process``; ``die`` just before a death that was
            planned.
        id: Of which request; `NO_ID` where it is none.
        text: What else there is to say.
    """

    time: float
    pid: int
    kind: str
    id: int
    text: str


class JournalWriter:
    """Writes one line an event. What is written has left the process, whatever becomes of it.

    Args:
        path: The file; several processes may write to it, one after another or at once.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._pid = os.getpid()

    def write(self, kind: str, id: int = NO_ID, text: str = "") -> None:
        """Note an event."""
        line = f"{time.time():.6f} {self._pid} {kind} {id} {text}\n"
        os.write(self._file, line.encode())


class Journal:
    """Reads what a `JournalWriter` writes, while it writes.

    Args:
        path: The file; it need not exist yet.

    Attributes:
        events: What was read so far.
        starts: How often ``process`` was started, by id.
        ends: How often it came to its end, by id.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.starts: Counter[int] = Counter()
        self.ends: Counter[int] = Counter()
        self._offset = 0

    def read(self) -> list[Event]:
        """Return the events since the last call."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        new = [_parse(line) for line in whole.decode().splitlines()]
        self.events += new
        self.starts.update(event.id for event in new if event.kind == "start")
        self.ends.update(event.id for event in new if event.kind == "end")
        return new

    def started_after(self, moment: float) -> float | None:
        """Return how many seconds after ``moment`` the next ``process`` began, if one did."""
        self.read()
        times = [event.time for event in self.events if event.kind == "start"]
        return min((time - moment for time in times if time >= moment), default=None)


def _parse(line: str) -> Event:
    moment, pid, kind, id, text = line.split(" ", 4)
    return Event(float(moment), int(pid), kind, int(id), text)
