"""What ``dead list``, ``show``, ``replay`` and ``drop`` do."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from ..errors import BrokerError, SlingshotError, UsageError
from ..parked.message import ParkedMessage
from ..parked.queue import ParkedQueue
from ..parked.walk import ParkedWalk
from ..signals import StopEvent, stop_on_signals
from .dead_output import JsonLines, Rows, progress, show
from .dead_queue import parked_queue
from .dead_selection import Selection

__all__ = ["ACTIONS"]

_INTERRUPTED = 130  # what shells use for Ctrl-C


def _list(arguments: argparse.Namespace) -> int:
    parked, selection = _parked(arguments), _selection(arguments)
    stop, shown = StopEvent(), 0
    printer = JsonLines() if arguments.json else Rows()
    try:
        with stop_on_signals(stop), parked, parked.walk() as walk:
            for message in selection.pick(walk, stop):
                printer.add(message)
                shown += 1
        printer.flush()
        if not arguments.json:
            _say(_share("listed", shown, walk.count, parked))
    except BrokenPipeError:
        _silence_output()  # whoever reads has seen enough, as in `dead list | head`
    return _exit_code(stop)


def _show(arguments: argparse.Namespace) -> int:
    parked, (id, position) = _parked(arguments), arguments.which
    stop, found = StopEvent(), 0
    with stop_on_signals(stop), parked, parked.walk() as walk:
        for message in Selection(limit=position).pick(walk, stop):
            if message.position == position or (position is None and message.id == id):
                show(message, parked.name)
                found += 1
    if not found and not stop.is_set():
        noun = f"message of id {id}" if position is None else f"message @{position}"
        raise SlingshotError(f"there is no {noun} among the {walk.count:,} in {parked.name!r}")
    return _exit_code(stop)


def _replay(arguments: argparse.Namespace) -> int:
    parked, selection = _parked(arguments), _selection(arguments)
    if arguments.dry_run:
        return _dry_run(parked, selection, f"would be replayed to {parked.inbound!r}")
    return _carry_out(parked, selection, ParkedWalk.replay, "replayed")


def _drop(arguments: argparse.Namespace) -> int:
    asks = not (arguments.yes or arguments.dry_run)
    if asks and not sys.stdin.isatty():
        raise UsageError("what is dropped is gone, and there is nobody here to ask: give --yes")
    parked, selection = _parked(arguments), _selection(arguments)
    if arguments.dry_run:
        return _dry_run(parked, selection, "would be dropped")
    if asks:
        tally = _tally(parked, selection)
        if not tally.meant or not _is_agreed(tally, parked):
            _say(_share("dropped", 0, tally.total, parked))
            return _exit_code(tally.stop)
        # What has been parked while the question was open is not what was agreed to.
        selection = replace(selection, limit=tally.meant)
    return _carry_out(parked, selection, ParkedWalk.remove, "dropped")


ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "replay": _replay,
    "drop": _drop,
}
"""What each action does; it returns what to exit with."""


class _Tally(NamedTuple):
    """How many messages are meant.

    Attributes:
        reasons: How many of them for each reason.
        total: How many messages there are.
        stop: Set if the count was broken off.
    """

    reasons: Counter[str]
    total: int
    stop: StopEvent

    @property
    def meant(self) -> int:
        """How many messages are meant."""
        return sum(self.reasons.values())


def _carry_out(
    parked: ParkedQueue,
    selection: Selection,
    act: Callable[[ParkedWalk, ParkedMessage], None],
    done: str,
) -> int:
    """Do something with each message that is meant, and say with how many it was done."""
    stop, walk = StopEvent(), None
    try:
        with (
            stop_on_signals(stop),
            parked,
            parked.walk() as walk,
            progress(done, walk.count) as passed,
        ):
            for message in selection.pick(walk, stop, passed):
                act(walk, message)
    except BrokerError as error:
        if walk is None:
            raise
        before = f"{walk.taken_out:,} messages were {done} before; all others stay parked"
        raise type(error)(f"{error}; {before}") from error
    _say(_share(done, walk.taken_out, walk.count, parked))
    return _exit_code(stop)


def _dry_run(parked: ParkedQueue, selection: Selection, what: str) -> int:
    tally = _tally(parked, selection)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(tally.reasons.items()))
    line = _share(what, tally.meant, tally.total, parked)
    _say(f"{line}: {reasons}" if reasons else line)
    return _exit_code(tally.stop)


def _tally(parked: ParkedQueue, selection: Selection) -> _Tally:
    stop = StopEvent()
    with (
        stop_on_signals(stop),
        parked,
        parked.walk() as walk,
        progress("counted", walk.count) as passed,
    ):
        reasons = Counter(m.reason for m in selection.pick(walk, stop, passed))
    return _Tally(reasons, walk.count, stop)


def _is_agreed(tally: _Tally, parked: ParkedQueue) -> bool:
    sys.stderr.write(
        f"Drop {tally.meant:,} of the {tally.total:,} messages parked in {parked.name!r}, for "
        "good? [y/N] "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _parked(arguments: argparse.Namespace) -> ParkedQueue:
    """Return the queue that is meant; nothing is connected yet."""
    # pika logs what it raises as well, with its stack; we say the same in one line.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the terminal cannot show
    return parked_queue(arguments.service, arguments.config)


def _selection(arguments: argparse.Namespace) -> Selection:
    return Selection(arguments.reason, frozenset(arguments.ids), arguments.limit)


def _share(done: str, count: int, total: int, parked: ParkedQueue) -> str:
    if not total:
        return f"nothing is parked in {parked.name!r}"
    return f"{count:,} of {total:,} messages parked in {parked.name!r} {done}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _silence_output() -> None:
    """Let nothing be written any more, at the end of the program neither."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _exit_code(stop: StopEvent) -> int:
    return _INTERRUPTED if stop.is_set() else 0
