"""FastStream, for its own command line: a subscriber whose result a publisher sends on.

Confirms are its default. A message is acknowledged when the handler has returned and its result
is published. How many ids are worked on at once is what the prefetch allows. A handler that waits
is a coroutine; one that blocks is a plain function, which FastStream runs in a thread; one of pure
CPU is a coroutine, too, because a thread would only add to its cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from faststream import FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from .keeping import Keeper
from .work import Assignment, burn

_assignment = Assignment.from_environment()
_keeper = Keeper(_assignment) if _assignment.work == "files" else None


def keep(id: int) -> int:
    """Read an object, write one and insert a row."""
    assert _keeper is not None
    _keeper.keep(id)
    return id


async def compute(id: int) -> int:
    """Use CPU time."""
    burn(_assignment.seconds)
    return id


async def wait(id: int) -> int:
    """Wait."""
    await asyncio.sleep(_assignment.seconds)
    return id


_handlers: dict[str, Callable[[int], Any]] = {"files": keep, "cpu": compute, "wait": wait}

# Without a logger, or it writes two lines for every message.
broker = RabbitBroker(
    _assignment.url,
    default_channel=Channel(prefetch_count=_assignment.at_once),
    logger=None,
)
app = FastStream(broker)

_publisher = broker.publisher(RabbitQueue(_assignment.outbound, durable=True), persist=True)
_subscriber = broker.subscriber(RabbitQueue(_assignment.inbound, durable=True))
_subscriber(_publisher(_handlers[_assignment.work]))
