"""SIGTERM and SIGINT end a program of one service, well the first time and at once the second."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BOUND = 30.0  # seconds after which waiting has failed

SYS_MAP = """
rabbitmq = "memory"
object-storage = { directory = "objects" }
db = { sqlite = "rows.sqlite" }
[services.shout]
in = "own"
out = [ { case = true, queues = ["own"] } ]
buckets = { out = "reports" }
"""

PROGRAM = """
import os
from slingshot_microservice import Microservice

def startup(read_file, write_file, connection):
    yield 7, True

def process(request, read_file, write_file, connection):
    print("begun", flush=True)
    os.read(0, 1)  # until the test says so
    write_file("out", request).write("done")

Microservice("shout", "sys-map.toml", startup, process).start()
print("stopped", flush=True)
"""

Process = subprocess.Popen[str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts the program, and returns when it processes a request."""
    (tmp_path / "sys-map.toml").write_text(SYS_MAP)
    (tmp_path / "service.py").write_text(PROGRAM)
    started: list[Process] = []

    def start_one() -> Process:
        process = subprocess.Popen(
            [sys.executable, "service.py"],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def wait_for_log(process: Process, part: str) -> None:
    """Read its log up to a line with ``part``; the log ends if there is none."""
    assert process.stderr
    assert any(part in line for line in process.stderr), f"no line with {part!r}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_finish_and_exit_well(
    start: Callable[[], Process], tmp_path: Path, number: signal.Signals
) -> None:
    process = start()
    process.send_signal(number)
    wait_for_log(process, "service 'shout' stops")
    output, log = process.communicate("\n", BOUND)
    assert (process.returncode, output) == (0, "stopped\n")
    assert "Traceback" not in log
    assert (tmp_path / "objects" / "reports" / "7").read_text() == "done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_one_that_hangs(
    start: Callable[[], Process], tmp_path: Path, number: signal.Signals
) -> None:
    process = start()
    process.send_signal(number)
    wait_for_log(process, "service 'shout' stops")
    process.send_signal(number)
    assert process.wait(BOUND) == -number
    assert not (tmp_path / "objects").exists()
