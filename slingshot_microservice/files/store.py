"""What an object store must do, whatever is behind it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

__all__ = ["Content", "ObjectStore"]

Content: TypeAlias = Path | bytes
"""What is uploaded: the path of a file; or bytes, if there are few."""


class ObjectStore(Protocol):
    """Objects named by an id, in buckets. Safe to use from several threads.

    Attributes:
        uploads_at_once: How many files of one request it gains anything to upload side by side.
    """

    uploads_at_once: int

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

    def upload(self, bucket: str, id: int, content: Content) -> None:
        """Store a content as object ``id`` of ``bucket``, whole or not at all.

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
