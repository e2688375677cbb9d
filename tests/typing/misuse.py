"""What a strict type checker must refuse. Never run.

Every mistake is silenced, with its code, where it is made; and as mypy complains of a comment
that silences nothing (`warn_unused_ignores`), one that is no longer refused fails the check.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from sqlalchemy.engine.base import Connection

from slingshot_microservice import Microservice, Options
from slingshot_microservice.typing import ProcessFn, ReadFileFn, StartupFn, WriteFileFn


def good(
    request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
) -> Iterator[tuple[int, bool]]:
    read_file("in", "7")  # type: ignore[arg-type]  # an id is an int
    read_file(7, 7)  # type: ignore[arg-type]  # a key is a str
    read_file("in")  # type: ignore[call-arg]
    read_file("in", 7, "rb")  # type: ignore[call-arg]
    read_file(key="in", id=7)  # type: ignore[call-arg]  # names are not promised
    text: str = read_file("in", request).read()  # type: ignore[assignment]  # files are binary
    read_file("in", request).write(text)  # type: ignore[call-overload]
    write_file("out", request).write(7)  # type: ignore[arg-type]
    write_file("out", request).read()  # type: ignore[attr-defined]
    write_file("out", request).closed = True  # type: ignore[misc]
    connection.execute("SELECT 1")  # type: ignore[call-overload]
    yield request, True


def good_startup(read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection) -> None:
    """Do nothing."""


def too_few(request: int, read_file: ReadFileFn, write_file: WriteFileFn) -> None:
    """Lack the connection."""


def text_request(request: str, read: ReadFileFn, write: WriteFileFn, db: Connection) -> None:
    """Take the id for text."""


def float_case(
    request: int, read: ReadFileFn, write: WriteFileFn, db: Connection
) -> Iterator[tuple[int, float]]:
    yield request, 1.0


def no_case(request: int, read: ReadFileFn, write: WriteFileFn, db: Connection) -> Iterator[int]:
    yield request


def triple(
    request: int, read: ReadFileFn, write: WriteFileFn, db: Connection
) -> list[tuple[int, bool, str]]:
    return [(request, True, "more")]


def text_id(
    request: int, read: ReadFileFn, write: WriteFileFn, db: Connection
) -> list[tuple[str, bool]]:
    return [(str(request), True)]


async def coroutine(request: int, read: ReadFileFn, write: WriteFileFn, db: Connection) -> None:
    """Run when awaited, which nobody does."""


async def async_generator(
    request: int, read: ReadFileFn, write: WriteFileFn, db: Connection
) -> AsyncIterator[tuple[int, bool]]:
    yield request, True


functions: list[ProcessFn] = [
    good,
    good_startup,  # type: ignore[list-item]
    too_few,  # type: ignore[list-item]
    text_request,  # type: ignore[list-item]
    float_case,  # type: ignore[list-item]
    no_case,  # type: ignore[list-item]
    triple,  # type: ignore[list-item]
    text_id,  # type: ignore[list-item]
    coroutine,  # type: ignore[list-item]
    async_generator,  # type: ignore[list-item]
]
beginnings: list[StartupFn] = [
    good_startup,
    good,  # type: ignore[list-item]
]

Microservice("a", "host")  # type: ignore[call-overload]
Microservice("a", good)  # type: ignore[call-overload]
Microservice(7, "host", good)  # type: ignore[call-overload]
Microservice("a", 7, good)  # type: ignore[call-overload]
Microservice("a", "host", good_startup)  # type: ignore[call-overload]
Microservice("a", "host", good, good_startup)  # type: ignore[call-overload]
Microservice("a", "host", good_startup, good, good)  # type: ignore[call-overload]
Microservice("a", "host", startup=good_startup)  # type: ignore[call-overload]
Microservice("a", "host", good, prefech=7)  # type: ignore[call-overload]
Microservice("a", "host", good, prefetch="7")  # type: ignore[call-overload]
Microservice("a", "host", good, prefetch=7.5)  # type: ignore[call-overload]
Microservice("a", "host", good).name = "b"  # type: ignore[misc]
Options(prefech=7)  # type: ignore[call-arg]
Options().prefetch = 7  # type: ignore[misc]
