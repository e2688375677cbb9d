"""Object storage behind the S3 API. The only module that imports boto3."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import boto3.session
import botocore.session
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from ..errors import ObjectNotFoundError, StorageError, StorageUnavailableError

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

__all__ = ["S3Store"]

_CHUNK_BYTES = 1024 * 1024
_PART_BYTES = 8 * 1024 * 1024
_PART_THREADS = 4
_CONNECT_TIMEOUT_SECONDS = 5.0
_READ_TIMEOUT_SECONDS = 30.0
_CHECK_TIMEOUT_SECONDS = 5.0
_ATTEMPTS = 3

# What the environment and ~/.aws say about other uses of S3 must not leak in here.
_ISOLATION = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}

_CLIENT_ERRORS = (BotoCoreError, ClientError, Boto3Error, ResponseParserError, HTTPError)
_TRANSPORT_ERRORS = (BotoConnectionError, HTTPClientError, IncompleteReadError, HTTPError)
_KEY_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_TOO_MANY_REQUESTS = 429
_BUSY = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"}


class S3Store:
    """An `ObjectStore` behind the S3 API: object 42 of bucket ``texts`` is ``s3://texts/42``.

    Safe to use from several threads. The first use makes the client; nothing is sent before.

    Args:
        endpoint: The URL of the S3 API, with its scheme; addresses are path-style.
        access_key: The access key itself.
        secret_key: The secret key itself.
        region: The region that requests are signed for.
        memory_limit: Bytes up to which an object that is read stays in memory, and a file is
            uploaded as one put. A larger object is read into a temporary file, a larger file
            uploaded in parts.
        pool_size: Connections that are kept; each thread that uploads in parts uses up to four.
        read_timeout: Seconds of silence after which one of three attempts is given up.
    """

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        *,
        region: str = "garage",
        memory_limit: int,
        pool_size: int = 16,
        read_timeout: float = _READ_TIMEOUT_SECONDS,
    ) -> None:
        self._endpoint = endpoint
        self._keys = (access_key, secret_key)
        self._region = region
        self._memory_limit = memory_limit
        self._pool_size = pool_size
        self._read_timeout = read_timeout
        self._client: S3Client | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"S3Store({self._endpoint!r})"

    def read(self, bucket: str, id: int) -> BinaryIO:
        """Open object ``id`` of ``bucket``.

        Returns:
            A readable, seekable binary file that holds the whole object.

        Raises:
            ObjectNotFoundError: There is no such object or bucket.
            StorageUnavailableError: The store cannot be reached, is failing, or broke off.
            StorageError: The store refused, or there is no room for a temporary file.
        """
        with self._translated("read", bucket, id):
            answer = self._connected().get_object(Bucket=bucket, Key=str(id))
            length: int | None = answer.get("ContentLength")
            small = length is not None and length <= self._memory_limit
            with closing(answer["Body"]) as body:
                if length is None and not _is_chunked(answer["ResponseMetadata"]["HTTPHeaders"]):
                    reason = "its answer has no length, so that a part could pass for the whole"
                    raise self._failed(StorageUnavailableError, "read", bucket, id, reason)
                # Where the end is known, botocore raises when the body ends before it.
                return _in_memory(body) if small else _on_disk(body)

    def upload(self, bucket: str, id: int, path: Path) -> None:
        """Store the file at ``path`` as object ``id`` of ``bucket``, whole or not at all.

        Raises:
            ObjectNotFoundError: There is no such bucket.
            StorageUnavailableError: The store cannot be reached, or is failing.
            StorageError: The store refused, or the file cannot be read.
        """
        with self._translated("write", bucket, id):
            client = self._connected()
            if path.stat().st_size <= self._memory_limit:
                with path.open("rb") as file:
                    client.put_object(Bucket=bucket, Key=str(id), Body=file)
            else:
                client.upload_file(str(path), bucket, str(id), Config=self._in_parts())

    def check(self, bucket: str) -> None:
        """Ask once whether the store answers at all; that it refuses is an answer.

        Raises:
            StorageUnavailableError: It cannot be reached, or answers with HTTP 5xx or 429.
        """
        config = self._client_config(_CHECK_TIMEOUT_SECONDS, attempts=1)
        with self._lock:
            client = self._make_client(config)
        try:
            client.head_bucket(Bucket=bucket)
        except ClientError as error:
            status = _status_of(error)
            if status >= 500 or status == _TOO_MANY_REQUESTS:
                raise self._silent(bucket, f"HTTP {status}") from None
        except _CLIENT_ERRORS as error:
            raise self._silent(bucket, _one_line(error)) from None
        finally:
            client.close()

    def close(self) -> None:
        """Let go of connections. Using the store again opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _in_parts(self) -> TransferConfig:
        return TransferConfig(
            multipart_threshold=max(1, self._memory_limit),
            multipart_chunksize=_PART_BYTES,
            max_concurrency=_PART_THREADS,
            preferred_transfer_client="classic",  # another one would read its own configuration
        )

    def _connected(self) -> S3Client:
        # A client may be shared between threads, but making two at once may not.
        with self._lock:
            if self._client is None:
                config = self._client_config(self._read_timeout, _ATTEMPTS)
                self._client = self._make_client(config)
            return self._client

    def _make_client(self, config: Config) -> S3Client:
        access_key, secret_key = self._keys
        session = boto3.session.Session(
            botocore_session=botocore.session.Session(session_vars=_ISOLATION)
        )
        return session.client(
            "s3",
            endpoint_url=self._endpoint,
            region_name=self._region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=config,
        )

    def _client_config(self, read_timeout: float, attempts: int) -> Config:
        return Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=self._pool_size,
            # The checksums that boto3 adds by default are refused by some servers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )

    @contextmanager
    def _translated(self, verb: str, bucket: str, id: int) -> Iterator[None]:
        # Never `from error`: botocore's messages may quote the access key, and so would the
        # traceback of a cause.
        try:
            yield
        except ClientError as error:
            raise self._answered(error, verb, bucket, id) from None
        except _CLIENT_ERRORS as error:
            if isinstance(answer := error.__context__, ClientError):  # as upload_file wraps it
                raise self._answered(answer, verb, bucket, id) from None
            away = isinstance(error, _TRANSPORT_ERRORS)
            kind = StorageUnavailableError if away else StorageError
            raise self._failed(kind, verb, bucket, id, _one_line(error)) from None
        except (OSError, ValueError) as error:  # ValueError: botocore's, for a useless endpoint
            raise self._failed(StorageError, verb, bucket, id, _one_line(error)) from None

    def _answered(self, error: ClientError, verb: str, bucket: str, id: int) -> StorageError:
        answer = error.response.get("Error", {})
        code = str(answer.get("Code", ""))
        status = _status_of(error)
        if code == "NoSuchBucket":
            message = f"there is no bucket {bucket!r} at {self._endpoint} (for object {id})"
            return ObjectNotFoundError(f"{message}; create it", bucket=bucket, id=id)
        if code == "NoSuchKey" or (status == 404 and verb == "read"):
            message = f"bucket {bucket!r} has no object {id} at {self._endpoint}"
            return ObjectNotFoundError(message, bucket=bucket, id=id)
        if code in _KEY_REFUSED or status in (401, 403):
            return self._failed(StorageError, verb, bucket, id, _refused(code))
        kind = StorageUnavailableError if status >= 500 or code in _BUSY else StorageError
        return self._failed(kind, verb, bucket, id, f"{code} {answer.get('Message', '')}".strip())

    def _failed(
        self, kind: type[StorageError], verb: str, bucket: str, id: int, reason: str
    ) -> StorageError:
        what = f"object {id} of bucket {bucket!r} at {self._endpoint}"
        return kind(f"cannot {verb} {what}: {self._without_keys(reason)}", bucket=bucket, id=id)

    def _silent(self, bucket: str, reason: str) -> StorageUnavailableError:
        message = f"{self._endpoint} does not answer: {self._without_keys(reason)}"
        return StorageUnavailableError(message, bucket=bucket)

    def _without_keys(self, text: str) -> str:
        for key in self._keys:
            text = text.replace(key, "***") if key else text
        return text


def _status_of(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _is_chunked(headers: Mapping[str, str]) -> bool:
    return "chunked" in headers.get("transfer-encoding", "").lower()


def _in_memory(body: StreamingBody) -> BinaryIO:
    return io.BytesIO(body.read())


def _on_disk(body: StreamingBody) -> BinaryIO:
    file = tempfile.TemporaryFile(prefix="slingshot-")  # noqa: SIM115 - the caller closes it
    try:
        while chunk := body.read(_CHUNK_BYTES):
            file.write(chunk)
        file.flush()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _refused(code: str) -> str:
    return (
        f"the store refused the access key ({code}); see that the configured keys are right and "
        f"may use the bucket, and that this machine's clock is"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
