"""Stand-ins for the surroundings of a request, which note what is asked of them and in what order.

A journal is a list of lines. What a stand-in is told to fail at, it notes first.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from slingshot_microservice.broker.protocol import Failure, Receiver
from slingshot_microservice.errors import (
    DatabaseError,
    DatabaseUnavailableError,
    StorageUnavailableError,
)
from slingshot_microservice.files import Content
from slingshot_microservice.hotpath import Publish, Work

__all__ = [
    "Journal",
    "RecordingBroker",
    "RecordingDatabase",
    "RecordingSession",
    "RecordingStore",
    "files_below",
    "local_copies",
]


class Journal(list[str]):
    """What happened, one line each; and what is to fail, by the first word of its line."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: dict[str, BaseException] = {}

    def note(self, line: str) -> None:
        """Write a line, and raise if this is what is to fail."""
        self.append(line)
        error = self.failing.get(line.split()[0])
        if error is not None:
            raise error


def local_copies() -> int:
    """Count the staged files that are there now."""
    return len(list(Path(tempfile.gettempdir()).glob("slingshot-*/*")))


def files_below(temporary: Path) -> list[Path]:
    """Return what there is but the folders of local copies, which stay for the next request."""
    return [path for path in temporary.rglob("*") if path.is_file()]


class RecordingReader(io.BytesIO):
    """An object that notes when it is closed."""

    def __init__(self, journal: Journal, name: str, content: bytes) -> None:
        super().__init__(content)
        self._journal = journal
        self._name = name

    def close(self) -> None:
        """Note it, the first time."""
        if not self.closed:
            self._journal.note(f"close {self._name}")
        super().close()


class RecordingStore:
    """Object stores that hold ``hello`` everywhere. Fulfils `ObjectStore`."""

    uploads_at_once = 1

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def read(self, bucket: str, id: int) -> BinaryIO:
        """Open what is always there."""
        self._journal.note(f"read {bucket}/{id}")
        return RecordingReader(self._journal, f"{bucket}/{id}", b"hello")

    def upload(self, bucket: str, id: int, content: Content) -> None:
        """Note what it is."""
        data = content if isinstance(content, bytes) else content.read_bytes()
        self._journal.note(f"upload {bucket}/{id} {data.decode()}")

    def check(self, bucket: str) -> None:
        """Note it."""
        self._journal.note(f"check the store for {bucket}")

    def close(self) -> None:
        """Note it."""
        self._journal.note("store closed")

    def fail(self) -> None:
        """Refuse uploads from now on."""
        error = StorageUnavailableError("the store is away", bucket="reports", id=7)
        self._journal.failing["upload"] = error


class RecordingSession:
    """A database session without a database."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.connection = object()

    def commit(self) -> None:
        """Note it, and how many local copies are left."""
        self._journal.note(f"commit with {local_copies()} local copies")

    def rollback(self) -> None:
        """Note it."""
        self._journal.note("rollback")

    def close(self) -> None:
        """Note it."""
        self._journal.note("session closed")

    def fail(self) -> None:
        """Refuse commits from now on."""
        self._journal.failing["commit"] = DatabaseError("the commit was refused")


class RecordingDatabase:
    """A database with one session."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.the_session = RecordingSession(journal)

    def check(self) -> None:
        """Note it."""
        self._journal.note("check the database")

    def is_missed_in(self, error: BaseException) -> bool:
        """Only our own error says so."""
        return isinstance(error, DatabaseUnavailableError)

    def session(self) -> Any:
        """Return the session."""
        return self.the_session

    def close(self) -> None:
        """Note it."""
        self._journal.note("database closed")


class RecordingBroker:
    """Gives out prepared deliveries, then ends. Fulfils `Broker`."""

    def __init__(self, journal: Journal, works: Iterable[Work] = ()) -> None:
        self._journal = journal
        self._works = deque(works)
        self.failures: list[Failure] = []
        self.current_trouble: str | None = None
        self.dead = False
        self.on_hand_back: Callable[[int], object] = lambda _tag: None

    def open(self, sleep: Callable[[float], object] = time.sleep) -> None:
        """Note it."""
        self._journal.note("open")

    def send(self, publishes: Sequence[Publish]) -> None:
        """Note it."""
        self._journal.note(f"send {publishes}")

    def consume(self) -> None:
        """Note it."""
        self._journal.note("consume")

    def receiver(self) -> Receiver:
        """All workers take from the same."""
        return self

    def receive(self) -> Work | None:
        """Give out the next delivery."""
        return self._works.popleft() if self._works else None

    def finish(self, epoch: int, tag: int, id: int, publishes: Sequence[Publish]) -> None:
        """Note it."""
        self._journal.note(f"finish {epoch} {tag} {publishes}")

    def fail(self, epoch: int, tag: int, id: int, failure: Failure) -> None:
        """Note it, and keep why."""
        self.failures.append(failure)
        self._journal.note(f"fail {epoch} {tag} {failure.reason}")

    def hand_back(self, epoch: int, tag: int, id: int) -> None:
        """Note it."""
        self._journal.note(f"hand_back {epoch} {tag}")
        self.on_hand_back(tag)

    def pause(self, reason: str) -> None:
        """Note it."""
        self._journal.note(f"pause {reason!r}")

    def resume(self, reason: str) -> None:
        """Note it."""
        self._journal.note(f"resume {reason!r}")

    def cancel(self) -> None:
        """Note it."""
        self._journal.note("cancel")

    def trouble(self) -> str | None:
        """None, unless a test says otherwise."""
        return self.current_trouble

    def has_died(self) -> bool:
        """Only when a test says so."""
        return self.dead

    def close(self, timeout: float) -> bool:
        """Note it."""
        self._journal.note("close")
        return True
