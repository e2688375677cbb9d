"""The command line on a terminal, as a person sees it."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from .command_line import PROGRAM
from .ports import wait_for

__all__ = ["TerminalCommand"]

_BOUND_SECONDS = 90.0


class TerminalCommand:
    """A run of the command line on a terminal of its own.

    Args:
        arguments: What follows the program's name.
        folder: The current folder of the run.

    Attributes:
        screen: All that was written to the terminal so far.
    """

    def __init__(self, *arguments: object, folder: Path) -> None:
        self.screen = ""
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, part: str) -> None:
        """Return when ``part`` has been written."""
        wait_for(lambda: part in self.screen, _BOUND_SECONDS, f"{part!r} on the terminal")

    def enter(self, line: str) -> None:
        """Type a line."""
        os.write(self._master, f"{line}\n".encode())

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        exit_code = self._process.wait(_BOUND_SECONDS)
        self._thread.join(_BOUND_SECONDS)
        return exit_code

    def __enter__(self) -> TerminalCommand:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 4096)
            except OSError:
                return  # nobody has the terminal open any more
            self.screen += data.decode(errors="replace")
