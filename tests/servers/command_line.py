"""The command line as a program of its own, and what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, TypeAlias

__all__ = ["PROGRAM", "Command", "StartCommand"]

_BOUND_SECONDS = 90.0
PROGRAM = (sys.executable, "-m", "slingshot_microservice")
"""What a shell would run, of the environment that the tests run in."""


class Command:
    """A run of the command line.

    Args:
        arguments: What follows the program's name.
        folder: The current folder of the run.

    Attributes:
        output: The lines of standard output so far.
        errors: The lines of standard error so far.
    """

    def __init__(self, *arguments: object, folder: Path) -> None:
        self._process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "SLINGSHOT_LOG_LEVEL": "WARNING"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._changed = threading.Condition()
        self._open_streams = 2
        self.output: list[str] = []
        self.errors: list[str] = []
        assert self._process.stdout
        assert self._process.stderr
        self._threads = [
            self._read(self._process.stdout, self.output),
            self._read(self._process.stderr, self.errors),
        ]

    def enter(self, *lines: str) -> None:
        """Write lines to its standard input."""
        assert self._process.stdin
        self._process.stdin.write("".join(f"{line}\n" for line in lines))
        self._process.stdin.flush()

    def end_input(self) -> None:
        """Close its standard input."""
        assert self._process.stdin
        self._process.stdin.close()

    def wait_for_line(self, part: str) -> str:
        """Return the first line, of either stream, that has ``part`` in it."""

        def found() -> str | None:
            return next((line for line in self.output + self.errors if part in line), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or not self._open_streams, _BOUND_SECONDS)
            line = found()
        assert line is not None, f"no line with {part!r} in {self.output} {self.errors}"
        return line

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        exit_code = self._process.wait(_BOUND_SECONDS)
        for thread in self._threads:
            thread.join(_BOUND_SECONDS)
        return exit_code

    def close(self) -> None:
        """End it if it has not ended, and close the pipes."""
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream
            stream.close()

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, stream: IO[str], lines: list[str]) -> threading.Thread:
        def read() -> None:
            for line in stream:
                with self._changed:
                    lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
            with self._changed:
                self._open_streams -= 1
                self._changed.notify_all()

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread


StartCommand: TypeAlias = Callable[..., Command]
"""Starts a run with these arguments."""
