"""Service ``gather``: what do all files come to?"""

from __future__ import annotations

from sqlalchemy import Connection, text

from slingshot_microservice import Microservice
from slingshot_microservice.typing import ReadFileFn, WriteFileFn

TABLES = (
    "CREATE TABLE IF NOT EXISTS gathered (id BIGINT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS totals (id INTEGER PRIMARY KEY, files BIGINT,"
    " lines BIGINT, functions BIGINT, classes BIGINT)",
    "INSERT INTO totals VALUES (1, 0, 0, 0, 0) ON CONFLICT (id) DO NOTHING",
)

# An id may be delivered twice: only its first time finds it not yet gathered.
GATHER = "INSERT INTO gathered (id) VALUES (:id) ON CONFLICT (id) DO NOTHING"

# A file that does not parse has no measures, and counts as a file.
ADD = """UPDATE totals SET files = files + 1,
    lines = lines + coalesce((SELECT lines FROM measures WHERE id = :id), 0),
    functions = functions + coalesce((SELECT functions FROM measures WHERE id = :id), 0),
    classes = classes + coalesce((SELECT classes FROM measures WHERE id = :id), 0)"""


def startup(read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection) -> None:
    """Make the tables, and totals to begin with."""
    for statement in TABLES:
        connection.execute(text(statement))


def process(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> None:
    """Add a file to the totals, once: both statements are committed, or neither."""
    if connection.execute(text(GATHER), {"id": request}).rowcount:
        connection.execute(text(ADD), {"id": request})


microservice = Microservice("gather", "sys-map.example.com", startup, process)

if __name__ == "__main__":
    microservice.start()
