"""Sends ids to the queue of service ``words``: ``python send.py 1 2 5-9``.

Whoever gives a service work needs nothing of the package: an id is a message whose body is the id
in decimal digits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pika
import requests

SERVICE = "words"


def ask(path: str) -> dict[str, Any]:
    """Ask the configuration service."""
    answer = requests.get(f"{os.environ['SLINGSHOT_SYS_MAP']}/{path}", timeout=10)
    answer.raise_for_status()
    fields: dict[str, Any] = answer.json()
    return fields


def ids(arguments: Sequence[str]) -> Iterator[int]:
    """Read single ids and ranges of them."""
    for argument in arguments:
        first, _, last = argument.partition("-")
        yield from range(int(first), int(last or first) + 1)


def send(arguments: Sequence[str]) -> int:
    """Send the ids, and return how many that were once RabbitMQ has all of them."""
    server, queue = ask("rabbitmq"), ask(SERVICE)["in"]
    password = Path(os.environ["SLINGSHOT_SECRETS_DIR"], server["pass"][0]).read_text().strip()
    parameters = pika.ConnectionParameters(
        server["host"][0],
        server["port"][0],
        credentials=pika.PlainCredentials(server["username"][0], password),
    )
    persistent = pika.BasicProperties(delivery_mode=2)
    count = 0
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for id in ids(arguments):
            channel.basic_publish("", queue, b"%d" % id, persistent, mandatory=True)
            count += 1
    return count


if __name__ == "__main__":
    sys.stdout.write(f"sent {send(sys.argv[1:])} ids to {SERVICE}\n")
