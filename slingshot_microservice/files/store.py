"""What an object store must do, whatever is behind it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol

__all__ = ["ObjectStore"]


class ObjectStore(Protocol):
    """Objects named by an id, in buckets. Safe to use from several threads."""

    def read(self, bucket: str, id: int) -> BinaryIO:
        """Open object ``id`` of ``bucket``.

        Returns:
            A readable, seekable binary file that holds the whole object: in memory up to the
            store's limit, in a temporary file that vanishes when closed above it.

        Raises:
            ObjectNotFoundError: There is no such object or bucket.
            StorageUnavailableError: The store cannot be reached, or broke off.
            StorageError: The store refused.
        """
        ...

    def upload(self, bucket: str, id: int, path: Path) -> None:
        """Store the file at ``path`` as object ``id`` of ``bucket``, whole or not at all.

        Raises:
            StorageUnavailableError: The store cannot be reached, or broke off.
            StorageError: The store refused.
        """
        ...

    def check(self, bucket: str) -> None:
        """Ask once whether the store answers at all; ``bucket`` is where the question goes.

        Raises:
            StorageUnavailableError: It cannot be reached, or is failing.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
