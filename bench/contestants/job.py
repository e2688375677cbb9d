"""What every contestant is asked to do, and how it reports."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["URL_VARIABLE", "Job", "Meter"]

URL_VARIABLE = "SLINGSHOT_BENCH_AMQP_URL"
"""Not an argument: arguments are for everybody to see, and the URL holds a password."""

_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; getrusage(2)


@dataclass(frozen=True)
class Job:
    """Move ids from one queue to others.

    Attributes:
        url: The broker's.
        inbound: The queue to take ids from.
        count: How many ids are in it.
        prefetch: How many to hold at most, where one may say so.
        outbound: The queues to send every id to.
        fill: Whether to put ``count`` ids into ``inbound`` instead, for those who can read only
            messages of their own kind.
    """

    url: str
    inbound: str
    count: int
    prefetch: int
    outbound: tuple[str, ...]
    fill: bool

    @classmethod
    def from_process(cls) -> Job:
        """Read arguments and environment of this process."""
        inbound, count, prefetch, *rest = sys.argv[1:]
        fill = rest[-1] == "--fill"
        outbound = tuple(rest[:-1] if fill else rest)
        return cls(os.environ[URL_VARIABLE], inbound, int(count), int(prefetch), outbound, fill)


class Meter:
    """Measures from the first message taken to the last output settled."""

    def __init__(self) -> None:
        self._started = 0.0
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self.resident: dict[int, int] = {}

    def start(self) -> None:
        """The first message is here."""
        self._started = time.perf_counter()
        self._before = resource.getrusage(resource.RUSAGE_SELF)

    def mark(self, messages: int) -> None:
        """Note the memory in use after so many messages."""
        self.resident[messages] = _resident_bytes()

    def report(self, messages: int, **more: object) -> None:
        """The last output is settled: print the figures as a line of JSON."""
        seconds = time.perf_counter() - self._started
        usage = resource.getrusage(resource.RUSAGE_SELF)
        figures = {
            "messages": messages,
            "seconds": seconds,
            "cpu_user": usage.ru_utime - self._before.ru_utime,
            "cpu_sys": usage.ru_stime - self._before.ru_stime,
            "peak_rss": _peak_bytes(),
            "resident": self.resident,
            **more,
        }
        print(json.dumps(figures), flush=True)


def _resident_bytes() -> int:
    # Where the system does not say what is in use now, the most there ever was.
    return _status_bytes("VmRSS") or _peak_bytes()


def _peak_bytes() -> int:
    # getrusage would also count what our parent had in use when it started us.
    peak = _status_bytes("VmHWM")
    return peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT


def _status_bytes(field: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))
