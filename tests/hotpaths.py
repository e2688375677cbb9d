"""The implementations of the hot path, which are all put to the same tests."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from slingshot_microservice.hotpath import Confirm, Delivery, Publish, Received, Work

__all__ = [
    "IMPLEMENTATIONS",
    "Books",
    "HotPath",
    "Inbox",
    "Ledger",
    "Reader",
    "Seat",
    "Table",
    "Writer",
    "load",
]

IMPLEMENTATIONS = [
    "_fallback",
    "_compiled",
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


class Ledger(Protocol):
    @property
    def is_idle(self) -> bool: ...

    def waits_for(self, tag: int) -> bool: ...

    def deliver(self, deliveries: Iterable[Delivery]) -> None: ...

    def publish(self, tag: int, publishes: Sequence[Publish], writer: Writer) -> None: ...

    def expect(self, tag: int, publish: Publish) -> None: ...

    def confirm(self, confirms: Iterable[Confirm]) -> None: ...

    def returned(self, publish: Publish) -> None: ...

    def take_refused(self) -> list[tuple[int, list[Publish]]]: ...

    def settle(self, tag: int) -> None: ...

    def acknowledge(self, writer: Writer) -> int: ...

    def forget_deliveries(self) -> None: ...

    def forget_publishes(self) -> list[tuple[int, list[Publish]]]: ...


class Seat(Protocol):
    def receive(self) -> Work | None: ...


class Inbox(Protocol):
    def __len__(self) -> int: ...

    @property
    def busy_seconds(self) -> float: ...

    @property
    def busy_workers(self) -> int: ...

    def seat(self) -> Seat: ...

    def renew(self, epoch: int) -> None: ...

    def put(self, deliveries: Sequence[Delivery]) -> None: ...

    def take_back(self, keep: int = 0) -> list[Delivery]: ...

    def close(self) -> None: ...


class HotPath(Protocol):
    """What an implementation consists of."""

    def decode_id(self, body: bytes) -> int: ...

    def RoutingTable(  # noqa: N802  # a class, seen as a function
        self, routes: Iterable[tuple[bool | int | str, Sequence[int]]]
    ) -> Table: ...

    def FrameWriter(self, channel: int, queues: Sequence[str]) -> Writer: ...  # noqa: N802

    def FrameReader(self, channel: int) -> Reader: ...  # noqa: N802

    def Ledger(self) -> Ledger: ...  # noqa: N802

    def Inbox(  # noqa: N802
        self,
        is_settled: Callable[[int, Delivery], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> Inbox: ...


class Books:
    """A ledger with its writers, for tests in which every tag was delivered in order.

    Args:
        hot: The implementation.
    """

    def __init__(self, hot: HotPath) -> None:
        self.hot = hot
        self.ledger = hot.Ledger()
        self.out = hot.FrameWriter(1, [f"queue-{index}" for index in range(4)])
        self._delivered = 0

    @property
    def is_idle(self) -> bool:
        return self.ledger.is_idle

    def waits_for(self, tag: int) -> bool:
        return self.ledger.waits_for(tag)

    def deliver(self, tag: int) -> None:
        """Let everything up to ``tag`` be delivered."""
        new = range(self._delivered + 1, tag + 1)
        self.ledger.deliver([(one, one, False) for one in new])
        self._delivered = max(self._delivered, tag)

    def expect(self, tag: int, publishes: Sequence[Publish]) -> None:
        self.deliver(tag)
        self.ledger.publish(tag, publishes, self.out)

    def confirm(self, sequence: int, multiple: bool, accepted: bool) -> None:
        self.ledger.confirm([(sequence, multiple, accepted)])

    def returned(self, publish: Publish) -> None:
        self.ledger.returned(publish)

    def take_refused(self) -> list[tuple[int, list[Publish]]]:
        return self.ledger.take_refused()

    def settle(self, tag: int) -> None:
        self.deliver(tag)
        self.ledger.settle(tag)

    def acknowledge(self, writer: Writer) -> int:
        return self.ledger.acknowledge(writer)

    def forget_deliveries(self) -> None:
        self._delivered = 0
        self.ledger.forget_deliveries()

    def forget_publishes(self) -> list[tuple[int, list[Publish]]]:
        self.out.take()
        return self.ledger.forget_publishes()


def load(name: str) -> HotPath:
    """Import an implementation."""
    return cast(HotPath, importlib.import_module(f"slingshot_microservice.hotpath.{name}"))
