"""Local copies: what ``write_file`` gives out, and the folder that holds what is not small."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from .store import Content

__all__ = ["LocalCopy", "StagedFile", "StagingFolder"]

_MEMORY_BYTES = 64 * 1024


class StagedFile(io.BufferedRandom):
    """A local binary file, opened for writing (and reading back), whose ``write`` takes text too.

    Fulfils `slingshot_microservice.typing.WriteHandle`.

    Args:
        copy: Where it writes to.
    """

    def __init__(self, copy: LocalCopy) -> None:
        super().__init__(copy)

    def write(self, data: ReadableBuffer | str, /) -> int:
        """Append bytes, or text as UTF-8, and return the number of bytes."""
        return super().write(data.encode() if isinstance(data, str) else data)


class LocalCopy(io.RawIOBase):
    """What was written: a file that is made when there is a lot, or when somebody asks for it.

    Making and removing a file costs more than sending a small one. So what is small stays in
    memory, unless ``fileno()`` or ``name`` is asked for, by which a file can be told from memory.

    Args:
        folder: Where the file is made.
        in_memory: Whether a small content may stay in memory at all.

    Raises:
        OSError: The file cannot be made.
    """

    mode = "rb+"

    def __init__(self, folder: StagingFolder, *, in_memory: bool) -> None:
        super().__init__()
        self._folder = folder
        self._path: Path | None = None
        self._file: io.BytesIO | io.FileIO = io.BytesIO()
        if not in_memory:
            self._on_disk()

    @property
    def content(self) -> Content:
        """What was written so far: the path of the file, or the bytes themselves."""
        return self._file.getvalue() if isinstance(self._file, io.BytesIO) else self._file_path()

    @property
    def name(self) -> str:
        """The path of the file."""
        self._on_disk()
        return str(self._file_path())

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._on_disk().fileno()

    def readable(self) -> bool:
        """Tell that it can be read back."""
        return True

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def seekable(self) -> bool:
        """Tell that it has positions."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        """Read what fits into ``buffer``, and return how much that was."""
        return self._file.readinto(buffer)

    def write(self, data: ReadableBuffer, /) -> int | None:
        """Write bytes, and return how many."""
        if isinstance(self._file, io.BytesIO):
            with memoryview(data) as view:
                if self._file.tell() + view.nbytes > _MEMORY_BYTES:
                    self._on_disk()
        return self._file.write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position, and return it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def truncate(self, size: int | None = None, /) -> int:
        """Cut, or lengthen with zeros; which files do, and memory does not."""
        return self._on_disk().truncate(size)

    def close(self) -> None:
        """Let nothing be written any more; the content stays."""
        if isinstance(self._file, io.FileIO):
            self._file.close()
        super().close()

    def remove(self) -> None:
        """Remove the file, if one was made."""
        if self._path is not None:
            with suppress(
                OSError
            ):  # gone already; or open, where that counts: the folder goes, too
                self._path.unlink()

    def _on_disk(self) -> io.FileIO:
        if isinstance(self._file, io.FileIO):
            return self._file
        file, path = self._folder.new_file()
        try:
            with self._file.getbuffer() as content:
                written = 0
                while written < len(content):
                    written += file.write(content[written:])
            file.seek(self._file.tell())
            if self.closed:
                file.close()
        except BaseException:
            file.close()
            with suppress(OSError):
                path.unlink()
            raise
        self._file, self._path = file, path
        return file

    def _file_path(self) -> Path:
        assert self._path is not None
        return self._path


class StagingFolder:
    """A temporary folder for the local copies of one request after another.

    It is made with the first file, and kept, because making and removing a folder costs more than
    the file in it. It goes with `close`; when nobody knows of it any more; or when the program
    ends, if that is not killed. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._folder: Path | None = None
        self._owner = 0
        self._end: weakref.finalize[[Path, int], StagingFolder] | None = None

    def new_file(self) -> tuple[io.FileIO, Path]:
        """Make an empty file, and say where it is.

        Raises:
            OSError: There is no room, or no temporary directory.
        """
        folder = self._folder_of_ours()
        try:
            return self._new_file(folder)
        except FileNotFoundError:  # what tidies up /tmp takes a folder that was idle for days
            self._forget(folder)
            return self._new_file(self._folder_of_ours())

    def close(self) -> None:
        """Remove the folder, and what is left in it. Using it again makes another one."""
        with self._lock:
            end, self._end, self._folder = self._end, None, None
        if end is not None:
            end()

    def _new_file(self, folder: Path) -> tuple[io.FileIO, Path]:
        path = folder / str(next(self._numbers))
        return io.FileIO(path, "x+"), path

    def _forget(self, folder: Path) -> None:
        with self._lock:
            if self._folder == folder:  # another thread may have made the next one already
                self._folder = None

    def _folder_of_ours(self) -> Path:
        if self._folder is not None and self._owner == os.getpid():
            return self._folder
        with self._lock:
            if self._folder is None or self._owner != os.getpid():  # a fork shares no folder
                self._owner = os.getpid()
                self._folder = Path(tempfile.mkdtemp(prefix="slingshot-"))
                self._end = weakref.finalize(self, _remove, self._folder, self._owner)
            return self._folder


def _remove(folder: Path, owner: int) -> None:
    if owner == os.getpid():  # a fork that ends must not take its parent's folder along
        shutil.rmtree(folder, ignore_errors=True)
