"""Object storage behind the S3 API, through boto3. The only module that imports it."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
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

from ..errors import StorageError, StorageUnavailableError
from .local import small_or_path, temporary_file_of
from .s3_errors import NO_LENGTH, TOO_MANY_REQUESTS, Attempt, Complaints
from .store import Content

if TYPE_CHECKING:
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
        pool_size: Connections that are kept open. A request uses up to four at a time, one an
            upload, and four for each file that it uploads in parts.
        read_timeout: Seconds of silence after which one of three attempts is given up.
    """

    uploads_at_once = 4

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
        self._complaints = Complaints(endpoint, self._keys)
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
        with self._translated(Attempt("read", bucket, id)) as attempt:
            answer = self._connected().get_object(Bucket=bucket, Key=str(id))
            length: int | None = answer.get("ContentLength")
            with closing(answer["Body"]) as body:
                if length is None and not _is_chunked(answer["ResponseMetadata"]["HTTPHeaders"]):
                    raise self._complaints.failed(attempt, StorageUnavailableError, NO_LENGTH)
                # Where the end is known, botocore raises when the body ends before it.
                if length is not None and length <= self._memory_limit:
                    return io.BytesIO(body.read())
                return temporary_file_of(body.iter_chunks(_CHUNK_BYTES))

    def upload(self, bucket: str, id: int, content: Content) -> None:
        """Store a content as object ``id`` of ``bucket``, whole or not at all.

        Raises:
            ObjectNotFoundError: There is no such bucket.
            StorageUnavailableError: The store cannot be reached, or is failing.
            StorageError: The store refused, or the file cannot be read.
        """
        with self._translated(Attempt("write", bucket, id)):
            client = self._connected()
            content = small_or_path(content, self._memory_limit)
            if isinstance(content, bytes):
                # For an open file boto3 would first ask the store whether to go on.
                client.put_object(Bucket=bucket, Key=str(id), Body=content)
            else:
                client.upload_file(str(content), bucket, str(id), Config=self._in_parts())

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
            if status >= 500 or status == TOO_MANY_REQUESTS:
                raise self._complaints.silent(bucket, f"HTTP {status}") from None
        except _CLIENT_ERRORS as error:
            raise self._complaints.silent(bucket, str(error)) from None
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
        client = self._client
        if client is not None:
            return client
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
    def _translated(self, attempt: Attempt) -> Iterator[Attempt]:
        # Never `from error`: botocore's messages may quote the access key, and so would the
        # traceback of a cause.
        try:
            yield attempt
        except ClientError as error:
            raise self._answered(attempt, error) from None
        except _CLIENT_ERRORS as error:
            if isinstance(answer := error.__context__, ClientError):  # as upload_file wraps it
                raise self._answered(attempt, answer) from None
            away = isinstance(error, _TRANSPORT_ERRORS)
            kind = StorageUnavailableError if away else StorageError
            raise self._complaints.failed(attempt, kind, str(error)) from None
        except (OSError, ValueError) as error:  # ValueError: botocore's, for a useless endpoint
            raise self._complaints.failed(attempt, StorageError, str(error)) from None

    def _answered(self, attempt: Attempt, error: ClientError) -> StorageError:
        answer = error.response.get("Error", {})
        code, text = str(answer.get("Code", "")), str(answer.get("Message", ""))
        return self._complaints.answered(attempt, _status_of(error), code, text)


def _status_of(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _is_chunked(headers: Mapping[str, str]) -> bool:
    return "chunked" in headers.get("transfer-encoding", "").lower()
