"""Programs that the tests start, and that end when the tests end, however those end."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .ports import wait_for

__all__ = ["LastWill", "ServerProcess", "ServerUnavailableError", "beside_python", "find_program"]

_LOG_TAIL_LINES = 40

# Asks politely first, because a server that is killed may leave children or shared memory behind.
_END_GROUP = """
kill -s TERM -- "-$1" 2>/dev/null || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -s 0 -- "-$1" 2>/dev/null || exit 0
    sleep 0.25
done
kill -s KILL -- "-$1" 2>/dev/null
"""


class ServerUnavailableError(Exception):
    """A server's program is not on this machine; the error says what to install."""


def find_program(name: str, *folders: str | Path, install: str) -> Path:
    """Return the path of a program.

    Args:
        name: The program's name.
        folders: Where to look before PATH.
        install: What to install when it is nowhere, for the error.

    Raises:
        ServerUnavailableError: There is no such program.
    """
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    found = shutil.which(name, path=path)
    if found is None:
        raise ServerUnavailableError(f"there is no program {name}; {install}")
    return Path(found)


def beside_python() -> Path:
    """Return the folder in which this environment's wheels put their programs."""
    return Path(sys.executable).parent


class LastWill:
    """A shell script that runs when this process ends, be it by SIGKILL.

    A shell waits at the other end of a pipe, and reads its end when we are gone.
    """

    def __init__(
        self, script: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._shell = subprocess.Popen(
            ["sh", "-c", "read -r _\n" + script, "sh", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def revoke(self) -> None:
        """Let the script never run."""
        self._shell.kill()
        self._shell.communicate()


class ServerProcess:
    """A program in a process group of its own, with its output in a log file.

    Args:
        command: The program and its arguments.
        log: The file that its output is appended to.
        environment: Its environment; ours by default.
        user: The name of the user to run as; ours by default. Needs root.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self._name = Path(command[0]).name
        self._log = log
        entry = None if user is None else pwd.getpwnam(user)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                user=entry.pw_uid if entry else None,
                group=entry.pw_gid if entry else None,
                extra_groups=[] if entry else None,
            )
        self._will = LastWill(_END_GROUP, str(self._process.pid))

    @property
    def pid(self) -> int:
        """The process id, which is that of the process group too."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What the program ended with; ``None`` while it runs."""
        return self._process.poll()

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def wait_until(
        self, ready: Callable[[], bool], timeout: float = 60.0, *, lasting: bool = True
    ) -> None:
        """Return as soon as the program is ready; end it when it never is.

        Args:
            ready: Whether it is.
            timeout: Seconds.
            lasting: Whether it must not have ended since.

        Raises:
            RuntimeError: It ended, or took longer; the error has the log's tail.
        """
        is_ready = False

        def decided() -> bool:
            nonlocal is_ready
            ended = not self.running  # looked at first, for it may get ready and then end
            is_ready = ready()
            return is_ready or ended

        try:
            wait_for(decided, timeout, "it to be ready")
        except TimeoutError as error:
            self.kill()
            raise RuntimeError(self._epitaph(str(error))) from None
        except BaseException:
            self.kill()
            raise
        if not self.running and (lasting or not is_ready):
            self.kill()
            raise RuntimeError(self._epitaph(f"it ended with {self._process.returncode}"))

    def end(self, number: signal.Signals = signal.SIGTERM, timeout: float = 30.0) -> None:
        """Ask the program to end, and wait for it; kill it when it takes too long.

        Raises:
            TimeoutError: It had to be killed; the error has the log's tail.
        """
        family = _descendants(self.pid)
        self._process.send_signal(number)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            cause = f"it went on {timeout:g} s after {number.name}"
            raise TimeoutError(self._epitaph(cause)) from None
        finally:
            self._make_sure(family)

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the program and to all below it."""
        for pid in (self.pid, *_descendants(self.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End the program and all below it with SIGKILL, and wait until they are gone."""
        self._make_sure(_descendants(self.pid))

    def _epitaph(self, cause: str) -> str:
        return f"{self._name}: {cause}; its log ends with\n{self.log_tail()}"

    def _make_sure(self, family: Sequence[int]) -> None:
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
        for pid in family:
            _kill(pid)
        self._process.wait()
        wait_for(lambda: not any(map(_alive, family)), what=f"the end of processes {family}")
        self._will.revoke()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    return _state_and_parent(pid)[0] not in ("", "Z", "X")


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return "", 0
    state, parent = stat.rpartition(b")")[2].split()[:2]
    return state.decode(), int(parent)


def _descendants(pid: int) -> list[int]:
    """Return the processes below ``pid``, also those that left its group; Linux only."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        child = int(folder.name)
        children[_state_and_parent(child)[1]].append(child)
    return _below(pid, children)


def _below(pid: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    found: list[int] = []
    for child in children.get(pid, ()):
        found += [child, *_below(child, children)]
    return found
