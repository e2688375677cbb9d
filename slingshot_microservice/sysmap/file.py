"""A sys-map file: what a configuration service would say, in TOML, for a laptop or a test.

::

    rabbitmq = "memory"                         # queues inside the process
    object-storage = { directory = "objects" }  # a folder a bucket, a file an object
    db = { sqlite = "pipeline.sqlite" }         # or { embedded-postgres = "pgdata" }

    [services.shout]
    in = "shout-inbound"
    out = [ { case = true, queues = ["shouted"] } ]

    [services.shout.buckets]
    in = "texts"
    out = "shouted-texts"

Real servers are named with the fields that the service would answer::

    rabbitmq = { host = ["mq1", "mq2"], port = 5672, username = "me", pass = "rabbitmq/me" }
    object-storage = { host = "s3.example.com", "pass:access-key" = "a", "pass:secret-key" = "s" }
    db = { host = "pg", port = 5432, username = "me", database = "shop", pass = "db/me" }

Relative paths start at the file's folder. The whole file is checked when it is loaded. Unlike
in an answer over HTTP, an unknown field is an error here, because a person typed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import SystemMapFileError, UsageError
from .lines import TOMLSyntaxError, read_toml
from .models import (
    BrokerSettings,
    DatabaseSettings,
    DirectorySettings,
    EmbeddedPostgreSQLSettings,
    MemoryBrokerSettings,
    ServiceSettings,
    SQLiteSettings,
    StorageSettings,
)
from .place import FieldPath, Place, field_name, shorten
from .validate import (
    check_service_name,
    clean_key,
    read_bucket,
    read_postgresql,
    read_rabbitmq,
    read_s3,
    read_service,
    require_service_name,
)

__all__ = ["FileSystemMap"]

_EXAMPLES = {
    "rabbitmq": 'rabbitmq = "memory"',
    "object-storage": 'object-storage = { directory = "objects" }',
    "db": 'db = { sqlite = "pipeline.sqlite" }',
}


class FileSystemMap:
    """A `SystemMap` read from a file.

    Args:
        path: The TOML file. It is read once, here.

    Raises:
        SystemMapFileError: It cannot be read, or has a mistake; the error names the line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.absolute().parent
        self._source, root = _load(path)
        root.mapping(*_EXAMPLES, "services")
        self._broker = _read_broker(_section(root, "rabbitmq"))
        self._storage = self._read_storage(_section(root, "object-storage"))
        self._database = self._read_database(_section(root, "db"))
        services = _tables(root, "services")
        self._services = {name: _read_named_service(place) for name, place in services.items()}
        self._buckets = {name: _read_buckets(place) for name, place in services.items()}

    @property
    def source(self) -> str:
        """The file, as it was given."""
        return str(self._path)

    @property
    def service_names(self) -> tuple[str, ...]:
        """The services of the file, in its order."""
        return tuple(self._services)

    def service(self, name: str) -> ServiceSettings:
        """Return the queues of the service ``name``.

        Raises:
            UsageError: There can be no service of that name.
            SystemMapFileError: The file has no such service.
        """
        return self._services[self._known(name)]

    def bucket(self, name: str, key: str) -> str:
        """Return the bucket that ``key`` stands for in the service ``name``.

        Raises:
            UsageError: There can be no such service or key.
            SystemMapFileError: The file has no such service or key.
        """
        buckets = self._buckets[self._known(name)]
        key = clean_key(key)
        if key not in buckets:
            there = f"it has {', '.join(buckets)}" if buckets else "it has none"
            problem = f"service {shorten(name)} has no bucket key {shorten(key)}; {there}"
            raise self._source.error(("services", name, "buckets"), problem)
        return buckets[key]

    def check(self, name: str) -> None:
        """Do nothing: the file has been read."""

    def broker(self) -> BrokerSettings:
        """Return where the broker is."""
        return self._broker

    def database(self) -> DatabaseSettings:
        """Return where the database is."""
        return self._database

    def storage(self) -> StorageSettings:
        """Return where the object store is."""
        return self._storage

    def close(self) -> None:
        """Do nothing: the file was closed when it had been read."""

    def _known(self, name: str) -> str:
        if require_service_name(name) in self._services:
            return name
        there = ", ".join(self._services)
        known = f"there are {there}" if there else f"there are none: add [services.{name}]"
        raise self._source.error(("services",), f"there is no service {shorten(name)}; {known}")

    def _read_storage(self, place: Place) -> StorageSettings:
        fields = place.mapping("directory", "host", "pass:access-key", "pass:secret-key")
        if "directory" not in fields:
            return read_s3(place)
        return DirectorySettings(self._only_path(place, "directory"))

    def _read_database(self, place: Place) -> DatabaseSettings:
        remote = ("host", "port", "username", "database", "pass")
        fields = place.mapping("sqlite", "embedded-postgres", *remote)
        if "sqlite" in fields:
            return SQLiteSettings(self._only_path(place, "sqlite"))
        if "embedded-postgres" in fields:
            return EmbeddedPostgreSQLSettings(self._only_path(place, "embedded-postgres"))
        return read_postgresql(place)

    def _only_path(self, place: Place, name: str) -> Path:
        if len(place.mapping()) > 1:
            raise place.error(f"no other field beside {name}")
        return self._folder / place.field(name, "a path").text("a path")


