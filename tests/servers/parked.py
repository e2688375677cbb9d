"""Parked messages as a service would have left them, put there by an independent client."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pika

from .command_line import Command
from .rabbitmq import RabbitMQNode

__all__ = ["ParkedService", "Stored"]

_SYS_MAP = """
object-storage = {{ directory = "objects" }}
db = {{ sqlite = "test.sqlite" }}
rabbitmq.host = "{host}"
rabbitmq.port = {port}
rabbitmq.username = "{username}"
rabbitmq.pass = "mq"
services.shout = {{ in = "{inbound}", out = [] }}
"""
_HEADERS: dict[str, Any] = {
    "slingshot-reason": "failed",
    "slingshot-error-type": "ValueError",
    "slingshot-error": "the text is empty",
    "slingshot-traceback": "Traceback (most recent call last):\n  here\nValueError: empty",
    "slingshot-attempts": 5,
    "slingshot-first-time": 1_700_000_000,
    "slingshot-last-time": 1_700_000_600,
    "slingshot-service": "shout",
    "slingshot-host": "worker-7",
    "slingshot-version": "1.2.3",
}


class Stored(NamedTuple):
    """A message as it lies in a queue."""

    body: bytes
    properties: pika.BasicProperties


class ParkedService:
    """A service ``shout`` whose sys-map is in a folder, and what it has parked.

    Attributes:
        inbound: The inbound queue.
        dead: The queue of what is parked.
        folder: Where ``sys-map.toml`` and the secret are.
    """

    def __init__(self, rabbitmq: RabbitMQNode, inbound: str, folder: Path) -> None:
        self.rabbitmq = rabbitmq
        self.inbound = inbound
        self.dead = f"{inbound}.dead"
        self.folder = folder
        (folder / "mq").write_text(rabbitmq.password)
        self.lead_to(rabbitmq.host, rabbitmq.port)

    def lead_to(self, host: str, port: int) -> None:
        """Let the command line find the broker there."""
        (self.folder / "sys-map.toml").write_text(
            _SYS_MAP.format(
                host=host,
                port=port,
                username=self.rabbitmq.username,
                inbound=self.inbound,
            )
        )

    def declare(self) -> None:
        """Make both queues."""
        self.rabbitmq.declare(self.inbound)
        self.rabbitmq.declare(self.dead)

    def remove(self, queue: str) -> None:
        """Delete one queue and leave those beside it."""
        with self.rabbitmq.channel() as channel:
            channel.queue_delete(queue)

    def park(self, *bodies: bytes, headers: dict[str, Any] | None = None, **others: Any) -> None:
        """Put messages into the queue of the dead; ``headers`` come on top of the usual ones."""
        self.rabbitmq.publish(self.dead, bodies, headers={**_HEADERS, **(headers or {})}, **others)

    def run(self, *arguments: object) -> Command:
        """Run ``dead ARGUMENTS`` to its end."""
        with Command("dead", *arguments, folder=self.folder) as command:
            command.end_input()
            command.wait()
        return command

    def bodies(self, queue: str) -> list[bytes]:
        """Return the bodies in a queue, in order; they stay there."""
        return [stored.body for stored in self.stored(queue)]

    def stored(self, queue: str) -> list[Stored]:
        """Return what is in a queue, in order; it stays there."""
        with self.rabbitmq.channel() as channel:
            stored = list(_gets(channel, queue))
            channel.basic_nack(0, multiple=True)
            return stored


def _gets(channel: Any, queue: str) -> Iterable[Stored]:
    while True:
        method, properties, body = channel.basic_get(queue)
        if method is None:
            return
        yield Stored(body, properties)
