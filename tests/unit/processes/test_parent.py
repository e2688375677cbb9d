"""A parent and its children, as processes: who starts, who dies, who goes last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from servers.ports import wait_for

from slingshot_microservice.processes.parent import Parent

BOUND = 60.0  # seconds after which waiting has failed

PARENT = """
import sys, threading
from slingshot_microservice.observe.logs import configure_logging
from slingshot_microservice.processes.parent import Parent
configure_logging()
child, count, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
parent = Parent(lambda fd: [sys.executable, child, str(fd)], count, memory_limit=limit)
def answer():
    for _ in sys.stdin:
        print(parent.trouble(), flush=True)
threading.Thread(target=answer, daemon=True).start()
sys.exit(parent.run())
"""

# Notes what it goes through in a file named by its process id.
CHILD = """
import os, signal, sys, threading, time
from pathlib import Path
from slingshot_microservice.processes.link import DRAIN, RECYCLING, RUNNING, ChildLink
from slingshot_microservice.signals import StopEvent
notes = Path(f"{os.getpid()}.notes")
def note(what):
    with notes.open("a") as file:
        file.write(what + "\\n")
link = ChildLink(int(sys.argv[1]))
stopped = StopEvent()
trouble = lambda: Path("trouble").read_text() if Path("trouble").exists() else None
link.watch(lambda: (note("parent gone"), stopped.set()), trouble)
def on_signal(number, frame):
    note(signal.Signals(number).name)
    if number == signal.SIGTERM:
        stopped.set()
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, on_signal)
note("started")
"""
RUNS = CHILD + "link.say(RUNNING)\nnote('running')\n"
GOOD = RUNS + "stopped.wait()\n"


class Kit:
    """A parent in a folder, where its children leave their notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str]
        self.log = folder / "log"

    def start(self, child: str, count: int, memory_limit: int = 0) -> None:
        """Start the parent of so many children."""
        program = self.folder / "child.py"
        program.write_text(child)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PARENT, program, str(count), str(memory_limit)],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def trouble(self) -> str:
        """Ask the parent what is wrong."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def notes(self) -> dict[int, list[str]]:
        """Return what each child has noted, by process id."""
        files = self.folder.glob("*.notes")
        return {int(file.stem): file.read_text().splitlines() for file in files}

    def wait_for(self, count: int, last: str) -> list[int]:
        """Wait until so many children or more, dead or alive, have noted this; return their ids."""

        def found() -> list[int]:
            return [pid for pid, notes in self.notes().items() if last in notes]

        wait_for(lambda: len(found()) >= count, BOUND, f"{count} times {last!r} in {self.notes()}")
        return found()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(BOUND)

    def kill(self) -> None:
        """End the parent and all its children, even those that are stopped."""
        self.process.kill()
        for pid in self.notes():
            with suppress(OSError):  # it is gone; another program may have its id
                if str(self.folder) in Path(f"/proc/{pid}/cmdline").read_text():
                    os.kill(pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    kit = Kit(tmp_path)
    yield kit
    kit.kill()
    for pid in kit.notes():
        wait_for(lambda pid=pid: not is_alive(pid), BOUND, f"the end of {pid}")  # type: ignore[misc]


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_the_others_follow_when_the_first_runs(kit: Kit) -> None:
    held = CHILD + "while not Path('go').exists():\n    stopped.wait(0.01)\n"
    kit.start(held + "link.say(RUNNING)\nnote('running')\nstopped.wait()\n", 3)
    (first,) = kit.wait_for(1, "started")
    assert list(kit.notes()) == [first]
    (kit.folder / "go").touch()
    kit.wait_for(3, "running")
    assert kit.end() == 0
    assert len(kit.wait_for(3, "SIGTERM")) == len(kit.notes()) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_and_the_parent_goes_last(kit: Kit, number: int) -> None:
    kit.start(RUNS + "stopped.wait()\nwhile not Path('go').exists(): pass\n", 2)
    pids = kit.wait_for(2, "running")
    kit.process.send_signal(number)
    kit.wait_for(2, "SIGTERM")
    assert kit.process.poll() is None
    assert all(map(is_alive, pids))
    (kit.folder / "go").touch()
    assert kit.process.wait(BOUND) == 0
    assert not any(map(is_alive, pids))
    assert all(notes.count("SIGTERM") == 1 for notes in kit.notes().values()), "told once"


def test_a_second_signal_is_passed_on_too(kit: Kit) -> None:
    kit.start(
        RUNS + "stopped.wait()\nsignal.signal(signal.SIGTERM, signal.SIG_DFL)\nnote('draining')\n"
        "threading.Event().wait()\n",
        2,
    )
    kit.wait_for(2, "running")
    kit.process.send_signal(signal.SIGTERM)
    kit.wait_for(2, "draining")
    assert kit.end() == 1, "they did not stop in good order"


def test_one_that_dies_is_started_again(kit: Kit) -> None:
    kit.start(GOOD, 2)
    victim, other = kit.wait_for(2, "running")
    os.kill(victim, signal.SIGKILL)
    kit.wait_for(3, "running")
    assert is_alive(other)
    assert kit.end() == 0
    log = kit.log.read_text()
    assert "was ended by SIGKILL; starting it again in 0." in log


def test_one_that_keeps_dying_is_started_ever_more_rarely(kit: Kit) -> None:
    dies = "if len(list(Path('.').glob('*.notes'))) < 5:\n    sys.exit(7)\n"
    kit.start(RUNS + dies + "stopped.wait()\n", 1)  # the fifth is still there at the end
    wait_for(lambda: kit.log.read_text().count("has ended with exit code 7") == 4, BOUND)
    assert kit.end() == 0
    lines = [line for line in kit.log.read_text().splitlines() if "starting it again in" in line]
    pauses = [float(line.split()[-2]) for line in lines]
    assert 0.2 <= pauses[0] <= 0.5
    assert 2.0 <= pauses[3] <= 4.0


def test_a_program_that_cannot_be_started_is_said_once(kit: Kit) -> None:
    kit.start(CHILD + "sys.exit(4)\n", 3)
    assert kit.process.wait(BOUND) == 4
    assert len(kit.notes()) == 1


def test_what_ran_once_is_worth_another_try(kit: Kit) -> None:
    kit.start(
        CHILD + "if len(list(Path('.').glob('*.notes'))) > 1:\n    sys.exit(4)\n"
        "link.say(RUNNING)\nnote('running')\nstopped.wait()\n",
        1,
    )
    (victim,) = kit.wait_for(1, "running")
    os.kill(victim, signal.SIGKILL)
    kit.wait_for(3, "started")
    assert kit.process.poll() is None, "the configuration service may be back the next time"
    assert kit.end() == 0


@pytest.mark.parametrize("end", ["sys.exit(4)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_one_stopped_while_it_starts_had_nothing_in_hand(kit: Kit, end: str) -> None:
    kit.start(CHILD + f"stopped.wait()\n{end}\n", 1)
    kit.wait_for(1, "started")
    assert kit.end() == 0


def test_no_others_follow_when_the_first_runs_only_in_the_stop(kit: Kit) -> None:
    kit.start(CHILD + "stopped.wait()\nlink.say(RUNNING)\nnote('running')\n", 3)
    kit.wait_for(1, "started")
    assert kit.end() == 0
    assert kit.wait_for(1, "running")
    assert len(kit.notes()) == 1


def test_one_that_makes_room_when_all_stop_is_told_once(kit: Kit) -> None:
    kit.start(
        CHILD + "memory = b'x' * (200 << 20)\n" + "link.say(RUNNING)\nstopped.wait()\n"
        "note('draining')\nwhile not Path('go').exists():\n    time.sleep(0.01)\n",
        1,
        100 << 20,
    )
    (pid,) = kit.wait_for(1, "draining")
    kit.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "stopping 1 processes" in kit.log.read_text(), BOUND)
    kit.process.send_signal(signal.SIGUSR1)  # passed on in the order in which they come
    kit.wait_for(1, "SIGUSR1")
    (kit.folder / "go").touch()
    assert kit.process.wait(BOUND) == 0
    assert kit.notes()[pid].count("SIGTERM") == 1


def test_one_that_fails_while_it_stops_is_told_of(kit: Kit) -> None:
    kit.start(RUNS + "stopped.wait()\nsys.exit(4)\n", 2)
    kit.wait_for(2, "running")
    assert kit.end() == 1


def test_a_parent_that_is_killed_takes_its_children_along(kit: Kit) -> None:
    kit.start(GOOD, 2)
    pids = kit.wait_for(2, "running")
    kit.process.kill()
    kit.wait_for(2, "parent gone")
    for pid in pids:
        wait_for(lambda pid=pid: not is_alive(pid), BOUND, f"the end of {pid}")  # type: ignore[misc]


def test_one_that_has_done_its_share_makes_room_at_once(kit: Kit) -> None:
    kit.start(
        RUNS + "if len(list(Path('.').glob('*.notes'))) == 1:\n    link.say(RECYCLING)\n"
        "    sys.exit(0)\nstopped.wait()\n",
        1,
    )
    kit.wait_for(2, "running")
    assert kit.end() == 0
    log = kit.log.read_text()
    assert "make room" in log
    assert "starting it again" not in log


def test_one_that_uses_too_much_memory_makes_room(kit: Kit) -> None:
    greedy = "memory = b'x' * (200 << 20) if len(list(Path('.').glob('*.notes'))) == 1 else b''\n"
    kit.start(CHILD + greedy + "link.say(RUNNING)\nnote('running')\nstopped.wait()\n", 1, 100 << 20)
    kit.wait_for(2, "running")
    assert kit.end() == 0
    assert "MiB, the limit is 100 MiB" in kit.log.read_text()
    assert kit.wait_for(2, "SIGTERM"), "both were told to stop in good order"


def test_one_that_does_not_stop_is_killed(kit: Kit) -> None:
    # It says that it is gone long before; the parent waits for ten seconds more.
    says = "link.say(DRAIN, -9.5)\nlink.say(RUNNING)\nnote('running')\n"
    kit.start(CHILD + says + "threading.Event().wait()\n", 1)
    kit.wait_for(1, "running")
    assert kit.end() == 1
    assert "does not end, and is killed" in kit.log.read_text()


def test_all_show_their_stacks_when_the_parent_is_asked(kit: Kit) -> None:
    kit.start(GOOD, 2)
    kit.wait_for(2, "running")
    kit.process.send_signal(signal.SIGUSR1)
    kit.wait_for(2, "SIGUSR1")
    assert kit.end() == 0


def test_says_which_of_its_children_takes_no_messages_and_why(kit: Kit) -> None:
    broken, trouble = kit.folder / "broken", kit.folder / "trouble"
    breaks = "if Path('broken').exists():\n    sys.exit(7)\n"
    kit.start(CHILD + breaks + "link.say(RUNNING)\nnote('running')\nstopped.wait()\n", 2)
    pids = kit.wait_for(2, "running")
    wait_for(lambda: kit.trouble() == "None", BOUND)
    trouble.write_text("paused: the database\nis away")
    wait_for(lambda: kit.trouble() == "process 1 of 2: paused: the database is away", BOUND)
    trouble.write_text("")
    wait_for(lambda: kit.trouble() == "None", BOUND)
    os.kill(pids[0], signal.SIGSTOP)
    wait_for(lambda: kit.trouble().endswith(" of 2 does not answer"), BOUND)
    broken.touch()  # so that it keeps ending, and is away for longer each time
    os.kill(pids[0], signal.SIGKILL)
    wait_for(lambda: kit.trouble().endswith(" of 2 is not running"), BOUND)
    broken.unlink()
    wait_for(lambda: kit.trouble() == "None", BOUND)
    assert kit.end() == 0


def test_a_death_that_is_seen_before_the_end_of_its_link_is_heard() -> None:
    parent = Parent(lambda _descriptor: [sys.executable, "-c", ""], 1)
    (child,) = parent._children
    for _ in range(3):  # the descriptor of the next link has the same number
        parent._start(child)
        assert child.pid is not None
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        parent._look()
        assert child.pid is None
    assert not parent._selector.get_map()
    parent._selector.close()
