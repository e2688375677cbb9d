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

__all__ = ["RequestFiles"]

_LARGEST_ID = 2**64 - 1
_IN_MEMORY = 64  # of a request's files, if they are small; more would not be little any more

# A full disk; a file that was detached; a BytesIO whose getbuffer() is still in use.
_CLOSING_ERRORS = (OSError, ValueError, BufferError)


class RequestFiles:
    """Gives out the files of one request, and finishes them in the order of the contract.

    Making one is nearly free: what a request does not use (the staging folder, the lists) is
    never made. ``read_file`` and ``write_file`` may be called from several threads at once;
    `close`, `upload` and `discard` belong to the thread that runs the request. Once `close` has
    begun, no thread gets another file.

    Args:
        request: The request's id, for messages; ``None`` stands for ``startup``.
        store: Where objects are read from and uploaded to.
        resolve_bucket: Turns a key of the configuration into a bucket's name.
        staging: Where local copies are made. Without it the request makes a folder for itself,
            if it needs one, and removes it in the end.
    """

    __slots__ = (
        "_copies",
        "_ended",
        "_lock",
        "_own_staging",
        "_readers",
        "_request",
        "_resolve_bucket",
        "_staged",
        "_staging",
        "_store",
        "_writers",
    )

    def __init__(
        self,
        request: int | None,
        store: ObjectStore,
        resolve_bucket: Callable[[str], str],
        staging: StagingFolder | None = None,
    ) -> None:
        self._request = request
        self._store = store
        self._resolve_bucket = resolve_bucket
        self._lock = threading.Lock()
        self._ended = False
        self._readers: list[BinaryIO | weakref.ref[io.BytesIO]] | None = None
        self._writers: list[tuple[StagedFile, str, int]] | None = None
        self._staged: dict[tuple[str, int], LocalCopy] | None = None
        self._copies: list[LocalCopy] | None = None
        self._staging = staging
        self._own_staging = staging is None

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
        reader = self._store.read(self._resolve_bucket(key), id)
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
        bucket = self._resolve_bucket(key)
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
        with self._lock:
            self._ended = True
        if self._readers is not None:
            self._close_readers(self._readers)
        if self._writers is not None:
            self._close_writers(self._writers)

    def upload(self) -> None:
        """Upload the staged files; begin in the order in which they were first staged.

        Closes first what is still open, and afterwards removes the local copies. Several files
        are uploaded side by side where the store gains by it.

        Raises:
            StorageError: A file could not be uploaded: the first such in the order. What had not
                been begun by then was not uploaded.
        """
        if self._staged is None:
            return
        self.close()
        upload_all(
            self._store,
            [Upload(bucket, id, copy.content) for (bucket, id), copy in self._staged.items()],
        )
        self._remove_local_copies()

    def discard(self) -> None:
        """Close and remove whatever is left; calling it again, or after `upload`, is fine.

        Never raises, so that it can be called when anything has failed.
        """
        if not self._ended or self._readers is not None or self._writers is not None:
            with suppress(StorageError):
                self.close()
        if self._copies is not None or self._own_staging:
            self._remove_local_copies()

    def _keep(self, reader: BinaryIO) -> None:
        with self._lock:
            if self._ended:
                raise self._ended_error("read_file")
            if self._readers is None:
                self._readers = []
            self._readers.append(_held(reader))

    def _stage(self, bucket: str, id: int) -> StagedFile:
        with self._lock:
            if self._ended:
                raise self._ended_error("write_file")
            if self._staging is None:
                self._staging = StagingFolder()
            if self._writers is None or self._staged is None or self._copies is None:
                self._writers, self._staged, self._copies = [], {}, []
            copy = LocalCopy(self._staging, in_memory=len(self._copies) < _IN_MEMORY)
            file = StagedFile(copy)
            self._writers.append((file, bucket, id))
            earlier = self._staged.get((bucket, id))
            self._staged[bucket, id] = copy
            self._copies.append(copy)
        if earlier is not None:
            earlier.remove()
        return file

    def _close_readers(self, readers: list[BinaryIO | weakref.ref[io.BytesIO]]) -> None:
        self._readers = None
        for held in readers:
            reader = held() if isinstance(held, weakref.ref) else held
            if reader is not None:
                with suppress(*_CLOSING_ERRORS):  # nothing depends on a reader any more
                    reader.close()

    def _close_writers(self, writers: list[tuple[StagedFile, str, int]]) -> None:
        self._writers = None
        failure: StorageError | None = None
        for writer, bucket, id in writers:
            try:
                writer.close()
            except _CLOSING_ERRORS as error:
                failure = failure or _local_error(error, bucket, id)
        if failure is not None:
            raise failure

    def _remove_local_copies(self) -> None:
        copies, self._copies, self._staged = self._copies, None, None
        if self._own_staging:
            if self._staging is not None:
                self._staging.close()
            return
        for copy in copies or ():
            copy.remove()

    def _ended_error(self, function: str) -> RequestEndedError:
        request = "startup" if self._request is None else f"request {self._request}"
        return RequestEndedError(
            f"{function} was called after {request} had ended; open files before process returns "
            f"(or its generator ends), and use the {function} that each request is given"
        )


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
