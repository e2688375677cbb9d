"""One child process, as its parent sees it."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..backoff import pauses
from .link import DRAIN, RECYCLING, RUNNING, TROUBLE, ParentLink

__all__ = ["Child", "resident_bytes"]

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_SOUND_SECONDS = 60.0  # after which a death is taken for the first one
_DRAIN_SECONDS = 25.0  # until the child says what it is
_END_SECONDS = 10.0  # more, for letting go of everything


class Child:
    """A child, started again whenever it has ended.

    Args:
        name: What the log calls it.
        command: Makes the command line, given the descriptor of the child's end of its link.
        on_running: Called when it takes messages.

    Attributes:
        has_run: Whether it has taken messages since it was started last.
        due: When to start it, on the monotonic clock; None while it runs or is not to run.
        link: Where it is heard; None while it does not run.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        on_running: Callable[[], None],
    ) -> None:
        self._name = name
        self._command = command
        self._on_running = on_running
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._drain = _DRAIN_SECONDS
        self._recycled = False
        self._pauses = _new_pauses()
        self._deadline: float | None = None
        self._answered = threading.Event()
        self._trouble = ""
        self.has_run = False
        self.due: float | None = None
        self.link: ParentLink | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def deadline(self) -> float | None:
        """When it has to be gone, on the monotonic clock, if it was told to stop."""
        return self._deadline

    def start(self) -> None:
        """Start it."""
        ours, theirs = socket.socketpair()
        descriptor = theirs.fileno()
        self.link = ParentLink(ours, self._hear)
        self.due = self._deadline = None
        self.has_run = self._recycled = False
        with theirs:
            # A session of its own: Ctrl-C in a terminal is for the parent to pass on, once.
            self._process = subprocess.Popen(
                self._command(descriptor),
                pass_fds=(descriptor,),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._started = time.monotonic()
        _log.info("%s is started (process %d)", self._name, self._process.pid)

    def poll(self) -> int | None:
        """Return the exit code, once, if it has ended since; negative for the signal it died of."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is not None:
            self._process = None
            self._answered.set()  # whoever waits need not wait any longer
            if self.link is not None:
                self.link.read()  # what it said last
                self.link.close()
                self.link = None
        return code

    def plan_restart(self, code: int) -> None:
        """Say when it is to be started again after it has ended with ``code``."""
        now = time.monotonic()
        if self._recycled:
            _log.info("%s has ended to make room for a new process", self._name)
            self.due = now
            return
        if now - self._started > _SOUND_SECONDS:
            self._pauses = _new_pauses()
        pause = next(self._pauses)
        _log.error("%s %s; starting it again in %.1f s", self._name, describe_end(code), pause)
        self.due = now + pause

    def recycle(self, reason: str) -> None:
        """Let it end in good order, and a new process take its place."""
        if not self._recycled:
            _log.info("%s is to make room for a new process: %s", self._name, reason)
            self._recycled = True
            self.stop()

    def stop(self) -> None:
        """Tell it to stop in good order, unless it was told already: twice would mean at once."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._drain + _END_SECONDS
            self.signal(signal.SIGTERM)

    def insist(self) -> None:
        """Tell it to stop, and if it was told already, at once."""
        if self._deadline is None:
            self.stop()
        else:
            self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it by force: it was told to stop, and has not."""
        _log.critical("%s does not end, and is killed", self._name)
        self._deadline = None
        self.signal(signal.SIGKILL)

    def ask(self) -> None:
        """Ask it why it takes no messages, on any thread; `answer` has what it says."""
        self._answered.clear()
        link = self.link
        if link is not None:
            link.ask()

    def answer(self, seconds: float) -> str | None:
        """Return why it takes no messages, in one line; None if it does."""
        answered = self.pid is not None and self._answered.wait(seconds)
        if self.pid is None:
            return f"{self._name} is not running"
        if not answered:
            return f"{self._name} does not answer"
        return f"{self._name}: {self._trouble}" if self._trouble else None

    def signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def _hear(self, word: str, value: str) -> None:
        if word == DRAIN:
            self._drain = float(value)
        elif word == TROUBLE:
            self._trouble = value
            self._answered.set()
        elif word == RECYCLING:
            self._recycled = True
        elif word == RUNNING:
            self.has_run = True
            self._on_running()


def resident_bytes(pid: int) -> int:
    """Return the memory that a process has in use, in bytes; 0 where Linux does not say."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def describe_end(code: int) -> str:
    """Say what a process ended with."""
    if code >= 0:
        return f"has ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}"


def _new_pauses() -> Iterator[float]:
    return pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
