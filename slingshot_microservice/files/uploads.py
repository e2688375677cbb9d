"""Uploads of one request, side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .store import Content, ObjectStore

__all__ = ["Upload", "upload_all"]


class Upload(NamedTuple):
    """What becomes an object.

    Attributes:
        bucket: The name of its bucket.
        id: Its id.
        content: What it will hold.
    """

    bucket: str
    id: int
    content: Content


def upload_all(store: ObjectStore, uploads: Sequence[Upload]) -> None:
    """Upload files, as many at a time as the store has use for; begin them in their order.

    Of one file, or to a store that takes one at a time, no thread is made. When an upload fails,
    no further one begins, and those that run are waited for.

    Args:
        store: Where they go.
        uploads: The files, no two for one object.

    Raises:
        StorageError: A file could not be uploaded: of those that failed the first in the order.
    """
    at_once = min(len(uploads), store.uploads_at_once)
    if at_once > 1:
        _SideBySide(store, uploads).run(at_once)
    else:
        for upload in uploads:
            store.upload(*upload)


class _SideBySide:
    """Uploads that some threads take from one list.

    Args:
        store: Where they go.
        uploads: The list.
    """

    def __init__(self, store: ObjectStore, uploads: Iterable[Upload]) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._left = iter(enumerate(uploads))
        self._failures: dict[int, BaseException] = {}
        self._stopped = False

    def run(self, threads: int) -> None:
        """Upload with so many threads, of which this is one."""
        name = threading.current_thread().name
        helpers: list[threading.Thread] = []
        try:
            for number in range(1, threads):
                helper = threading.Thread(target=self._work, name=f"{name}-upload-{number}")
                try:
                    helper.start()
                except RuntimeError:  # there may be no more threads; fewer do as well
                    break
                helpers.append(helper)
            self._work()
        finally:
            self._stopped = True  # changes something only if this thread was interrupted
            for helper in helpers:
                helper.join()
        if self._failures:
            raise self._failures[min(self._failures)]

    def _work(self) -> None:
        while (following := self._next()) is not None:
            number, upload = following
            try:
                self._store.upload(*upload)
            except BaseException as error:  # noqa: BLE001  # raised by run(), in the request's thread
                self._failures[number] = error

    def _next(self) -> tuple[int, Upload] | None:
        with self._lock:
            if self._stopped or self._failures:
                return None
            return next(self._left, None)
