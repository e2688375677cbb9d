"""Signals: what ends a program of one service, with which exit code, and what only asks it."""

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
import os, sys
from slingshot_microservice import Microservice

def startup(read_file, write_file, connection):
    yield 7, True

def process(request, read_file, write_file, connection):
    print("begun", flush=True)
    os.read(0, 1)  # until the test says so
    write_file("out", request).write("done")

options = {} if len(sys.argv) < 2 else {"drain_timeout": float(sys.argv[1])}
Microservice("shout", "sys-map.toml", startup, process, **options).start()
print("stopped", flush=True)
"""

Process = subprocess.Popen[str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts the program, and returns when it processes a request."""
    (tmp_path / "sys-map.toml").write_text(SYS_MAP)
    (tmp_path / "service.py").write_text(PROGRAM)
    started: list[Process] = []

    def start_one(*arguments: str) -> Process:
        process = subprocess.Popen(
            [sys.executable, "service.py", *arguments],
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


def test_what_does_not_end_in_time_is_an_error(start: Callable[..., Process]) -> None:
    process = start("0.01")
    process.send_signal(signal.SIGTERM)
    process.wait(BOUND)  # with its input open, or the request would end
    output, log = process.communicate()
    assert (process.returncode, output) == (1, "")
    last = log.splitlines()[-1]
    assert last.startswith("slingshot_microservice.errors.DrainTimeoutError: a request of 'shout'")


def test_sigusr1_shows_every_stack_and_disturbs_nothing(start: Callable[..., Process]) -> None:
    process = start()
    process.send_signal(signal.SIGUSR1)
    wait_for_log(process, "in process")
    wait_for_log(process, "Current thread")
    wait_for_log(process, "in start")
    process.send_signal(signal.SIGTERM)
    wait_for_log(process, "service 'shout' stops")
    output, _ = process.communicate("\n", BOUND)
    assert (process.returncode, output) == (0, "stopped\n")
