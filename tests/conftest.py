"""The servers as fixtures. They start when a test first asks for them, and end with the run."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from servers.pass_store import PasswordStore
from servers.ports import LOOPBACK
from servers.postgresql import PostgreSQLServer
from servers.processes import ServerUnavailableError
from servers.rabbitmq import RabbitMQNode
from servers.s3 import MotoServer, RcloneServer, S3Server

if TYPE_CHECKING:
    from servers.sys_map import SysMapServer
    from servers.world import World
    from stores import StoreClass

_NOT_TESTED = "NOT TESTED: "


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        # Which hot path is tested is a matter of the whole run, and of what the tests start.
        ours = name.startswith("SLINGSHOT_TEST_") or name.endswith("_EXTENSIONS")
        if name.startswith("SLINGSHOT_") and not ours:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQNode]:
    """A RabbitMQ node that tests may stop and kill, if they start it again."""
    with _never_in_silence(), RabbitMQNode.from_environment() as node:
        yield node


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQLServer]:
    """A PostgreSQL server that tests may stop and kill, if they start it again."""
    with _never_in_silence(), PostgreSQLServer() as server:
        yield server


@pytest.fixture(scope="session")
def rclone_s3() -> Iterator[S3Server]:
    """An S3 server that checks signatures and keeps files."""
    with _never_in_silence(), RcloneServer() as server:
        yield server


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[S3Server]:
    """An S3 server that follows Amazon's answers closely."""
    with _never_in_silence(), MotoServer() as server:
        yield server


@pytest.fixture(params=["rclone", "moto"])
def s3(request: pytest.FixtureRequest) -> S3Server:
    """Each of the S3 servers in turn."""
    server: S3Server = request.getfixturevalue(f"{request.param}_s3")
    return server


@pytest.fixture(params=["boto3", "obstore"])
def store_class(request: pytest.FixtureRequest) -> StoreClass:
    """Each client of S3 in turn."""
    from stores import STORES

    return STORES[request.param]


@pytest.fixture(scope="session")
def password_store() -> Iterator[PasswordStore]:
    """A GNU pass store."""
    with _never_in_silence(), PasswordStore() as store:
        yield store


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A TCP port of loopback on which nothing listens, nor can while the test runs."""
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        yield holder.getsockname()[1]


@pytest.fixture
def sys_map_server() -> Iterator[SysMapServer]:
    """A configuration service over real HTTP."""
    from servers.sys_map import SysMapServer

    with SysMapServer() as server:
        yield server


@pytest.fixture
def queue_name(rabbitmq: RabbitMQNode) -> Iterator[Callable[..., str]]:
    """Makes up queue names that nobody else uses; the queues are deleted after the test."""
    names: list[str] = []

    def make(stem: str = "queue") -> str:
        names.append(f"{stem}-{uuid.uuid4().hex[:12]}")
        return names[-1]

    yield make
    if not rabbitmq.running:
        rabbitmq.start()
    for name in names:
        rabbitmq.delete(name)


@pytest.fixture
def world(
    sys_map_server: SysMapServer,
    rabbitmq: RabbitMQNode,
    postgresql: PostgreSQLServer,
    rclone_s3: S3Server,
    password_store: PasswordStore,
    queue_name: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """All that a service needs around it; its secrets can be read from this process."""
    from servers.world import World, wear

    wear(password_store.environment, monkeypatch.setenv)
    return World(sys_map_server, rabbitmq, postgresql, rclone_s3, password_store, queue_name)


@contextmanager
def _never_in_silence() -> Iterator[None]:
    """A test whose server cannot be had fails in CI, and is shouted about elsewhere."""
    try:
        yield
    except ServerUnavailableError as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        raise pytest.skip.Exception(f"{_NOT_TESTED}{error}") from None


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """A server may also turn out in the middle of a test to be one that cannot be stopped."""
    with _never_in_silence():
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the very end which tests had no server."""
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    reasons = [reason.partition(_NOT_TESTED)[2] for reason in skipped if _NOT_TESTED in reason]
    if not reasons:
        return
    terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
    for reason in sorted(set(reasons)):
        terminalreporter.line(f"{reasons.count(reason)} not run: {reason}", red=True)
