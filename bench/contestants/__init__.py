"""Who takes part in the relay. Each one is a program of its own that does a `Job`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
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
    "Contestant",
    "c_client",
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
    environments = {
        "compiled": {"SLINGSHOT_REQUIRE_EXTENSIONS": "1"},
        "fallback": {"SLINGSHOT_NO_EXTENSIONS": "1"},
    }
    return [_module(f"ours, {twin}", "slingshot", environments[twin]) for twin in twins()]


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
    fills: bool = False,
) -> Contestant:
    command = (sys.executable, "-m", f"bench.contestants.{module}")
    return Contestant(name, command, environment, fills)
