"""Local files of the S3 clients: what is sent in one piece, what a large object is read into."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import BinaryIO

from .store import Content

__all__ = ["small_or_path", "temporary_file_of"]


def small_or_path(content: Content, limit: int) -> Content:
    """Return bytes as they are, and those of a file of at most ``limit`` bytes; else its path.

    Raises:
        OSError: The file cannot be read.
    """
    if isinstance(content, bytes):
        return content
    with open(content, "rb", buffering=0) as file:
        return content if os.fstat(file.fileno()).st_size > limit else file.read()


def temporary_file_of(chunks: Iterable[bytes]) -> BinaryIO:
    """Write chunks to a temporary file that vanishes when closed; return it, at its beginning.

    Raises:
        OSError: There is no room.
        BaseException: Whatever ``chunks`` raises; then nothing is left.
    """
    file = tempfile.TemporaryFile(prefix="slingshot-")  # noqa: SIM115 - the caller closes it
    try:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
