"""What the configuration says, as frozen values that were checked once, at the door.

A password is never part of these: what they hold is the name of a ``pass`` entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from ..typing import CaseVariable

__all__ = [
    "BrokerSettings",
    "DatabaseSettings",
    "DirectorySettings",
    "EmbeddedPostgreSQLSettings",
    "MemoryBrokerSettings",
    "PostgreSQLSettings",
    "RabbitMQSettings",
    "Route",
    "S3Settings",
    "SQLiteSettings",
    "ServiceSettings",
    "StorageSettings",
    "SystemMap",
]


@dataclass(frozen=True)
class Route:
    """The outbound queues of one case.

    Attributes:
        case: What ``process`` yields beside an id to send it here; its type counts.
        queues: Names of queues, each 1 to 255 bytes of UTF-8.
    """

    case: CaseVariable
    queues: tuple[str, ...]


@dataclass(frozen=True)
class ServiceSettings:
    """The queues of one service.

    Attributes:
        inbound: The name of the queue that requests come from.
        routes: One entry a case; of two entries for one case, only the last one is here.
    """

    inbound: str
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class RabbitMQSettings:
    """Where RabbitMQ is.

    Attributes:
        hosts: The nodes of one cluster, tried in turn; at least one.
        port: TCP port, 1 to 65,535.
        username: The user to log in as.
        password_entry: The ``pass`` entry that holds the password.
    """

    hosts: tuple[str, ...]
    port: int
    username: str
    password_entry: str


@dataclass(frozen=True)
class MemoryBrokerSettings:
    """Queues inside this process, which end with it. Only a sys-map file can say so."""


@dataclass(frozen=True)
class PostgreSQLSettings:
    """Where PostgreSQL is.

    Attributes:
        host: Host name or address.
        port: TCP port, 1 to 65,535.
        username: The user to log in as.
        database: The database's name.
        password_entry: The ``pass`` entry that holds the password.
    """

    host: str
    port: int
    username: str
    database: str
    password_entry: str


@dataclass(frozen=True)
class SQLiteSettings:
    """A SQLite file, made when it is missing. Only a sys-map file can say so."""

    path: Path


@dataclass(frozen=True)
class EmbeddedPostgreSQLSettings:
    """A PostgreSQL server of our own on a data directory. Only a sys-map file can say so."""

    directory: Path


@dataclass(frozen=True)
class S3Settings:
    """Where the object store is.

    Attributes:
        endpoint: The URL of the S3 API, with its scheme.
        access_key_entry: The ``pass`` entry that holds the access key.
        secret_key_entry: The ``pass`` entry that holds the secret key.
    """

    endpoint: str
    access_key_entry: str
    secret_key_entry: str


@dataclass(frozen=True)
class DirectorySettings:
    """A directory with a folder a bucket and a file an object. Only a sys-map file can say so."""

    directory: Path


BrokerSettings: TypeAlias = RabbitMQSettings | MemoryBrokerSettings
DatabaseSettings: TypeAlias = PostgreSQLSettings | SQLiteSettings | EmbeddedPostgreSQLSettings
StorageSettings: TypeAlias = S3Settings | DirectorySettings


class SystemMap(Protocol):
    """What can be asked of the configuration, wherever it comes from.

    Every method raises `ConfigurationError`, or one of its kinds, when there is no usable answer.
    """

    @property
    def source(self) -> str:
        """The URL or the file that the answers come from, for people to read."""
        ...

    def service(self, name: str) -> ServiceSettings:
        """Return the queues of the service ``name``."""
        ...

    def bucket(self, name: str, key: str) -> str:
        """Return the bucket that ``key`` stands for in the service ``name``."""
        ...

    def check(self, name: str) -> None:
        """Ask once whether the configuration answers at all, with what it says of ``name``."""
        ...

    def broker(self) -> BrokerSettings:
        """Return where the broker is."""
        ...

    def database(self) -> DatabaseSettings:
        """Return where the database is."""
        ...

    def storage(self) -> StorageSettings:
        """Return where the object store is."""
        ...

    def close(self) -> None:
        """Let go of connections. Asking again afterwards is allowed."""
        ...
