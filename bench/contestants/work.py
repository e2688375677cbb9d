"""What the processes of a fleet do with every id, and what they are told about it.

A fleet is started by a command line that is not ours, so it is told by the environment.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

__all__ = ["OBJECTS", "OBJECT_BYTES", "ROW", "TABLE", "Assignment", "Stores", "burn"]

_VARIABLE = "SLINGSHOT_BENCH_ASSIGNMENT"  # it holds passwords: not an argument

OBJECTS = 100
"""Objects that are there to be read; an id reads the one of its number modulo this."""

OBJECT_BYTES = 1024

TABLE = "CREATE TABLE results (id BIGINT PRIMARY KEY, size INTEGER)"

ROW = "INSERT INTO results (id, size) VALUES (:id, :size) ON CONFLICT (id) DO NOTHING"
"""One row an id; an id may come twice."""


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where files and rows are.

    Attributes:
        endpoint: The URL of the S3 API.
        region: What requests are signed for.
        access_key: The access key.
        secret_key: The secret key.
        bucket_in: The bucket with the objects to read.
        bucket_out: The bucket for what is written.
        database: PostgreSQL: host, port, username, password and database.
    """

    endpoint: str
    region: str
    access_key: str
    secret_key: str
    bucket_in: str
    bucket_out: str
    database: Mapping[str, str | int]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Take ids from one queue, do something with each, and send it to another.

    Attributes:
        url: The broker's.
        inbound: The queue to take ids from.
        outbound: The queue to send them to.
        work: What to do with an id: ``"cpu"`` and ``"wait"`` pass the time, ``"files"`` reads an
            object, writes one and inserts a row.
        seconds: Of CPU time, or of waiting.
        processes: How many processes there are.
        at_once: How many ids each of them may work on at a time.
        prefetch: How many ids each of them may hold, or ``"auto"``; ours only.
        stores: Where files and rows are.
        tally: A file to write every id to when its work begins; ours only.
    """

    url: str
    inbound: str
    outbound: str
    work: str
    seconds: float = 0.0
    processes: int = 1
    at_once: int = 1
    prefetch: str = "auto"
    stores: Stores | None = None
    tally: str = ""

    def environment(self) -> dict[str, str]:
        """Return the variable that says all this to a process and its children."""
        return {_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> Assignment:
        """Read it."""
        fields = json.loads(os.environ[_VARIABLE])
        if fields["stores"] is not None:
            fields["stores"] = Stores(**fields["stores"])
        return cls(**fields)


def burn(seconds: float) -> None:
    """Use so much CPU time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
