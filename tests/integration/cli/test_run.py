"""``run``: a service in several processes on real servers."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.command_line import PROGRAM
from servers.ports import wait_for
from servers.processes import ServerProcess
from servers.world import World

BOUND = 90.0  # seconds after which waiting has failed; several starts may be waited for

SERVICE = """
import os, threading, time
from slingshot_microservice import Microservice

def process(request, read_file, write_file, connection):
    with open("runs", "a") as runs:
        runs.write(f"{{os.getpid()}} {{threading.current_thread().name}} {{request}}\\n")
    time.sleep({seconds})
    yield request, True

service = Microservice({name!r}, {url!r}, process, drain_timeout=20)
"""


class Run:
    """The command on a service between two queues."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.inbound, self.outbound = world.queue("in"), world.queue("out")
        for queue in (self.inbound, self.outbound):
            world.rabbitmq.declare(queue)
        world.describe("svc", self.inbound, [(True, [self.outbound])])
        self.log = folder / "log"
        self.process: ServerProcess

    def start(self, *arguments: object, seconds: float = 0.0, name: str = "svc") -> None:
        """Start it; ``process`` takes so long."""
        text = SERVICE.format(seconds=seconds, url=self.world.sys_map.url, name=name)
        (self.folder / "svc.py").write_text(text)
        program = ["sh", "-c", f'cd "{self.folder}" && exec "$@"', "sh", *PROGRAM, "run"]
        self.process = ServerProcess(
            [*program, "svc.py", *map(str, arguments)], self.log, environment=self.world.environment
        )

    def runs(self) -> list[tuple[int, str, int]]:
        """Return process, thread and id of every run."""
        path = self.folder / "runs"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(pid), thread, int(id)) for pid, thread, id in map(str.split, lines)]

    def send(self, count: int) -> None:
        self.world.rabbitmq.publish(self.inbound, [b"%d" % id for id in range(count)])

    def outputs(self, count: int) -> list[int]:
        return sorted(map(int, self.world.rabbitmq.drain(self.outbound, count, BOUND)))

    def wait_for_consumers(self, count: int) -> None:
        consumers = self.world.rabbitmq.consumers
        wait_for(lambda: consumers(self.inbound) == count, BOUND, f"{count} consumers")


@pytest.fixture
def run(world: World, tmp_path: Path) -> Iterator[Run]:
    run = Run(world, tmp_path)
    yield run
    run.process.kill()


def test_processes_and_threads_share_the_queue(run: Run) -> None:
    run.start("--processes", 2, "--threads", 3, seconds=0.01)
    run.wait_for_consumers(2)
    run.send(300)
    assert run.outputs(300) == list(range(300))
    pids = {pid for pid, _, _ in run.runs()}
    assert len(pids) == 2
    assert run.process.pid not in pids, "the parent has other things to do"
    assert {thread for _, thread, _ in run.runs()} == {"svc-1", "svc-2", "svc-3"}
    run.process.end()
    assert run.process.exit_code == 0


def test_one_process_needs_no_parent(run: Run) -> None:
    run.start()
    run.send(3)
    assert run.outputs(3) == [0, 1, 2]
    assert {pid for pid, _, _ in run.runs()} == {run.process.pid}
    run.process.end()
    assert run.process.exit_code == 0


def test_the_parent_holds_no_connection(run: Run) -> None:
    run.start("--processes", 2)
    run.wait_for_consumers(2)
    descriptors = Path(f"/proc/{run.process.pid}/fd").iterdir()
    sockets = {os.readlink(it)[8:-1] for it in descriptors if "socket:" in os.readlink(it)}
    tcp = Path(f"/proc/{run.process.pid}/net/tcp").read_text().splitlines()[1:]
    assert not sockets & {line.split()[9] for line in tcp}


def test_a_process_that_is_killed_loses_nothing_and_is_replaced(run: Run) -> None:
    run.start("--processes", 2, seconds=0.002)
    run.wait_for_consumers(2)
    run.send(2_000)
    wait_for(lambda: len({pid for pid, _, _ in run.runs()}) == 2, BOUND)
    victim = run.runs()[0][0]
    os.kill(victim, signal.SIGKILL)
    wanted = set(range(2_000))
    while wanted:
        wanted -= set(run.outputs(max(1, run.world.rabbitmq.depth(run.outbound))))
    run.wait_for_consumers(2)
    assert run.process.running
    run.process.end()
    assert run.process.exit_code == 0


def test_a_stop_repeats_nothing(run: Run) -> None:
    run.start("--processes", 2, "--threads", 2, "--prefetch", 50, seconds=0.05)
    run.wait_for_consumers(2)
    run.send(400)
    wait_for(lambda: len(run.runs()) > 20, BOUND)
    run.process.end()
    assert run.process.exit_code == 0
    ids = [id for _, _, id in run.runs()]
    assert len(ids) == len(set(ids))
    assert run.outputs(len(ids)) == sorted(ids)
    assert run.world.rabbitmq.depth(run.inbound) == 400 - len(ids)


def test_processes_make_room_for_new_ones_after_so_many_requests(run: Run) -> None:
    # A run is long enough for a process to hear that it is to end before it has done the rest.
    run.start("--max-requests", 50, "--prefetch", 10, seconds=0.02)
    run.send(220)
    assert run.outputs(220) == list(range(220))
    counts = Counter(pid for pid, _, _ in run.runs())
    *full, _last = [counts[pid] for pid in dict.fromkeys(pid for pid, _, _ in run.runs())]
    assert len(full) >= 2
    assert all(count >= 50 for count in full), "what had begun by then is finished"
    assert "make room" in run.log.read_text()
    assert "starting it again" not in run.log.read_text()
    run.process.end()
    assert run.process.exit_code == 0


def test_a_parent_that_is_killed_leaves_no_consumer_behind(run: Run) -> None:
    run.start("--processes", 2)
    run.wait_for_consumers(2)
    os.kill(run.process.pid, signal.SIGKILL)
    run.wait_for_consumers(0)


def test_what_cannot_be_started_is_said_once(run: Run) -> None:
    run.start("--processes", 3, name="nobody")
    wait_for(lambda: not run.process.running, BOUND)
    assert run.process.exit_code == 4
    assert run.log.read_text().count("slingshot-microservice: error: ") == 1
