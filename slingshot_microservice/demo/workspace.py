"""The demo's folder: its sys-map, the sources as objects, and an index of them."""

from __future__ import annotations

import shutil
import sqlite3
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

__all__ = ["Workspace", "find_sources", "make_workspace"]

_SYS_MAP = """\
# The sys-map of the demo: what a configuration service would tell its three services.
#
#   check ── true ──> measure ── small, medium, large ──> gather
#     └───── false ────────────────────────────────────────┘
#
# Nothing but this file says that they are a chain, or what they run on.

# Queues in the memory of one process. In production a table names RabbitMQ instead:
#   rabbitmq = { host = "mq1", port = 5672, username = "me", pass = "rabbitmq/me" }
rabbitmq = "memory"

# A folder a bucket, a file an object. In production this is S3:
#   object-storage = { host = "s3", "pass:access-key" = "s3/key", "pass:secret-key" = "s3/secret" }
object-storage = { directory = "objects" }

# In production this is PostgreSQL:
#   db = { host = "pg", port = 5432, username = "me", database = "demo", pass = "db/me" }
db = { sqlite = "demo.sqlite" }

# Yields True if a source file parses, False if not.
[services.check]
in = "check-inbound"
out = [
    { case = true, queues = ["measure-inbound"] },
    { case = false, queues = ["gather-inbound"] },
]
buckets = { in = "sources" }

# Yields the size class of a file. A large one also waits for somebody to look at it: nobody
# consumes the queue `review`.
[services.measure]
in = "measure-inbound"
out = [
    { case = "small", queues = ["gather-inbound"] },
    { case = "medium", queues = ["gather-inbound"] },
    { case = "large", queues = ["gather-inbound", "review"] },
]
buckets = { in = "sources", report = "reports" }

# Adds up, and yields nothing.
[services.gather]
in = "gather-inbound"
out = []
"""

_INDEX = "CREATE TABLE sources (id BIGINT PRIMARY KEY, path TEXT NOT NULL)"
_NOT_STANDARD = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Workspace:
    """A folder that is ready for the demo's services.

    Attributes:
        folder: The folder.
        ids: The ids of the sources, from 1 on without a gap.
    """

    folder: Path
    ids: range

    @property
    def sys_map(self) -> Path:
        """The sys-map file."""
        return self.folder / "sys-map.toml"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "demo.sqlite"

    @property
    def sources(self) -> Path:
        """The bucket of the source files."""
        return self.folder / "objects" / "sources"

    @property
    def reports(self) -> Path:
        """The bucket of the reports."""
        return self.folder / "objects" / "reports"


def find_sources(limit: int) -> list[Path]:
    """Return source files of the running Python's standard library, evenly spaced over it.

    Args:
        limit: How many files at most.

    Returns:
        Paths relative to `sysconfig`'s ``stdlib``, sorted.
    """
    library = _library()
    files = (path for path in library.rglob("*.py") if path.is_file())
    paths = sorted(path.relative_to(library) for path in files)
    paths = [path for path in paths if not _NOT_STANDARD.intersection(path.parts)]
    count = min(limit, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def make_workspace(folder: Path | None, limit: int) -> Workspace:
    """Make the folder with all that the services need.

    Args:
        folder: A folder that is new or empty; ``None`` for a new one among the temporary files.
        limit: How many source files at most.

    Raises:
        UsageError: The folder cannot be used, or this Python has no source files.
    """
    sources = find_sources(limit)
    if not sources:
        raise UsageError(f"there are no source files of Python's standard library in {_library()}")
    workspace = Workspace(_make_folder(folder), range(1, len(sources) + 1))
    try:
        workspace.sys_map.write_text(_SYS_MAP, encoding="utf-8")
        _copy_sources(workspace, sources)
    except OSError as error:
        raise UsageError(f"cannot fill the folder {workspace.folder}: {error}") from error
    return workspace


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _make_folder(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="slingshot-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        full = next(folder.iterdir(), None) is not None
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot use the folder {folder}: {reason}; name another") from error
    if full:
        raise UsageError(f"the folder {folder} is not empty; name one that is new or empty")
    return folder.absolute()


def _copy_sources(workspace: Workspace, sources: Sequence[Path]) -> None:
    library = _library()
    workspace.sources.mkdir(parents=True)
    for id, path in zip(workspace.ids, sources, strict=True):
        shutil.copyfile(library / path, workspace.sources / str(id))
    rows = [(id, str(path)) for id, path in zip(workspace.ids, sources, strict=True)]
    with closing(sqlite3.connect(workspace.database)) as connection, connection:
        connection.execute(_INDEX)
        connection.executemany("INSERT INTO sources VALUES (?, ?)", rows)
