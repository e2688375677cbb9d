"""The implementations of the hot path, which are all put to the same tests."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Protocol, cast

from slingshot_microservice.hotpath import Publish, Received

__all__ = ["IMPLEMENTATIONS", "HotPath", "Reader", "Table", "Writer", "load"]

IMPLEMENTATIONS = [
    "_fallback",
]
"""Modules of `slingshot_microservice.hotpath`. One that cannot be imported fails its tests."""


class Table(Protocol):
    def lookup(self, case: object) -> tuple[int, ...] | None: ...

    def plan(
        self, outputs: Iterable[object] | None
    ) -> tuple[list[Publish], list[bool | int | str]]: ...


class Writer(Protocol):
    def publish(self, queue: int, id: int) -> None: ...

    def ack(self, tag: int, multiple: bool) -> None: ...

    def nack(self, tag: int, requeue: bool) -> None: ...

    def take(self) -> bytes: ...


class Reader(Protocol):
    def feed(self, data: bytes) -> Received: ...


class HotPath(Protocol):
    """What an implementation consists of."""

    def decode_id(self, body: bytes) -> int: ...

    def RoutingTable(  # noqa: N802  # a class, seen as a function
        self, routes: Iterable[tuple[bool | int | str, Sequence[int]]]
    ) -> Table: ...

    def FrameWriter(self, channel: int, queues: Sequence[str]) -> Writer: ...  # noqa: N802

    def FrameReader(self, channel: int) -> Reader: ...  # noqa: N802


def load(name: str) -> HotPath:
    """Import an implementation."""
    return cast(HotPath, importlib.import_module(f"slingshot_microservice.hotpath.{name}"))
