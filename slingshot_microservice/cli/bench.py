"""``bench``: what the hot path gives on this machine, compiled beside fallback."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from .bench_operations import HotPath
    from .bench_relay import RelayFigures

__all__ = ["DESCRIPTION", "EPILOG", "NAME", "SUMMARY", "add_arguments", "run"]

NAME = "bench"
SUMMARY = "measure the hot path on this machine, compiled beside fallback"
DESCRIPTION = """\
Measure what one message costs in the hot path: each operation by itself, and a relay of ids over a
byte stream on loop-back, which is everything but pika, threads and RabbitMQ. Compiled and fallback
take turns, for a few seconds; nothing is needed but this installation."""
EPILOG = """\
example:
  slingshot-microservice bench"""

_ROUNDS = 25
_RELAY_ROUNDS = 5
_RELAY_WINDOWS = 100
_NO_COMPILED = (
    "This installation has no compiled hot path: install a wheel for this platform, or a C "
    "compiler and the package from source."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes, which is nothing."""


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print a table."""
    from rich.console import Console

    from .bench_operations import twins

    console = Console(highlight=False)
    there = twins()
    _print_head(console)
    with console.status("measuring"):
        table = _table(there)
    console.print(table)
    if "compiled" not in there:
        console.print(_NO_COMPILED, soft_wrap=True)
    return 0


def _print_head(console: Console) -> None:
    from .. import hotpath
    from .._version import __version__
    from .program import PROGRAM

    python = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    console.print(f"{PROGRAM} {__version__} on {python}, {machine}", soft_wrap=True)
    console.print(f"active: {hotpath.IMPLEMENTATION} ({hotpath.REASON})\n", soft_wrap=True)


def _table(there: Mapping[str, HotPath]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("CPU of one message, ns")
    for name in (*there, "ratio") if len(there) > 1 else there:
        table.add_column(name, justify="right")
    _add_operations(table, there)
    _add_relay(table, there)
    return table


def _add_operations(table: Table, there: Mapping[str, HotPath]) -> None:
    from .bench_operations import OPERATIONS, best_nanoseconds

    for name, prepare in OPERATIONS.items():
        times = best_nanoseconds([prepare(twin) for twin in there.values()], _ROUNDS)
        table.add_row(name, *(f"{time:,.0f}" for time in times), *_ratio(times))


def _add_relay(table: Table, there: Mapping[str, HotPath]) -> None:
    figures = _relay_figures(list(there.values()))
    costs = [one.nanoseconds for one in figures]
    rates = [one.rate for one in figures]
    table.add_row("loop-back relay, all of it", *(f"{cost:,.0f}" for cost in costs), *_ratio(costs))
    table.add_section()
    table.add_row(
        "loop-back relay, messages/s", *(f"{rate:,.0f}" for rate in rates), *_ratio(rates[::-1])
    )


def _relay_figures(there: Sequence[HotPath]) -> list[RelayFigures]:
    """Return the cheapest of some relays for each, run in turn."""
    from .bench_relay import relay

    rounds = [[relay(twin, _RELAY_WINDOWS) for twin in there] for _ in range(_RELAY_ROUNDS)]
    return [min(of_one, key=lambda one: one.nanoseconds) for of_one in zip(*rounds, strict=True)]


def _ratio(times: Sequence[float]) -> list[str]:
    """Return how many times the first goes into the second, if there are two."""
    return [f"{times[1] / times[0]:.1f}x"] if len(times) > 1 else []
