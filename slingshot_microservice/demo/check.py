"""Service ``check``: does a source file parse?"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from slingshot_microservice import Microservice
from slingshot_microservice.demo.source import parse
from slingshot_microservice.typing import Output, ReadFileFn, WriteFileFn


def process(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> Iterator[Output]:
    """Send the id one way if its file parses, and the other way if not."""
    source = read_file("in", request).read()
    try:
        parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield request, False
    else:
        yield request, True


microservice = Microservice("check", "sys-map.example.com", process)

if __name__ == "__main__":
    microservice.start()
