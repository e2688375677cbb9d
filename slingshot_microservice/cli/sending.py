"""Putting ids into queues by hand."""

from __future__ import annotations

import difflib
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..broker.memory import MemoryQueues
    from ..sysmap.file import FileSystemMap

__all__ = ["Request", "known_queues", "parse_ids", "parse_line", "parse_send", "read_lines"]

_ID_MAX = 2**64 - 1
_IDS_MAX = 10_000_000  # at a time; they are held in memory
_PART = re.compile(r"([0-9]+)(?:-([0-9]+))?")


class Request:
    """Ids for a queue.

    Args:
        queue: The queue's name.
        runs: Runs of ids.

    Attributes:
        queue: The queue's name.
        count: How many ids.
    """

    def __init__(self, queue: str, runs: Sequence[range]) -> None:
        self.queue = queue
        self.count = sum(map(len, runs))
        self._runs = runs

    def send(self, queues: MemoryQueues) -> None:
        """Put the ids into the queue."""
        queues.publish(self.queue, (b"%d" % id for run in self._runs for id in run))


def known_queues(system_map: FileSystemMap) -> dict[str, str]:
    """Return the queue that each name stands for: names of services, then of queues."""
    services = {name: system_map.service(name) for name in system_map.service_names}
    known = {name: settings.inbound for name, settings in services.items()}
    for settings in services.values():
        known.setdefault(settings.inbound, settings.inbound)
        for queue in (queue for route in settings.routes for queue in route.queues):
            known.setdefault(queue, queue)
    return known


def parse_send(argument: str, queues: Mapping[str, str]) -> Request:
    """Read ``NAME=IDS``.

    Raises:
        UsageError: It is something else, or there is no such name or id.
    """
    name, equals, ids = argument.rpartition("=")
    if not equals:
        raise UsageError(f"{argument!r} names no ids; expected NAME=IDS such as shout=1,2,5-9")
    return Request(_queue(name, queues), parse_ids(ids))


def parse_line(line: str, queues: Mapping[str, str]) -> Request:
    """Read ``NAME ID ID…``.

    Raises:
        UsageError: It is something else, or there is no such name or id.
    """
    name, _, ids = line.strip().partition(" ")
    if not ids:
        raise UsageError(f"{line.strip()!r} names no ids; expected for example: shout 1 2 5-9")
    return Request(_queue(name, queues), parse_ids(ids))


def parse_ids(text: str) -> list[range]:
    """Read ids and runs of ids, such as ``1,2,5-9``, between commas or white space.

    Raises:
        UsageError: One of them is none, or they are too many.
    """
    runs = [_run(part) for part in re.split(r"[\s,]+", text.strip())]
    # Not len(), which does not go up to 2**64.
    if sum(run.stop - run.start for run in runs) > _IDS_MAX:
        raise UsageError(f"{text.strip()!r} are more than {_IDS_MAX:,} ids; send them in parts")
    return runs


def read_lines(
    queues: Mapping[str, str], send: Callable[[Request], None], complain: Callable[[str], None]
) -> None:
    """Read lines ``NAME ID ID…`` from standard input, on a thread of its own, while there are any.

    Args:
        queues: What the names stand for.
        send: Called for every line that is right.
        complain: Called with one line for every line that is wrong.
    """
    _ignore_background_reads()
    try:
        # Not sys.stdin itself: the thread would still hold its lock when the program ends.
        lines = open(  # noqa: SIM115  # read until the program ends
            sys.stdin.fileno(), encoding="utf-8", errors="replace", closefd=False
        )
    except (AttributeError, OSError, ValueError):
        return  # there is no standard input

    def read() -> None:
        try:
            for line in lines:
                if line.strip():
                    _act(line)
        except OSError:
            return  # the terminal is somebody else's, or gone

    def _act(line: str) -> None:
        try:
            send(parse_line(line, queues))
        except UsageError as error:
            complain(str(error))

    threading.Thread(target=read, name="standard-input", daemon=True).start()


def _ignore_background_reads() -> None:
    """Have a read in the background (``… &``) fail instead of suspending the program."""
    import signal

    if hasattr(signal, "SIGTTIN"):
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)


def _queue(name: str, queues: Mapping[str, str]) -> str:
    if name not in queues:
        nearest = difflib.get_close_matches(name, queues, n=1)
        there = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(queues)}"
        raise UsageError(f"there is no service or queue {name!r} in the sys-map; {there}")
    return queues[name]


def _run(part: str) -> range:
    match = _PART.fullmatch(part)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last <= _ID_MAX:
        raise UsageError(
            f"{part!r} is no id; expected a whole number from 0 to {_ID_MAX}, or a run such as 5-9"
        )
    return range(first, last + 1)
