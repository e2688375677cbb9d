"""What this program is called, and how it says what went wrong."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import SlingshotError

__all__ = ["PROGRAM", "command_line", "port_number", "print_error"]

PROGRAM = "slingshot-microservice"


def command_line(arguments: Iterable[object]) -> str:
    """Return a command of this program, to be pasted into a shell."""
    found = shutil.which(PROGRAM)
    here = Path(sys.executable).parent / PROGRAM
    if found is not None and Path(found).absolute() == here:
        program = [PROGRAM]
    else:  # not on PATH, or that of another environment
        program = [sys.executable, "-m", "slingshot_microservice"]
    return shlex.join([*program, *map(str, arguments)])


def print_error(error: SlingshotError) -> None:
    """Write an error to standard error, in one line."""
    message = " ".join(str(error).split())
    sys.stderr.write(f"{PROGRAM}: error: {message}\n")


def port_number(text: str) -> int:
    """Read a TCP port, for `argparse`.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    if text.isascii() and text.isdigit() and int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; expected a number from 0 to 65535")
