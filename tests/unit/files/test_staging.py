"""The folder of local copies: made when needed, kept, and gone in the end."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from slingshot_microservice.files import DirectoryStore, FileAccess, RequestFiles, StagingFolder

LARGE = b"x" * 100_000  # too large for a local copy in memory


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders are made; nothing else is."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def staging(temporary: Path) -> StagingFolder:
    return StagingFolder()


def write(staging: StagingFolder, content: bytes) -> Path:
    file, path = staging.new_file()
    with file:
        file.write(content)
    return path


@pytest.fixture
def access(temporary: Path, tmp_path: Path) -> FileAccess:
    assert temporary.exists()
    return FileAccess(DirectoryStore(tmp_path / "objects", 1000), str)


def test_nothing_is_made_before_the_first_file(staging: StagingFolder, temporary: Path) -> None:
    assert list(temporary.iterdir()) == []
    staging.close()


def test_files_are_apart_and_in_one_folder(staging: StagingFolder, temporary: Path) -> None:
    paths = [write(staging, b"%d" % number) for number in range(3)]
    assert [path.read_bytes() for path in paths] == [b"0", b"1", b"2"]
    [folder] = temporary.iterdir()
    assert {path.parent for path in paths} == {folder}
    assert folder.name.startswith("slingshot-")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_request_takes_its_copies_away_and_leaves_the_folder(
    access: FileAccess, temporary: Path, tmp_path: Path
) -> None:
    for id in (1, 2):
        files = RequestFiles(id, access)
        files.write_file("reports", id).write(LARGE)
        files.write_file("reports", id).write(LARGE + b"%d" % id)
        files.close()
        files.upload()
        files.discard()
        assert (tmp_path / "objects" / "reports" / str(id)).read_bytes() == LARGE + b"%d" % id
        [folder] = temporary.iterdir()
        assert list(folder.iterdir()) == []


def test_a_request_that_failed_takes_its_copies_away(access: FileAccess, temporary: Path) -> None:
    beside = write(access.staging, b"of another request")
    files = RequestFiles(1, access)
    files.write_file("reports", 1).write(LARGE)
    files.discard()
    [folder] = temporary.iterdir()
    assert list(folder.iterdir()) == [beside]
    access.close()
    assert list(temporary.iterdir()) == []


def test_closing_removes_it_and_may_be_repeated(staging: StagingFolder, temporary: Path) -> None:
    write(staging, b"left over")
    staging.close()
    staging.close()
    assert list(temporary.iterdir()) == []
    write(staging, b"another")
    assert len(list(temporary.iterdir())) == 1
    staging.close()
    assert list(temporary.iterdir()) == []


def test_it_goes_when_nobody_knows_of_it(temporary: Path) -> None:
    write(StagingFolder(), b"left over")
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_a_folder_that_was_tidied_up_is_made_again(staging: StagingFolder, temporary: Path) -> None:
    write(staging, b"long ago")
    [folder] = temporary.iterdir()
    shutil.rmtree(folder)
    assert write(staging, b"content").read_bytes() == b"content"
    staging.close()
    assert list(temporary.iterdir()) == []


def test_threads_share_one_folder(staging: StagingFolder, temporary: Path) -> None:
    barrier = threading.Barrier(8)
    paths: list[Path] = []

    def make() -> None:
        barrier.wait()
        paths.extend(write(staging, b"") for _ in range(50))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 400
    assert len(list(temporary.iterdir())) == 1


def test_a_fork_makes_its_own_and_leaves_its_parents_alone(temporary: Path) -> None:
    program = f"""
import os, sys, tempfile
from slingshot_microservice.files import StagingFolder
tempfile.tempdir = {str(temporary)!r}
staging = StagingFolder()
ours = staging.new_file()[1]
child = os.fork()
if not child:
    theirs = staging.new_file()[1]
    sys.exit(0 if theirs.parent != ours.parent else 1)  # with all that runs at exit
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(status, ours.exists(), len(os.listdir(tempfile.tempdir)))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["0", "True", "1"]
    assert os.listdir(temporary) == []
