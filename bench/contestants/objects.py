"""Reads an object and writes it back under the same id in another bucket, through one client.

usage: python -m bench.contestants.objects CLIENT INBOUND OUTBOUND COUNT SIZE THREADS

The endpoint and the keys come in the environment. Objects 0 to COUNT - 1 are counted; object COUNT
is copied first, once by every thread, so that clients and connections are there. Memory is that in
use before the first object that counts, and the most that was in use from then on.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .job import Meter

__all__ = [
    "ACCESS_VARIABLE",
    "BOTO3",
    "CLIENTS",
    "ENDPOINT_VARIABLE",
    "IN_MEMORY",
    "OURS_BOTO3",
    "OURS_OBSTORE",
    "SECRET_VARIABLE",
]

ENDPOINT_VARIABLE = "SLINGSHOT_BENCH_S3_ENDPOINT"
ACCESS_VARIABLE = "SLINGSHOT_BENCH_S3_ACCESS_KEY"
SECRET_VARIABLE = "SLINGSHOT_BENCH_S3_SECRET_KEY"

IN_MEMORY = 8 * 1024 * 1024
"""Bytes up to which everybody may hold an object in memory; what is larger goes through a file."""

_CHUNK = 1024 * 1024
_REGION = "garage"
_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Job:
    """What to copy.

    Attributes:
        inbound: The bucket that is read.
        outbound: The bucket that is written.
        count: How many objects are copied.
        size: How many bytes each one has.
        threads: How many threads copy them.
    """

    inbound: str
    outbound: str
    count: int
    size: int
    threads: int

    @property
    def small(self) -> bool:
        """Whether objects are held in memory."""
        return self.size <= IN_MEMORY


Copy = Callable[[int], None]
"""Copies the object of an id."""


def _endpoint() -> str:
    return os.environ[ENDPOINT_VARIABLE]


def _keys() -> tuple[str, str]:
    return os.environ[ACCESS_VARIABLE], os.environ[SECRET_VARIABLE]


def _ours(job: Job, client: Any) -> Copy:
    """What a service does with a request, from its first file to the removal of local copies."""
    from slingshot_microservice.files import FileAccess, RequestFiles
    from slingshot_microservice.files.s3_clients import open_s3_store

    store = open_s3_store(client, _endpoint(), *_keys(), memory_limit=IN_MEMORY, read_timeout=30)
    buckets = {"in": job.inbound, "out": job.outbound}
    ours = threading.local()  # as each worker has its own

    def copy(id: int) -> None:
        if not hasattr(ours, "access"):
            ours.access = FileAccess(store, buckets.__getitem__)
        files = RequestFiles(id, ours.access)
        try:
            if job.small:
                files.write_file("out", id).write(files.read_file("in", id).read())
            else:
                shutil.copyfileobj(
                    files.read_file("in", id), files.write_file("out", id), length=_CHUNK
                )
            files.close()
            files.upload()
        finally:
            files.discard()

    return copy


def _boto3(job: Job) -> Copy:
    import boto3.session
    from botocore.config import Config

    access_key, secret_key = _keys()
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=_endpoint(),
        region_name=_REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(
            s3={"addressing_style": "path"},
            max_pool_connections=max(10, job.threads),
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )

    def copy(id: int) -> None:
        data = client.get_object(Bucket=job.inbound, Key=str(id))["Body"].read()
        client.put_object(Bucket=job.outbound, Key=str(id), Body=data)

    def copy_file(id: int) -> None:
        with _temporary_path() as path:
            client.download_file(job.inbound, str(id), path)
            client.upload_file(path, job.outbound, str(id))

    return copy if job.small else copy_file


def _obstore(job: Job) -> Copy:
    from obstore.store import S3Store

    access_key, secret_key = _keys()
    inbound, outbound = (
        S3Store(
            bucket,
            endpoint=_endpoint(),
            region=_REGION,
            access_key_id=access_key,
            secret_access_key=secret_key,
            client_options={"allow_http": True, "timeout": "1h"},
        )
        for bucket in (job.inbound, job.outbound)
    )

    def copy(id: int) -> None:
        outbound.put(str(id), inbound.get(str(id)).bytes())

    def copy_file(id: int) -> None:
        with _temporary_path() as path:
            with open(path, "wb") as file:
                for chunk in inbound.get(str(id)).stream(_CHUNK):
                    file.write(chunk)
            outbound.put(str(id), Path(path))

    return copy if job.small else copy_file


def _minio(job: Job) -> Copy:
    from minio import Minio

    access_key, secret_key = _keys()
    place = urlsplit(_endpoint())
    client = Minio(
        place.netloc,
        access_key=access_key,
        secret_key=secret_key,
        secure=place.scheme == "https",
        region=_REGION,
    )

    def copy(id: int) -> None:
        answer = client.get_object(job.inbound, str(id))
        try:
            data = answer.read()
        finally:
            answer.close()
            answer.release_conn()
        client.put_object(job.outbound, str(id), io.BytesIO(data), len(data))

    def copy_file(id: int) -> None:
        with _temporary_path() as path:
            client.fget_object(job.inbound, str(id), path)
            client.fput_object(job.outbound, str(id), path)

    return copy if job.small else copy_file


OURS_OBSTORE = "ours, obstore"
OURS_BOTO3 = "ours, boto3"
BOTO3 = "boto3"
CLIENTS: dict[str, Callable[[Job], Copy]] = {
    OURS_OBSTORE: lambda job: _ours(job, "obstore"),
    "obstore": _obstore,
    OURS_BOTO3: lambda job: _ours(job, "boto3"),
    BOTO3: _boto3,
    "minio": _minio,
}
"""By name, as in tables."""


@contextmanager
def _temporary_path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="slingshot-bench-") as folder:
        yield os.path.join(folder, "object")


def run(job: Job, copy: Copy) -> None:
    """Copy, and report."""
    meter = Meter()
    left = iter(range(job.count))
    lock = threading.Lock()

    def begin() -> None:
        _forget_peak()
        meter.start()
        meter.mark(0)

    def work() -> None:
        copy(job.count)
        ready.wait(_READY_SECONDS)
        while True:
            with lock:
                id = next(left, None)
            if id is None:
                return
            copy(id)

    ready = threading.Barrier(job.threads, action=begin)
    with ThreadPoolExecutor(job.threads) as pool:
        for worker in [pool.submit(work) for _ in range(job.threads)]:
            worker.result()
        meter.report(job.count)


def _forget_peak() -> None:
    with suppress(OSError):  # not Linux
        Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Do the job that the arguments describe."""
    name, inbound, outbound, *numbers = sys.argv[1:]
    job = Job(inbound, outbound, *map(int, numbers))
    run(job, CLIENTS[name](job))


if __name__ == "__main__":
    main()
