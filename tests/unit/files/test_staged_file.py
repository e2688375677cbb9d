"""What a handle of write_file can be given to."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from slingshot_microservice.files import StagedFile


@pytest.fixture
def handle(tmp_path: Path) -> StagedFile:
    return StagedFile(tmp_path / "staged")


def content(handle: StagedFile, tmp_path: Path) -> bytes:
    handle.close()
    return (tmp_path / "staged").read_bytes()


def test_write_takes_bytes_and_text(handle: StagedFile, tmp_path: Path) -> None:
    pieces: list[bytes | bytearray | memoryview | str]
    pieces = [b"a", bytearray(b"b"), memoryview(b"c"), "é"]
    assert [handle.write(piece) for piece in pieces] == [1, 1, 1, 2]
    handle.writelines([b"d", b"e"])
    assert content(handle, tmp_path) == "abcéde".encode()


def test_handle_is_an_ordinary_binary_file(handle: StagedFile, tmp_path: Path) -> None:
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


def test_handle_for_csv(handle: StagedFile, tmp_path: Path) -> None:
    csv.writer(handle).writerows([["name", "size"], ["é", 1]])
    assert content(handle, tmp_path) == "name,size\r\né,1\r\n".encode()


def test_handle_for_json(handle: StagedFile, tmp_path: Path) -> None:
    json.dump({"size": [1, 2]}, handle)
    assert json.loads(content(handle, tmp_path)) == {"size": [1, 2]}


def test_handle_for_copyfileobj(handle: StagedFile, tmp_path: Path) -> None:
    shutil.copyfileobj(io.BytesIO(b"x" * 100_000), handle)
    assert content(handle, tmp_path) == b"x" * 100_000


def test_handle_for_zipfile(handle: StagedFile, tmp_path: Path) -> None:
    with zipfile.ZipFile(handle, "w") as archive:
        archive.writestr("name", "content")
    with zipfile.ZipFile(io.BytesIO(content(handle, tmp_path))) as archive:
        assert archive.read("name") == b"content"


def test_handle_for_text_wrapper(handle: StagedFile, tmp_path: Path) -> None:
    with io.TextIOWrapper(handle, encoding="utf-16-le", newline="\n") as text:
        print("é", file=text)
    assert content(handle, tmp_path) == "é\n".encode("utf-16-le")
