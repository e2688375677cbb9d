"""The files of one request: opened for ``process``, closed and uploaded when it has ended."""

from __future__ import annotations

import io
import tempfile
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from ..errors import RequestEndedError, StorageError, UsageError
from .staging import LocalCopy, StagedFile, StagingFolder
from .store import ObjectStore
from .uploads import Upload, upload_all

__all__ = ["FileAccess", "RequestFiles"]

_LARGEST_ID = 2**64 - 1
_IN_MEMORY = 64  # of a request's files, if they are small; more would not be little any more

# A full disk; a file that was detached; a BytesIO whose getbuffer() is still in use.
_CLOSING_ERRORS = (OSError, ValueError, BufferError)


class FileAccess:
    """What the requests of one worker share: where their files come from and go to.

    Args:
        store: Where objects are read from and uploaded to.
        resolve_bucket: Turns a key of the configuration into a bucket's name.

    Attributes:
        staging: Where local copies are made.
        lock: Held by whoever opens a file or ends a request.
    """

    __slots__ = ("lock", "resolve_bucket", "staging", "store")

    def __init__(self, store: ObjectStore, resolve_bucket: Callable[[str], str]) -> None:
        self.store = store
        self.resolve_bucket = resolve_bucket
        self.staging = StagingFolder()
        self.lock = threading.Lock()

    def close(self) -> None:
        """Remove what was kept for the next request: the folder of local copies."""
        self.staging.close()


class _Opened:
    """What a request has opened."""

    __slots__ = ("copies", "readers", "staged", "writers")

    def __init__(self) -> None:
        self.readers: list[BinaryIO | weakref.ref[io.BytesIO]] = []
        self.writers: list[tuple[StagedFile, str, int]] = []
        self.staged: dict[tuple[str, int], LocalCopy] = {}
        self.copies: list[LocalCopy] = []


class RequestFiles:
    """Gives out the files of one request, and finishes them in the order of the contract.

    Making one is nearly free, because one is made for every request: what shows whether there
    are files at all is looked at first, and all else is made when there are. ``read_file`` and
    ``write_file`` may be called from several threads at once; `close`, `upload` and `discard`
    belong to the thread that runs the request. Once `close` has begun, no thread gets another
    file.

    Args:
        request: The request's id, for messages; ``None`` stands for ``startup``.
        access: Where files come from and go to.
    """

    __slots__ = ("_access", "_ended", "_opened", "_request")

    def __init__(self, request: int | None, access: FileAccess) -> None:
        self._request = request
        self._access = access
        self._ended = False
        self._opened: _Opened | None = None

    def read_file(self, key: str, id: int) -> BinaryIO:
        """Open object ``id`` of the bucket that ``key`` stands for.

        Args:
            key: The bucket reference of the configuration, such as ``"in"``.
            id: The object's id, 0 to 2**64 - 1.

        Returns:
            A readable, seekable binary file, closed when the request ends.

        Raises:
            RequestEndedError: The request is over.
            UsageError: The key is no text, or the id is none.
            StorageError: There is no such object, or the store failed.
            ConfigurationError: The configuration does not know the key.
        """
        if self._ended:
            raise self._ended_error("read_file")
        id = _check_arguments("read_file", key, id)
        access = self._access
        reader = access.store.read(access.resolve_bucket(key), id)
        try:
            self._keep(reader)
        except RequestEndedError:
            reader.close()
            raise
        return reader

    def write_file(self, key: str, id: int) -> StagedFile:
        """Stage object ``id`` of the bucket that ``key`` stands for.

        Of two files staged for one object, through one key or two, the later one stands.

        Args:
            key: The bucket reference of the configuration, such as ``"out"``.
            id: The object's id, 0 to 2**64 - 1.

        Returns:
            A new local file, uploaded when ``process`` has ended without an error.

        Raises:
            RequestEndedError: The request is over.
            UsageError: The key is no text, or the id is none.
            StorageError: The local file cannot be made.
            ConfigurationError: The configuration does not know the key.
        """
        if self._ended:
            raise self._ended_error("write_file")
        id = _check_arguments("write_file", key, id)
        bucket = self._access.resolve_bucket(key)
        try:
            return self._stage(bucket, id)
        except OSError as error:
            raise _local_error(error, bucket, id) from error

    def close(self) -> None:
        """Close every file that was opened for this request, and give out no more.

        Raises:
            StorageError: What ``process`` wrote cannot be brought to the local disk. The other
                files are closed all the same.
        """
        with self._access.lock:
            self._ended = True
        if self._opened is not None:
            _close_readers(self._opened)
            _close_writers(self._opened)

    def upload(self) -> None:
        """Upload the staged files; begin in the order in which they were first staged.

        Closes first what is still open, and afterwards removes the local copies. Several files
        are uploaded side by side where the store gains by it.

        Raises:
            StorageError: A file could not be uploaded: the first such in the order. What had not
                been begun by then was not uploaded.
        """
        opened = self._opened
        if opened is None or not opened.staged:
            return
        self.close()
        upload_all(
            self._access.store,
            [Upload(bucket, id, copy.content) for (bucket, id), copy in opened.staged.items()],
        )
        _remove_local_copies(opened)

    def discard(self) -> None:
        """Close and remove whatever is left; calling it again, or after `upload`, is fine.

        Never raises, so that it can be called when anything has failed.
        """
        with suppress(StorageError):
            self.close()
        if self._opened is not None:
            _remove_local_copies(self._opened)

    def _keep(self, reader: BinaryIO) -> None:
        with self._access.lock:
            self._for_opening("read_file").readers.append(_held(reader))

    def _stage(self, bucket: str, id: int) -> StagedFile:
        with self._access.lock:
            opened = self._for_opening("write_file")
            copy = LocalCopy(self._access.staging, in_memory=len(opened.copies) < _IN_MEMORY)
            file = StagedFile(copy)
            opened.writers.append((file, bucket, id))
            earlier = opened.staged.get((bucket, id))
            opened.staged[bucket, id] = copy
            opened.copies.append(copy)
        if earlier is not None:
            earlier.remove()
        return file

    def _for_opening(self, function: str) -> _Opened:
        """Return where to note what is opened; with the lock held.

        Raises:
            RequestEndedError: The request is over.
        """
        if self._ended:
            raise self._ended_error(function)
        if self._opened is None:
            self._opened = _Opened()
        return self._opened

    def _ended_error(self, function: str) -> RequestEndedError:
        request = "startup" if self._request is None else f"request {self._request}"
        return RequestEndedError(
            f"{function} was called after {request} had ended; open files before process returns "
            f"(or its generator ends), and use the {function} that each request is given"
        )


