"""Object storage in a local directory: a folder is a bucket, a file is an object."""

from __future__ import annotations

import io
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import ObjectNotFoundError, StorageError
from .store import Content

__all__ = ["DirectoryStore"]


class DirectoryStore:
    """An `ObjectStore` for a laptop: object 42 of bucket ``texts`` is the file ``texts/42``.

    Args:
        directory: Where the buckets are; made with the first object.
        memory_limit: Bytes up to which an object that is read is held in memory. A larger one
            is the opened file itself, which is local and seekable already.
    """

    uploads_at_once = 1  # there is no network to wait for

    def __init__(self, directory: Path, memory_limit: int) -> None:
        self._directory = directory
        self._memory_limit = memory_limit

    def __repr__(self) -> str:
        return f"DirectoryStore({str(self._directory)!r})"

    def read(self, bucket: str, id: int) -> BinaryIO:
        """Open object ``id`` of ``bucket``.

        Returns:
            A readable, seekable binary file.

        Raises:
            ObjectNotFoundError: There is no such object; the error names bucket, id and path.
            StorageError: The bucket's name is no folder name, or the file cannot be read.
        """
        path = self._folder(bucket, id) / str(id)
        try:
            file = path.open("rb")
            if os.fstat(file.fileno()).st_size > self._memory_limit:
                return file
            with file:
                return io.BytesIO(file.read())
        except FileNotFoundError:
            raise ObjectNotFoundError(
                f"bucket {bucket!r} has no object {id} (there is no file {path})",
                bucket=bucket,
                id=id,
            ) from None
        except OSError as error:
            raise _refusal("read", path, bucket, id, error) from error

    def upload(self, bucket: str, id: int, content: Content) -> None:
        """Copy a content to object ``id`` of ``bucket``, whole or not at all.

        Raises:
            StorageError: The bucket's name is no folder name, or the file cannot be written.
        """
        folder = self._folder(bucket, id)
        partial = folder / f".{id}-{secrets.token_hex(8)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                partial.write_bytes(content)
            else:
                shutil.copyfile(content, partial)
            os.replace(partial, folder / str(id))
        except OSError as error:
            raise _refusal("write", folder / str(id), bucket, id, error) from error
        finally:
            with suppress(OSError):  # gone already when all went well
                partial.unlink()

    def check(self, bucket: str) -> None:
        """Do nothing: a directory is there, or made with the first object."""

    def close(self) -> None:
        """Do nothing: a directory has no connections."""

    def _folder(self, bucket: str, id: int) -> Path:
        if bucket in ("", "..") or "\0" in bucket or Path(bucket).name != bucket:
            raise StorageError(
                f"bucket {bucket!r} cannot be a folder of {self._directory}; "
                f"name it without slashes in the configuration",
                bucket=bucket,
                id=id,
            )
        return self._directory / bucket


def _refusal(verb: str, path: Path, bucket: str, id: int, error: OSError) -> StorageError:
    return StorageError(
        f"cannot {verb} object {id} of bucket {bucket!r} at {path}: {error.strerror or error}",
        bucket=bucket,
        id=id,
    )