class _File:
    """The `Source` of what a file says."""

    strict = True
    mapping_noun = "a table"

    def __init__(self, path: Path, lines: Mapping[FieldPath, int]) -> None:
        self._path = path
        self._lines = lines

    def where(self, path: FieldPath) -> str:
        return f"{self._path}:{self._line(path)}"

    def error(
        self, path: FieldPath, problem: str, *, expected: str = "", found: str = ""
    ) -> SystemMapFileError:
        return SystemMapFileError(
            f"{self.where(path)}: {problem}",
            path=self._path,
            line=self._line(path),
            field=field_name(path),
            expected=expected,
            found=found,
        )

    def _line(self, path: FieldPath) -> int:
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]


def _load(path: Path) -> tuple[_File, Place]:
    try:
        values, lines = read_toml(_read_text(path))
    except TOMLSyntaxError as error:
        problem = f"{path}:{error.line}: this is not TOML: {error}"
        raise SystemMapFileError(problem, path=path, line=error.line) from None
    source = _File(path, lines)
    return source, Place(source, values)


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = f"{path}: the sys-map file cannot be read: {error.strerror}"
        raise SystemMapFileError(problem, path=path, line=None) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TOMLSyntaxError("it is not UTF-8", content.count(b"\n", 0, error.start) + 1) from None


def _section(root: Place, name: str) -> Place:
    if name not in root.mapping():
        problem = f"{name} is missing; write for example {_EXAMPLES[name]}"
        raise root.source.error((name,), problem, expected=_EXAMPLES[name])
    return root.field(name, _EXAMPLES[name])


def _read_broker(place: Place) -> BrokerSettings:
    if place.value == "memory":
        return MemoryBrokerSettings()
    if isinstance(place.value, str):
        raise place.error('"memory" or a table')
    return read_rabbitmq(place)


def _tables(place: Place, name: str) -> dict[str, Place]:
    """Return the entries of a table that may be missing."""
    if name not in place.mapping():
        return {}
    table = place.field(name, "a table")
    return {key: table.field(key, "a table") for key in table.mapping()}


def _read_named_service(place: Place) -> ServiceSettings:
    name = str(place.path[-1])
    try:
        check_service_name(name)
    except ValueError as error:
        problem = f"{shorten(name)} cannot be the name of a service: {error}"
        raise place.source.error(place.path, problem) from None
    return read_service(place)


def _read_buckets(service: Place) -> dict[str, str]:
    buckets = _tables(service, "buckets")
    return {_key(place): read_bucket(place) for place in buckets.values()}


def _key(place: Place) -> str:
    try:
        return clean_key(place.path[-1])
    except UsageError as error:
        raise place.source.error(place.path, str(error)) from None
