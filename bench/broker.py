"""The servers, which are the same as those of the tests; and a relay on the broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT / "tests"))

from servers.ports import wait_for  # noqa: E402  # found through the line above
from servers.postgresql import PostgreSQLServer  # noqa: E402
from servers.processes import ServerProcess  # noqa: E402
from servers.rabbitmq import RabbitMQNode  # noqa: E402
from servers.s3 import RcloneServer, S3Server  # noqa: E402

from .contestants import Contestant  # noqa: E402
from .contestants.job import URL_VARIABLE  # noqa: E402

__all__ = [
    "FIRST_ID",
    "PREFETCH",
    "PostgreSQLServer",
    "RabbitMQNode",
    "RcloneServer",
    "Run",
    "S3Server",
    "ServerProcess",
    "environment",
    "relay",
    "start",
    "version",
    "wait_for",
]

FIRST_ID = 100_000_000
PREFETCH = 300
_TRANSACTION = 50_000  # messages
_SETTLED_SECONDS = 10.0
_TIMEOUT_SECONDS = 1_800.0
_INBOUND = "bench-in"
_DRAMATIQ_SUFFIXES = ("", ".DQ", ".XQ")  # it makes queues for delayed and for dead messages, too


@dataclass(frozen=True)
class Run:
    """What one relay gave.

    Attributes:
        messages: How many ids were relayed.
        seconds: From the first message taken to the last output settled.
        cpu: Seconds of CPU time in between, user and system.
        peak: Bytes of the most memory that was in use.
        resident: Bytes in use after so many messages, where the program says so.
        to_first_message: Seconds from ``start()`` to the first message; ours only.
        switches: How often it went to sleep, where the program says so.
        version: What the program says of itself.
    """

    messages: int
    seconds: float
    cpu: float
    peak: int
    resident: dict[int, int]
    to_first_message: float
    switches: int
    version: str

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def microseconds(self) -> float:
        """CPU time of one message."""
        return self.cpu / self.messages * 1e6


def relay(node: RabbitMQNode, contestant: Contestant, count: int, queues: int = 1) -> Run:
    """Let a contestant relay ``count`` ids from one queue to ``queues`` others.

    Raises:
        RuntimeError: It failed, or did not do all of its work; the error has its last words.
    """
    outbound = [f"bench-out-{number}" for number in range(queues)]
    _delete(node, [_INBOUND, *outbound])
    _fill(node, contestant, count, outbound)
    output = _run(node, contestant, count, outbound)
    try:
        _wait_for_depth(node, _INBOUND, 0)
        for queue in outbound:
            _wait_for_depth(node, queue, count)
    except TimeoutError as error:
        raise RuntimeError(f"{contestant.name} did not do all of its work: {error}") from None
    _delete(node, [_INBOUND, *outbound])
    return _read(contestant, output)


def version(node: RabbitMQNode) -> str:
    """Return RabbitMQ's version."""
    return node.control("version").strip()


def environment(node: RabbitMQNode) -> dict[str, str]:
    """Return the variables of a program that is to find the broker."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SLINGSHOT_")}
    return {**ours, URL_VARIABLE: node.url}


def start(
    node: RabbitMQNode, contestant: Contestant, inbound: str, count: int, rest: Sequence[str]
) -> subprocess.Popen[str]:
    """Start a contestant on queues that exist; it ends when it has done its job.

    Args:
        node: The broker.
        contestant: Who.
        inbound: The queue to take ids from.
        count: How many ids.
        rest: The queues to send them to, and what else the program takes.
    """
    return subprocess.Popen(
        [*contestant.command, inbound, str(count), str(PREFETCH), *rest],
        cwd=_ROOT,
        env={**environment(node), **contestant.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _fill(node: RabbitMQNode, contestant: Contestant, count: int, outbound: Sequence[str]) -> None:
    if contestant.fills:
        _run(node, contestant, count, [*outbound, "--fill"])
    else:
        for queue in (_INBOUND, *outbound):
            node.declare(queue)
        for bodies in _bodies(count):
            node.publish(_INBOUND, bodies)
    _wait_for_depth(node, _INBOUND, count)


def _wait_for_depth(node: RabbitMQNode, queue: str, depth: int) -> None:
    what = f"{depth} messages to wait in {queue}"
    wait_for(lambda: node.depth(queue) == depth, _SETTLED_SECONDS, what)


def _bodies(count: int) -> Iterator[list[bytes]]:
    for start in range(0, count, _TRANSACTION):
        stop = min(count, start + _TRANSACTION)
        yield [b"%d" % (FIRST_ID + number) for number in range(start, stop)]


def _run(node: RabbitMQNode, contestant: Contestant, count: int, rest: Sequence[str]) -> str:
    process = start(node, contestant, _INBOUND, count, rest)
    try:
        output, said = process.communicate(timeout=_TIMEOUT_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode:
        last_words = "\n".join(said.splitlines()[-20:])
        raise RuntimeError(f"{contestant.name} ended with {process.returncode}:\n{last_words}")
    return output


def _read(contestant: Contestant, output: str) -> Run:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"{contestant.name} reported nothing; it printed:\n{output}")
    figures: dict[str, Any] = json.loads(lines[-1])
    return Run(
        messages=figures["messages"],
        seconds=figures["seconds"],
        cpu=figures["cpu_user"] + figures["cpu_sys"],
        peak=figures["peak_rss"],
        resident={int(at): size for at, size in figures.get("resident", {}).items()},
        to_first_message=figures.get("to_first_message", 0.0),
        switches=figures.get("switches", 0),
        version=figures.get("version", ""),
    )


def _delete(node: RabbitMQNode, queues: Sequence[str]) -> None:
    with node.channel() as channel:
        for queue in queues:
            for suffix in (*_DRAMATIQ_SUFFIXES, ".dead"):
                channel.queue_delete(queue + suffix)
