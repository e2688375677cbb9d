"""What a handle of write_file can be given to."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slingshot_microservice.files import LocalCopy, StagedFile, StagingFolder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StagingFolder]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = StagingFolder()
    yield folder
    folder.close()


@pytest.fixture(params=["memory", "disk"])
def copy(folder: StagingFolder, request: pytest.FixtureRequest) -> LocalCopy:
    """What is written to: in memory while it is small, and on disk from the beginning."""
    return LocalCopy(folder, in_memory=request.param == "memory")


@pytest.fixture
def handle(copy: LocalCopy) -> StagedFile:
    return StagedFile(copy)


def content(handle: StagedFile, copy: LocalCopy) -> bytes:
    handle.close()
    return copy.content if isinstance(copy.content, bytes) else copy.content.read_bytes()


def test_write_takes_bytes_and_text(handle: StagedFile, copy: LocalCopy) -> None:
    pieces: list[bytes | bytearray | memoryview | str]
    pieces = [b"a", bytearray(b"b"), memoryview(b"c"), "é"]
    assert [handle.write(piece) for piece in pieces] == [1, 1, 1, 2]
    handle.writelines([b"d", b"e"])
    assert content(handle, copy) == "abcéde".encode()


def test_handle_is_an_ordinary_binary_file(handle: StagedFile, copy: LocalCopy) -> None:
    with handle as file:
        file.write("0123456789")
        assert file.tell() == 10
        assert file.seek(2) == 2
        file.write(b"XX")
        file.truncate(6)
        file.flush()
        assert os.fstat(file.fileno()).st_size == 6
        file.seek(0)
        assert file.read() == b"01XX45"
    assert handle.closed
    with pytest.raises(ValueError, match="closed"):
        handle.write(b"too late")


def test_handle_for_csv(handle: StagedFile, copy: LocalCopy) -> None:
    csv.writer(handle).writerows([["name", "size"], ["é", 1]])
    assert content(handle, copy) == "name,size\r\né,1\r\n".encode()


def test_handle_for_json(handle: StagedFile, copy: LocalCopy) -> None:
    json.dump({"size": [1, 2]}, handle)
    assert json.loads(content(handle, copy)) == {"size": [1, 2]}


def test_handle_for_copyfileobj(handle: StagedFile, copy: LocalCopy) -> None:
    shutil.copyfileobj(io.BytesIO(b"x" * 100_000), handle)
    assert content(handle, copy) == b"x" * 100_000


def test_handle_for_zipfile(handle: StagedFile, copy: LocalCopy) -> None:
    with zipfile.ZipFile(handle, "w") as archive:
        archive.writestr("name", "content")
    with zipfile.ZipFile(io.BytesIO(content(handle, copy))) as archive:
        assert archive.read("name") == b"content"


def test_handle_for_text_wrapper(handle: StagedFile, copy: LocalCopy) -> None:
    with io.TextIOWrapper(handle, encoding="utf-16-le", newline="\n") as text:
        print("é", file=text)
    assert content(handle, copy) == "é\n".encode("utf-16-le")


def test_what_is_small_needs_no_file(folder: StagingFolder, tmp_path: Path) -> None:
    copy = LocalCopy(folder, in_memory=True)
    with StagedFile(copy) as file:
        file.write(b"x" * 64 * 1024)
        file.flush()
        file.seek(0)
        assert file.read(3) == b"xxx"
    assert copy.content == b"x" * 64 * 1024
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sizes", [[64 * 1024 + 1], [1000] * 100, [10, 200_000, 10]])
def test_what_is_large_goes_to_a_file(folder: StagingFolder, sizes: list[int]) -> None:
    copy = LocalCopy(folder, in_memory=True)
    pieces = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    with StagedFile(copy) as file:
        file.writelines(pieces)
        assert file.tell() == sum(sizes)
    assert isinstance(copy.content, Path)
    assert copy.content.read_bytes() == b"".join(pieces)


def test_a_file_is_there_as_soon_as_somebody_asks_for_it(folder: StagingFolder) -> None:
    copy = LocalCopy(folder, in_memory=True)
    file = StagedFile(copy)
    file.write(b"before ")
    file.flush()
    program = "import sys; sys.stdout.write('from a program '); sys.stdout.flush()"
    subprocess.run([sys.executable, "-c", program], stdout=file.fileno(), check=True)
    file.seek(0, os.SEEK_END)
    file.write("after")
    file.close()
    assert Path(file.name).read_text() == "before from a program after"
    assert copy.content == Path(file.name)


def test_a_name_may_be_asked_for_when_all_is_written(folder: StagingFolder) -> None:
    copy = LocalCopy(folder, in_memory=True)
    file = StagedFile(copy)
    file.write(b"content")
    file.close()
    assert Path(file.name).read_bytes() == b"content"
    assert copy.content == Path(file.name)


@pytest.mark.parametrize("where", [10, 64 * 1024, 1_000_000])
def test_what_lies_between_is_zeros(copy: LocalCopy, where: int) -> None:
    handle = StagedFile(copy)
    handle.write(b"a")
    handle.seek(where)
    handle.write(b"b")
    assert content(handle, copy) == b"a" + bytes(where - 1) + b"b"


@pytest.mark.parametrize("size", [0, 3, 5, 1_000_000])
def test_a_size_may_be_set(handle: StagedFile, copy: LocalCopy, size: int) -> None:
    handle.write(b"12345")
    assert handle.truncate(size) == size
    assert content(handle, copy) == b"12345"[:size].ljust(size, b"\0")


def test_a_file_that_cannot_be_made_leaves_what_was_written(
    folder: StagingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = LocalCopy(folder, in_memory=True)
    file = StagedFile(copy)
    file.write(b"content")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OSError, match="No such file"):
        file.fileno()
    file.close()
    assert copy.content == b"content"
