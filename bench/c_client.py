"""Compiles the C client, where there is what it needs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

__all__ = ["compile_c_client"]

_SOURCE = Path(__file__).with_name("relay.c")
_INSTALL = "on Debian and Ubuntu: apt-get install gcc librabbitmq-dev"


def compile_c_client(folder: Path) -> Path | str:
    """Compile the C client into ``folder``; return the program, or why there is none."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        return f"there is no compiler {compiler[0]} ({_INSTALL})"
    program = folder / "relay"
    result = subprocess.run(
        [*compiler, "-O2", "-o", program, _SOURCE, "-lrabbitmq"],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        complaint = next((line for line in result.stderr.splitlines() if "error" in line), "")
        return f"relay.c does not compile: {complaint.strip()} ({_INSTALL})"
    return program
