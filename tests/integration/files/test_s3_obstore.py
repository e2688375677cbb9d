"""The S3 store on obstore: what it leaves to boto3, and that it does without otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from servers.s3 import S3Server

PROGRAM = """
import os, sys
from pathlib import Path
from slingshot_microservice.files.s3_obstore import ObstoreStore
store = ObstoreStore(
    sys.argv[1], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"], memory_limit=1000
)
with store.read(sys.argv[2], 1) as file:
    content = file.read()
store.upload(sys.argv[2], 2, content)
Path(sys.argv[3]).write_bytes(content * int(sys.argv[4]))
store.upload(sys.argv[2], 3, Path(sys.argv[3]))
store.close()
print("boto3" in sys.modules)
"""

FORKING = """
import os, signal, sys
from slingshot_microservice.files.s3_obstore import ObstoreStore
store = ObstoreStore(
    sys.argv[1], os.environ["ACCESS_KEY"], os.environ["SECRET_KEY"], memory_limit=1000
)
def copy(id):
    with store.read(sys.argv[2], 1) as file:
        store.upload(sys.argv[2], id, file.read())
copy(2)
child = os.fork()
if not child:
    signal.alarm(30)
    copy(3)
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
copy(4)
store.close()
sys.exit(status)
"""


@pytest.mark.parametrize(("times", "loaded"), [(1, "False"), (1000, "True")])
def test_boto3_is_loaded_for_large_files_only(
    s3: S3Server, tmp_path: Path, times: int, loaded: str
) -> None:
    bucket = f"texts-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(bucket)
    s3.put(bucket, 1, b"content")
    keys = {"ACCESS_KEY": s3.access_key, "SECRET_KEY": s3.secret_key}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, s3.endpoint, bucket, tmp_path / "file", str(times)],
        env={**os.environ, **keys},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == loaded
    assert s3.get(bucket, 2) == b"content"
    assert s3.get(bucket, 3) == b"content" * times


def test_a_fork_reads_and_writes_all_the_same(rclone_s3: S3Server) -> None:
    bucket = f"texts-{uuid.uuid4().hex[:12]}"
    rclone_s3.create_bucket(bucket)
    rclone_s3.put(bucket, 1, b"content")
    keys = {"ACCESS_KEY": rclone_s3.access_key, "SECRET_KEY": rclone_s3.secret_key}
    subprocess.run(
        [sys.executable, "-c", FORKING, rclone_s3.endpoint, bucket],
        env={**os.environ, **keys},
        check=True,
    )
    assert rclone_s3.keys(bucket) == ["1", "2", "3", "4"]
    assert rclone_s3.get(bucket, 3) == b"content"
