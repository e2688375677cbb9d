"""Service ``words``: counts the words of a text, into a file and a row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from sqlalchemy import Connection, text

from slingshot_microservice import Microservice
from slingshot_microservice.typing import Output, ReadFileFn, WriteFileFn

LONG = 100  # words from which a text is a long one

# Replicas start at the same time, and of two that make a table at once one fails, whatever
# IF NOT EXISTS says. The lock ends with the transaction.
LOCK = "SELECT pg_advisory_xact_lock(hashtext('words'))"
# An id may be larger than the largest BIGINT.
TABLE = """CREATE TABLE IF NOT EXISTS words
    (id NUMERIC(20) PRIMARY KEY, words INTEGER, different INTEGER)"""
# An id may be delivered twice; its row is there once.
ROW = """INSERT INTO words (id, words, different) VALUES (:id, :words, :different)
    ON CONFLICT (id) DO UPDATE SET words = excluded.words, different = excluded.different"""


def startup(_read: ReadFileFn, _write: WriteFileFn, connection: Connection) -> None:
    """Make the table, once, before the first request."""
    connection.execute(text(LOCK))
    connection.execute(text(TABLE))


def process(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> Iterator[Output]:
    """Count, and route the id by the length of its text."""
    counts = Counter(read_file("in", request).read().decode().lower().split())
    write_file("out", request).write(json.dumps(dict(counts.most_common()), indent=2))
    words = counts.total()
    connection.execute(text(ROW), {"id": request, "words": words, "different": len(counts)})
    yield request, "long" if words >= LONG else "short"


# SLINGSHOT_SYS_MAP says where the configuration service really is.
microservice = Microservice("words", "sys-map.example.com", startup, process)

if __name__ == "__main__":
    microservice.start()
