"""Who takes part in the relay. Each one is a program of its own that does a `Job`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from slingshot_microservice.cli.bench_operations import twins

__all__ = [
    "AIORMQ",
    "CELERY",
    "COMPILED",
    "C_CLIENT",
    "DRAMATIQ",
    "FALLBACK",
    "FASTSTREAM",
    "PIKA",
    "PIKA_CONFIRMS",
    "RELAYS",
    "SQLALCHEMY",
    "WITHOUT_ROWS",
    "WITH_ROWS",
    "Contestant",
    "c_client",
    "database_clients",
    "idlers",
    "others",
    "ours",
]

C_CLIENT = "C, rabbitmq-c"
COMPILED = "ours, compiled"
FALLBACK = "ours, fallback"
PIKA = "pika, no confirms"
PIKA_CONFIRMS = "pika"
AIORMQ = "aiormq, uvloop"
FASTSTREAM = "FastStream, uvloop"
DRAMATIQ = "Dramatiq"
CELERY = "Celery"
RELAYS = (
    C_CLIENT,
    COMPILED,
    FALLBACK,
    PIKA,
    PIKA_CONFIRMS,
    AIORMQ,
    FASTSTREAM,
    DRAMATIQ,
    CELERY,
)
SQLALCHEMY = "SQLAlchemy"
SESSION = "ours, session alone"
WITH_ROWS = (SESSION, COMPILED, FALLBACK)
WITHOUT_ROWS = tuple(f"{name}, connection not touched" for name in (COMPILED, FALLBACK))

_TWINS: Mapping[str, Mapping[str, str]] = {
    "compiled": {"SLINGSHOT_REQUIRE_EXTENSIONS": "1"},
    "fallback": {"SLINGSHOT_NO_EXTENSIONS": "1"},
}


@dataclass(frozen=True)
class Contestant:
    """A program that relays.

    Attributes:
        name: What it is called in tables.
        command: The program.
        environment: Variables that it needs besides.
        fills: Whether it puts the messages into its queue itself, because it reads only those of
            its own kind; it declares its queues then, too.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    fills: bool = False


def ours() -> list[Contestant]:
    """Return the twins that are installed."""
    return [_module(f"ours, {twin}", "slingshot", _TWINS[twin]) for twin in twins()]


def idlers(seconds: float) -> list[Contestant]:
    """Return the twins that are installed, which take one id and are then idle for so long."""
    variable = {"SLINGSHOT_BENCH_IDLE_SECONDS": str(seconds)}
    return [
        _module(f"ours, {twin}", "slingshot_idle", {**_TWINS[twin], **variable}) for twin in twins()
    ]


def database_clients() -> list[Contestant]:
    """Return those who read and write a row for every id. They take no queues."""
    bare = {"psycopg2": "psycopg2", SQLALCHEMY: "sqlalchemy"}
    pooled = {f"{SQLALCHEMY}, from its pool": "sqlalchemy-pool", SESSION: "session"}
    services = [
        _module(f"ours, {twin}{suffix}", "rows", _TWINS[twin], arguments=[way])
        for suffix, way in (("", "service"), (", connection not touched", "service-untouched"))
        for twin in twins()
    ]
    alone = [_module(name, "rows", arguments=[way]) for name, way in {**bare, **pooled}.items()]
    return alone + services


def others() -> list[Contestant]:
    """Return the other Python clients."""
    return [
        _module(PIKA, "pika_blocking"),
        _module(PIKA_CONFIRMS, "pika_blocking", {"SLINGSHOT_BENCH_PIKA_CONFIRMS": "1"}),
        _module(AIORMQ, "aiormq_consumer"),
        _module(FASTSTREAM, "faststream_app"),
        _module(DRAMATIQ, "dramatiq_actor", fills=True),
        _module(CELERY, "celery_task", fills=True),
    ]


def c_client(program: Path) -> Contestant:
    """Return the C client, compiled to ``program``."""
    return Contestant(C_CLIENT, (str(program),))


def _module(
    name: str,
    module: str,
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    arguments: Sequence[str] = (),
    fills: bool = False,
) -> Contestant:
    command = (sys.executable, "-m", f"bench.contestants.{module}", *arguments)
    return Contestant(name, command, environment, fills)
