"""The scene that every scenario plays on, and the rows that it leaves behind."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.proxy import Proxy
from servers.world import World

from .rows import Row, append
from .scene import Scene
from .sizes import ROWS_VARIABLE, SIZE_VARIABLE

# These take minutes at any size; `make faults` has them.
collect_ignore = [] if SIZE_VARIABLE in os.environ else ["test_cluster.py", "test_soak.py"]

_ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture
def queue_type() -> str:
    """The type of the queues; a scenario that depends on it is parametrized."""
    return "classic"


@pytest.fixture
def scene(
    request: pytest.FixtureRequest,
    world: World,
    tmp_path: Path,
    queue_type: str,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Scene]:
    """A fresh scene; whatever the test makes of its row, it is kept."""
    caplog.set_level(logging.ERROR, logger="pika")  # it warns of each queue that is not there
    words = getattr(request.node, "originalname", request.node.name)
    name = str(words).removeprefix("test_").replace("_", " ")
    it = Scene(world, tmp_path, name, queue_type)
    yield it
    it.close()
    if it.row is not None:
        request.config.stash.setdefault(_ROWS, []).append(it.row)
        if path := os.environ.get(ROWS_VARIABLE):
            append(Path(path), it.row)


@pytest.fixture
def proxy(scene: Scene) -> Iterator[Proxy]:
    """The wire between the service and the broker; the ledger has one of its own."""
    with Proxy(scene.world.rabbitmq.host, scene.world.rabbitmq.port) as proxy:
        scene.describe(rabbitmq={"host": proxy.host, "port": proxy.port})
        yield proxy


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the ledger."""
    rows = terminalreporter.config.stash.get(_ROWS, [])
    if not rows:
        return
    terminalreporter.section("fault ledger")
    for row in rows:
        terminalreporter.line(
            f"{row.scenario} ({row.implementation}, {row.queue}): attempted {row.attempted:,}, "
            f"done {row.done:,}, lost {row.lost}, duplicated {row.duplicated:,}, "
            f"parked {row.parked:,}, unexpected {row.unexpected}, "
            f"recovery {row.recovery or '-'} s; {row.besides}"
        )