def _close_readers(opened: _Opened) -> None:
    readers, opened.readers = opened.readers, []
    for held in readers:
        reader = held() if isinstance(held, weakref.ref) else held
        if reader is not None:
            with suppress(*_CLOSING_ERRORS):  # nothing depends on a reader any more
                reader.close()


def _close_writers(opened: _Opened) -> None:
    writers, opened.writers = opened.writers, []
    failure: StorageError | None = None
    for writer, bucket, id in writers:
        try:
            writer.close()
        except _CLOSING_ERRORS as error:
            failure = failure or _local_error(error, bucket, id)
    if failure is not None:
        raise failure


def _remove_local_copies(opened: _Opened) -> None:
    copies, opened.copies = opened.copies, []
    opened.staged.clear()
    for copy in copies:
        copy.remove()


def _held(reader: BinaryIO) -> BinaryIO | weakref.ref[io.BytesIO]:
    """Hold an object in memory weakly: what ``process`` has dropped is to be freed at once."""
    return weakref.ref(reader) if isinstance(reader, io.BytesIO) else reader


def _check_arguments(function: str, key: object, id: object) -> int:
    if not isinstance(key, str):
        raise UsageError(f"{function}: key is {key!r}; expected the name of a bucket key, a str")
    if not isinstance(id, int) or isinstance(id, bool) or not 0 <= id <= _LARGEST_ID:
        raise UsageError(f"{function}: id is {id!r}; expected an int from 0 to {_LARGEST_ID}")
    return int(id)  # an IntEnum would name the object after its member


def _local_error(error: Exception, bucket: str, id: int) -> StorageError:
    reason = error.strerror if isinstance(error, OSError) else None
    return StorageError(
        f"cannot write the local copy of object {id} of bucket {bucket!r}: {reason or error}; "
        f"see that {tempfile.gettempdir()} has room, and close files once they are written",
        bucket=bucket,
        id=id,
    )
