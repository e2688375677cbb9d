"""CPU time of processes and of the machine, seen from outside; Linux only."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "look"]

_TICKS = os.sysconf("SC_CLK_TCK")  # a second
# Of the columns of /proc/<pid>/stat behind the name: user and system, of the process and of those
# children that have ended, which would otherwise take their times with them.
_TIMES = slice(11, 15)
_IDLE = slice(3, 5)  # of the columns of /proc/stat: idle, and idle while a disk is waited for
_COUNTED = slice(0, 8)  # the two behind them are part of others


@dataclass(frozen=True)
class Usage:
    """Seconds of CPU since something began, to be compared with a later look.

    Attributes:
        fleet: Of the fleet, with all processes below it.
        broker: Of RabbitMQ.
        busy: Of all cores together, whoever used them; also what the host of a virtual machine
            has kept for itself.
        all: Of all cores together, used or not.
    """

    fleet: float
    broker: float
    busy: float
    all: float

    def since(self, before: Usage) -> Usage:
        """Return what was used between two looks."""
        return Usage(
            self.fleet - before.fleet,
            self.broker - before.broker,
            self.busy - before.busy,
            self.all - before.all,
        )


def look(fleet: int, broker: int) -> Usage:
    """Return what two trees of processes, and all, have used so far.

    Args:
        fleet: The process id at the root of the fleet.
        broker: That of RabbitMQ.
    """
    children: dict[int, list[int]] = defaultdict(list)
    seconds: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        children[int(fields[1])].append(int(folder.name))
        seconds[int(folder.name)] = sum(map(int, fields[_TIMES])) / _TICKS
    columns = [int(field) / _TICKS for field in _machine()[_COUNTED]]
    everything = sum(columns)
    return Usage(
        fleet=_tree(fleet, children, seconds),
        broker=_tree(broker, children, seconds),
        busy=everything - sum(columns[_IDLE]),
        all=everything,
    )


def _machine() -> list[str]:
    with open("/proc/stat") as file:
        return file.readline().split()[1:]


def _tree(root: int, children: dict[int, list[int]], seconds: dict[int, float]) -> float:
    below = sum(_tree(child, children, seconds) for child in children.get(root, ()))
    return seconds.get(root, 0.0) + below
