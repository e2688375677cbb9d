"""The parent of several processes: starts them, starts the dead again, and goes last."""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from .child import Child, resident_bytes
from .link import ParentLink

__all__ = ["Parent"]

_log = logging.getLogger(__name__)

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_PASSED_ON = (signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()
_HEARD = (*_STOPPING, *_PASSED_ON, *((signal.SIGCHLD,) if hasattr(signal, "SIGCHLD") else ()))
_MISTAKES = range(2, 6)  # exit codes of what a start ends with that cannot succeed; see errors.py
_ANSWER_SECONDS = 1.0  # for all children
_MIB = 1024 * 1024
_MEMORY_SECONDS = 2.0  # between two looks at what memory the children use


class Parent:
    """Runs several processes of one program until it is told to stop.

    The first one is started alone: what is wrong with the program is then said once. When it takes
    messages the others follow. One that ends is started again, after a pause that grows from half a
    second to half a minute while it keeps ending soon.

    SIGTERM and SIGINT stop the children in good order, a second one at once; SIGUSR1 is passed on.
    Nothing is looked up from time to time but memory, and that only if it is limited.

    Args:
        command: Makes a child's command line, given the descriptor of its end of the link.
        processes: How many, at least one.
        memory_limit: Bytes above which a child makes room for a new one; 0 for no limit.
    """

    def __init__(
        self, command: Callable[[int], Sequence[str]], processes: int, *, memory_limit: int = 0
    ) -> None:
        self._children = [
            Child(f"process {number} of {processes}", command, self._on_running)
            for number in range(1, processes + 1)
        ]
        self._memory_limit = memory_limit
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._have_run = False
        self._exit_code = 0
        self._asking = threading.Lock()

    def run(self) -> int:
        """Run until all children have ended after a stop; only on the main thread.

        Returns:
            What to exit with: 0 if every child that took messages has stopped in good order, 1 if
            one has not, and the first child's own exit code if the program cannot be started.
        """
        with self._signals() as wake:
            self._selector.register(wake, selectors.EVENT_READ)
            self._start(self._children[0])
            while not (self._stopping and all(child.pid is None for child in self._children)):
                ready = self._selector.select(self._patience())
                for key, _ in ready:
                    if key.fileobj is wake:
                        self._on_signals(wake.recv(4_096))
                    elif not key.data.read():
                        self._selector.unregister(key.fileobj)
                self._look()
        self._selector.close()
        return self._exit_code

    def trouble(self) -> str | None:
        """Say in one line which child takes no messages, and why; None when all do.

        Any thread may ask, while `run` runs; it takes a second at most.
        """
        if self._stopping:
            return "stopping"
        with self._asking:
            for child in self._children:
                child.ask()
            deadline = time.monotonic() + _ANSWER_SECONDS
            troubles = [
                child.answer(max(0.0, deadline - time.monotonic())) for child in self._children
            ]
        return next((trouble for trouble in troubles if trouble is not None), None)

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Have signals written to a socket, as bytes."""
        wake, write_end = socket.socketpair()
        write_end.setblocking(False)
        before = {number: signal.signal(number, _ignore) for number in _HEARD}
        descriptor = signal.set_wakeup_fd(write_end.fileno(), warn_on_full_buffer=False)
        try:
            yield wake
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)
            wake.close()
            write_end.close()

    def _patience(self) -> float | None:
        """Return how many seconds may pass until something is to be done."""
        times = [child.due for child in self._children if child.due is not None]
        times += [child.deadline for child in self._children if child.deadline is not None]
        if self._memory_limit:
            times.append(time.monotonic() + _MEMORY_SECONDS)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number in _PASSED_ON:
                for child in self._children:
                    child.signal(number)
            elif number in _STOPPING:
                self._stop()

    def _stop(self) -> None:
        again, self._stopping = self._stopping, True
        if not again:
            _log.info(
                "stopping %d processes", sum(child.pid is not None for child in self._children)
            )
        for child in self._children:
            child.due = None
            if again:
                child.insist()
            else:
                child.stop()

    def _look(self) -> None:
        now = time.monotonic()
        for child in self._children:
            link = child.link
            code = child.poll()
            if code is not None:
                self._forget(link)
                self._on_end(child, code)
            if child.due is not None and child.due <= now:
                self._start(child)
            if child.deadline is not None and child.deadline <= now and child.pid is not None:
                child.kill()
            if self._memory_limit and not self._stopping and child.pid is not None:
                self._check_memory(child, child.pid)

    def _start(self, child: Child) -> None:
        child.start()
        assert child.link is not None
        self._selector.register(child.link, selectors.EVENT_READ, child.link)

    def _forget(self, link: ParentLink | None) -> None:
        """Listen no more to a child that has ended, whether or not the end of its link was heard.

        The next one's descriptor may have the same number.
        """
        if link is not None:
            with suppress(KeyError, ValueError):  # it was heard
                self._selector.unregister(link)

    def _on_running(self) -> None:
        if not self._have_run:
            self._have_run = True
            if self._stopping:  # it was told to before it could say so
                return
            now = time.monotonic()
            for child in self._children[1:]:
                child.due = now

    def _on_end(self, child: Child, code: int) -> None:
        if self._stopping:
            # One that was only about to start had nothing in hand, whatever it ends with.
            if code != 0 and child.has_run:
                self._exit_code = self._exit_code or 1
        elif code in _MISTAKES and not self._have_run:
            self._exit_code = code
            self._stop()
        else:
            child.plan_restart(code)

    def _check_memory(self, child: Child, pid: int) -> None:
        used = resident_bytes(pid)
        if used > self._memory_limit:
            mib = 1024 * 1024
            child.recycle(
                f"it uses {used // mib} MiB, the limit is {self._memory_limit // mib} MiB"
            )


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Let the signal be heard through the socket alone."""
