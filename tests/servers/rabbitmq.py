"""A RabbitMQ node of our own, which tests may stop, kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from .ports import LOOPBACK, free_port, listens, wait_for
from .processes import ServerProcess, ServerUnavailableError, find_program
from .queues import QueueClient

__all__ = ["RabbitMQNode"]

_INSTALL = "install RabbitMQ (on Debian and Ubuntu: apt-get install rabbitmq-server)"
# Before PATH: the programs of the same names there switch to another user.
_FOLDERS = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/sbin")
_USERNAME = "slingshot"
_PASSWORD = "r@bbit/p%ss:w?rd&+"
_START_SECONDS = 90.0
_STOP_SECONDS = 60.0
_CONFIGURATION = """\
loopback_users = none
distribution.listener.interface = 127.0.0.1
default_user = {username}
default_pass = {password}
log.file.level = warning
"""


class RabbitMQNode(QueueClient):
    """A private node: own name, ports, folders, cookie and port mapper, all on loopback.

    Args:
        url: A broker that runs already, to be used instead. It cannot be started or stopped.
        address: The loopback address that a node of our own listens on.
        port: Its TCP port; any that is free by default.
        settings: Further lines of its configuration.
        beside: A private node to share cookie and port mapper with, so that the two can `join`.
            It is started first and closed last.

    Attributes:
        external: Whether the broker ran already.
        paused: Whether the node is between `pause` and `resume`.
        opened: When its port was last seen to open, in Unix seconds.
    """

    def __init__(
        self,
        url: str = "",
        *,
        address: str = LOOPBACK,
        port: int = 0,
        settings: str = "",
        beside: RabbitMQNode | None = None,
    ) -> None:
        self.external = bool(url)
        self.paused = False
        self.opened = 0.0
        if self.external:
            super().__init__(url)
            return
        self._server = find_program("rabbitmq-server", *_FOLDERS, install=_INSTALL)
        self._control = find_program("rabbitmqctl", *_FOLDERS, install=_INSTALL)
        self._epmd = find_program("epmd", install=_INSTALL)
        password = quote(_PASSWORD, safe="")
        super().__init__(f"amqp://{_USERNAME}:{password}@{address}:{port or free_port()}/%2F")
        self._temporary = tempfile.TemporaryDirectory(prefix="slingshot-rabbitmq-")
        self._folder = Path(self._temporary.name)
        self._environment = _environment(self._folder, address, self.port, settings)
        if beside is not None:
            shared = ("HOME", "ERL_EPMD_PORT")
            self._environment |= {name: beside._environment[name] for name in shared}
        self._is_first = beside is None
        self._port_mapper: ServerProcess | None = None
        self._node: ServerProcess | None = None

    @classmethod
    def from_environment(cls) -> RabbitMQNode:
        """Use the broker that ``SLINGSHOT_TEST_AMQP_URL`` names, or a node of our own."""
        return cls(os.environ.get("SLINGSHOT_TEST_AMQP_URL", ""))

    def __enter__(self) -> RabbitMQNode:
        if not self.external:
            self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.external:
            self.close()

    @property
    def name(self) -> str:
        """What the node is called among its kind."""
        self._refuse_external("named")
        return self._environment["RABBITMQ_NODENAME"]

    @property
    def log(self) -> str:
        """What the node has logged so far, from warnings on."""
        self._refuse_external("looked into")
        files = sorted((self._folder / "log").glob("*.log"))
        return "".join(file.read_text(errors="replace") for file in files)

    @property
    def running(self) -> bool:
        """Whether the node has been started and has not ended."""
        return self.external or (self._node is not None and self._node.running)

    def start(self) -> None:
        """Start the node, and return when it lets us log in.

        Raises:
            RuntimeError: It did not come up; the error has the log's tail.
        """
        self._refuse_external("started")
        assert not self.running, "the node runs already"
        if self._port_mapper is None and self._is_first:
            self._port_mapper = self._start_port_mapper()
        self._node = ServerProcess(
            [self._server], self._folder / "node.log", environment=self._environment
        )
        self._node.wait_until(lambda: listens(self.host, self.port), _START_SECONDS)
        self.opened = time.time()
        self._node.wait_until(self.answers, _START_SECONDS)

    def stop(self) -> None:
        """Shut the node down in good order."""
        self._refuse_external("stopped")
        if self._node is not None:
            self._node.end(timeout=_STOP_SECONDS)

    def kill(self) -> None:
        """End the node at once, as a power cut would."""
        self._refuse_external("killed")
        if self._node is not None:
            self._node.kill()
            self.paused = False

    def pause(self) -> None:
        """Let the node do nothing at all, as if its wires were cut; `resume` ends it."""
        self._refuse_external("paused")
        assert self._node is not None
        self._node.signal_all(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Let the node go on after `pause`."""
        self._refuse_external("resumed")
        assert self._node is not None
        self._node.signal_all(signal.SIGCONT)
        self.paused = False

    def join(self, other: RabbitMQNode) -> None:
        """Make one cluster of this running node, which forgets what it has, and another."""
        self.control("stop_app")
        self.control("join_cluster", other.name)
        self.control("start_app")

    def write_down(self) -> None:
        """Let the node write down which queues there are.

        It does so some time after it has said that it made them; killed before, it forgets them.
        """
        self.control("eval", "mnesia:sync_log().")

    def restart(self) -> None:
        """Shut the node down in good order, and start it again on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End everything, and remove the data."""
        self.kill()
        if self._port_mapper is not None:
            self._port_mapper.kill()
        self._temporary.cleanup()

    def control(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` against this node and return what it prints.

        Raises:
            RuntimeError: It failed; the error has its output.
        """
        self._refuse_external("controlled")
        result = subprocess.run(
            [self._control, "--quiet", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_STOP_SECONDS,
        )
        if result.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)} failed: {result.stdout}")
        return result.stdout

    def holdings(self) -> dict[str, int]:
        """Return how many messages each queue holds, waiting or delivered and not acknowledged."""
        lines = self.control("list_queues", "--no-table-headers", "name", "messages").splitlines()
        pairs = (line.rsplit("\t", 1) for line in lines if "\t" in line)
        return {queue: int(count) for queue, count in pairs}

    def unsettled(self, queue: str) -> int:
        """Return how many messages a queue holds, waiting or delivered and not acknowledged.

        Those that wait beside it for another try are counted, those that are parked are not.
        """
        counts = self.holdings()
        assert queue in counts, f"there is no queue {queue}"
        beside = (f"{queue}.suspect", f"{queue}.retry.")
        return sum(counts[name] for name in counts if name == queue or name.startswith(beside))

    def wait_until_empty(self, queue: str, timeout: float = 30.0) -> None:
        """Wait until a queue holds nothing, unacknowledged messages included.

        Of a broker that is not ours, only the waiting messages can be seen.
        """
        # Asked one by one, because RabbitMQ's listing of quorum queues is some seconds old.
        queues = [queue, *filter(self.exists, self.beside(queue))]
        wait_for(
            lambda: not any(map(self.depth, queues)),
            timeout,
            f"queue {queue} to have nothing waiting",
        )
        if not self.external:
            # Twice: one queue is counted after the other, and a message may move between them.
            wait_for(
                lambda: self.unsettled(queue) == 0 == self.unsettled(queue),
                timeout,
                f"the last ack of queue {queue}",
            )

    def _start_port_mapper(self) -> ServerProcess:
        # Started by the node it would become a daemon, which outlives the tests.
        port = self._environment["ERL_EPMD_PORT"]
        mapper = ServerProcess(
            [self._epmd, "-address", LOOPBACK, "-port", port], self._folder / "epmd.log"
        )
        mapper.wait_until(lambda: listens(LOOPBACK, int(port)))  # or the node starts its own
        return mapper

    def _refuse_external(self, verb: str) -> None:
        if self.external:
            raise ServerUnavailableError(
                f"the broker of SLINGSHOT_TEST_AMQP_URL is not ours and cannot be {verb}; "
                "unset the variable, and a node of our own is used"
            )


def _environment(folder: Path, address: str, port: int, settings: str) -> dict[str, str]:
    """Write the node's configuration into ``folder`` and return its environment."""
    (folder / "plugins").write_text("[].\n")
    (folder / "none.conf").touch()
    (folder / "rabbit.conf").write_text(
        _CONFIGURATION.format(username=_USERNAME, password=_PASSWORD) + settings, encoding="utf-8"
    )
    ours = ("RABBITMQ_", "ERL_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return inherited | {
        "HOME": str(folder),  # where Erlang keeps its cookie
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbit.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_NODENAME": f"slingshot-{port}-{address.rpartition('.')[2]}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": address,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }
