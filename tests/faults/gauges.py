"""What a process takes of the machine, as Linux counts it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Gauges"]

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Gauges(NamedTuple):
    """One reading.

    Attributes:
        descriptors: Open files and sockets.
        threads: Threads.
        memory_bytes: Resident memory.
        cpu_seconds: Time on a processor so far, in user mode and in the kernel.
    """

    descriptors: int
    threads: int
    memory_bytes: int
    cpu_seconds: float

    @classmethod
    def of(cls, pid: int) -> Gauges:
        """Read what process ``pid`` takes now."""
        folder = Path("/proc") / str(pid)
        # The program's name comes before, in brackets, and may have anything in it.
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        return cls(
            descriptors=len(os.listdir(folder / "fd")),
            threads=int(stat[17]),
            memory_bytes=int(stat[21]) * _PAGE_BYTES,
            cpu_seconds=(int(stat[11]) + int(stat[12])) / _TICKS_A_SECOND,
        )
