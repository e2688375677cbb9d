"""The public types: what a ``process`` function receives and what it gives back.

All of them are protocols or aliases, so annotating with them costs nothing at run time::

    def process(
        request: int,
        read_file: ReadFileFn,
        write_file: WriteFileFn,
        connection: Connection,
    ) -> Iterator[tuple[int, CaseVariable]]: ...
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

if TYPE_CHECKING:
    from sqlalchemy.engine.base import Connection

__all__ = [
    "CaseVariable",
    "Output",
    "ProcessFn",
    "ReadFileFn",
    "StartupFn",
    "WriteFileFn",
    "WriteHandle",
]

CaseVariable: TypeAlias = bool | int | str
"""What routes an output. The type counts: ``True``, ``1`` and ``"1"`` are three cases."""

Output: TypeAlias = tuple[int, CaseVariable]
"""An id (0 to 2**64 - 1) and the case whose queues it is sent to."""


class ReadFileFn(Protocol):
    """Opens a stored object for reading."""

    def __call__(self, key: str, id: int, /) -> BinaryIO:
        """Open object ``id`` of the bucket that ``key`` stands for.

        Args:
            key: The bucket reference of the configuration, such as ``"in"``; not the bucket's name.
            id: The object's id, 0 to 2**64 - 1.

        Returns:
            A readable, seekable binary file. It is closed for you when the request ends.

        Raises:
            ObjectNotFoundError: There is no such object; the error names bucket and id.
            StorageError: The store could not be reached or refused.
            ConfigurationError: The configuration service does not know the key.
            UsageError: The key or the id can be none.
        """
        ...


class WriteHandle(Protocol):
    """A local file that is uploaded when the request has been processed."""

    def write(self, data: bytes | bytearray | memoryview | str, /) -> int:
        """Append ``data``; text is written as UTF-8. Returns the number of bytes written."""
        ...

    def flush(self) -> None:
        """Hand buffered bytes to the operating system."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a byte offset and return the new one."""
        ...

    def tell(self) -> int:
        """Return the current byte offset."""
        ...

    def truncate(self, size: int | None = None, /) -> int:
        """Cut the file to ``size`` bytes."""
        ...

    def fileno(self) -> int:
        """Return the operating system's descriptor of the local file."""
        ...

    def close(self) -> None:
        """Close the local file; it is still uploaded. Left open, it is closed for you."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the local file is closed."""
        ...

    def __enter__(self) -> WriteHandle: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


class WriteFileFn(Protocol):
    """Opens a local file whose content is uploaded when the request has been processed."""

    def __call__(self, key: str, id: int, /) -> WriteHandle:
        """Stage object ``id`` of the bucket that ``key`` stands for.

        Args:
            key: The bucket reference of the configuration, such as ``"out"``.
            id: The object's id, 0 to 2**64 - 1.

        Returns:
            A file opened for writing. Nothing reaches the store before ``process`` has ended
            without an error. Of two files staged for one object the later one stands.

        Raises:
            RequestEndedError: The request that this function belongs to is over.
            ConfigurationError: The configuration service does not know the key.
            UsageError: The key or the id can be none.
        """
        ...


class ProcessFn(Protocol):
    """The user's function: one request in, any number of outputs out."""

    def __call__(
        self,
        request: int,
        read_file: ReadFileFn,
        write_file: WriteFileFn,
        connection: Connection,
        /,
    ) -> Iterable[Output] | None:
        """Process one request.

        Args:
            request: The id taken from the inbound queue, 0 to 2**64 - 1.
            read_file: Opens stored objects.
            write_file: Stages objects.
            connection: A SQLAlchemy connection. Its transaction is committed after the staged
                files were uploaded, and rolled back when anything failed.

        Returns:
            The outputs, as a generator or any other iterable. ``None`` stands for no outputs.
        """
        ...


class StartupFn(Protocol):
    """Runs once before the first request; its outputs are sent like those of ``process``."""

    def __call__(
        self, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection, /
    ) -> Iterable[Output] | None:
        """Prepare what the service needs, and name ids to begin with."""
        ...
