"""What a large file takes of memory: a bounded part of it, in and out."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from servers.s3 import S3Server

PROGRAM = Path(__file__).parents[2] / "isolated" / "large_file.py"
MIB = 1024 * 1024
SIZE = 192 * MIB
LIMIT = 64 * MIB


@pytest.mark.parametrize("client", ["boto3", "obstore"])
def test_a_large_file_takes_little_memory(rclone_s3: S3Server, client: str) -> None:
    inbound, outbound = (f"{stem}-{uuid.uuid4().hex[:12]}" for stem in ("in", "out"))
    for bucket in (inbound, outbound):
        rclone_s3.create_bucket(bucket)
    content = os.urandom(SIZE)
    rclone_s3.put(inbound, 1, content[: 20 * MIB])
    rclone_s3.put(inbound, 2, content)
    ended = subprocess.run(
        [sys.executable, PROGRAM, client, rclone_s3.endpoint, inbound, outbound],
        env={
            **os.environ,
            "ACCESS_KEY": rclone_s3.access_key,
            "SECRET_KEY": rclone_s3.secret_key,
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert rclone_s3.get(outbound, 2) == content
    assert int(ended.stdout) < LIMIT
