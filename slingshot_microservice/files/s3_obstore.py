"""Object storage behind the S3 API, through obstore. The only module that imports it.

obstore does what every request does, reading an object and writing a small one, at a fraction of
boto3's cost: `s3_clients` has the figures. What is rare is left to boto3, which is loaded when it
comes to that: uploads in parts (boto3 sends them from the file, obstore holds them in memory, and
what they cost is much the same), a check whether the store answers, answers that do not say how
long they are, and all that a forked child asks for.
"""

from __future__ import annotations

import html
import io
import os
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import obstore.store
from obstore.exceptions import BaseError

from ..errors import StorageError, StorageUnavailableError
from .local import small_or_path, temporary_file_of
from .s3_errors import Attempt, Complaints
from .store import Content

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, S3Credential

    from .s3 import S3Store

__all__ = ["ObstoreStore", "unwanted_settings"]

_CHUNK_BYTES = 1024 * 1024
_CONNECT_TIMEOUT_SECONDS = 5.0
_READ_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 3
_NO_TIMEOUT = timedelta(days=365)  # of a whole call; there is no way to say "none"
_SPARE_SECONDS = 60.0

_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")

# obstore takes settings from the environment, and these two cannot be overridden.
_UNWANTED = ("AWS_CHECKSUM_ALGORITHM", "AWS_SERVER_SIDE_ENCRYPTION")

# obstore's errors say what happened in words only. tests/integration/files holds these to what it
# really says; so whoever widens the range of obstore looks here first.
_ERRORS = (BaseError, OSError, ValueError, NotImplementedError)
_DETAILS = "\n\nDebug source:\n"
_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})")
_TRANSPORT = "HTTP error: "
_LENGTH_IS_MISSING = "Content-Length Header missing"
_ETAG_IS_MISSING = "ETag Header missing"
_WORDS = re.compile(r'(?:message|error): "((?:[^"\\]|\\.)*)"')
_BRACKETS = " (){},\n"


class ObstoreStore:
    """An `ObjectStore` behind the S3 API, like `S3Store` and with the same errors.

    Safe to use from several threads, which it does not keep from running while it waits. The
    first use of a bucket makes its client; nothing is sent before.

    Args:
        endpoint: The URL of the S3 API, with its scheme; addresses are path-style.
        access_key: The access key itself.
        secret_key: The secret key itself.
        region: The region that requests are signed for.
        memory_limit: Bytes up to which an object that is read stays in memory, and a file is
            uploaded as one put. A larger object is read into a temporary file, a larger file
            uploaded in parts.
        pool_size: Connections that are kept open, of each bucket.
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
        self._lock = threading.Lock()
        self._stores: dict[str, obstore.store.S3Store] = {}
        self._rest: S3Store | None = None
        self._user: int | None = None  # the process that obstore's threads are in

    def __repr__(self) -> str:
        return f"ObstoreStore({self._endpoint!r})"

    def read(self, bucket: str, id: int) -> BinaryIO:
        """Open object ``id`` of ``bucket``.

        Returns:
            A readable, seekable binary file that holds the whole object.

        Raises:
            ObjectNotFoundError: There is no such object or bucket.
            StorageUnavailableError: The store cannot be reached, is failing, or broke off.
            StorageError: The store refused, or there is no room for a temporary file.
        """
        if self._is_forked():
            return self._boto3().read(bucket, id)
        attempt = Attempt("read", bucket, id)
        try:
            answer = self._store_of(bucket).get(str(id))
            length = answer.range[1]
            if length > self._memory_limit:
                return temporary_file_of(self._whole(answer, length, attempt))
            content = answer.bytes()
        except _ERRORS as error:
            if _LENGTH_IS_MISSING in str(error):
                return self._boto3().read(bucket, id)
            # Never `from error`: an answer that it quotes may hold the access key.
            raise self._translated(error, attempt) from None
        if len(content) != length:
            raise self._broke_off(attempt, len(content), length)
        return io.BytesIO(content)

    def upload(self, bucket: str, id: int, content: Content) -> None:
        """Store a content as object ``id`` of ``bucket``, whole or not at all.

        Raises:
            ObjectNotFoundError: There is no such bucket.
            StorageUnavailableError: The store cannot be reached, or is failing.
            StorageError: The store refused, or the file cannot be read.
        """
        if self._is_forked():
            self._boto3().upload(bucket, id, content)
            return
        try:
            content = small_or_path(content, self._memory_limit)
            if isinstance(content, bytes):
                self._store_of(bucket).put(str(id), content, use_multipart=False)
        except _ERRORS as error:
            if _ETAG_IS_MISSING in str(error):
                return  # a poor answer, but one that says that the object is stored
            raise self._translated(error, Attempt("write", bucket, id)) from None
        if isinstance(content, Path):
            self._boto3().upload(bucket, id, content)

    def check(self, bucket: str) -> None:
        """Ask once whether the store answers at all; that it refuses is an answer.

        Raises:
            StorageUnavailableError: It cannot be reached, or answers with HTTP 5xx or 429.
        """
        self._boto3().check(bucket)

    def close(self) -> None:
        """Let go of connections. Using the store again opens new ones."""
        with self._lock:
            self._stores = {}
            rest, self._rest = self._rest, None
        if rest is not None:
            rest.close()

    def _is_forked(self) -> bool:
        """Tell whether this is a child of who used obstore: its threads stayed with the parent."""
        return self._user is not None and self._user != os.getpid()

    def _whole(self, answer: GetResult, length: int, attempt: Attempt) -> Iterator[bytes]:
        count = 0
        for chunk in answer.stream(_CHUNK_BYTES):
            count += len(chunk)
            yield chunk
        if count != length:
            raise self._broke_off(attempt, count, length)

    def _store_of(self, bucket: str) -> obstore.store.S3Store:
        store = self._stores.get(bucket)
        if store is not None:
            return store
        with self._lock:
            if bucket not in self._stores:
                self._user = os.getpid()
                self._stores[bucket] = self._make_store(bucket)
            return self._stores[bucket]

    def _make_store(self, bucket: str) -> obstore.store.S3Store:
        _check_endpoint(self._endpoint)
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("a bucket's name is up to 255 letters, digits, dots, dashes and '_'")
        config: Any = {
            "endpoint": self._endpoint,
            "region": self._region,
            # What the environment says about other uses of S3 must not leak in here.
            "aws_endpoint_url_s3": self._endpoint,
            "virtual_hosted_style_request": False,
            "s3_express": False,
            "skip_signature": False,
            "unsigned_payload": False,
            "request_payer": False,
            "disable_tagging": False,
            "disable_bulk_delete": False,
            "conditional_put": "etag",
            "copy_if_not_exists": "multipart",
        }
        attempts = timedelta(seconds=_ATTEMPTS * self._read_timeout + _SPARE_SECONDS)
        return obstore.store.S3Store(
            bucket,
            config=config,
            client_options=self._client_options(),
            retry_config={"max_retries": _ATTEMPTS - 1, "retry_timeout": attempts},
            # As a function, because a session token of the environment would go with bare keys.
            credential_provider=self._credential,
        )

    def _client_options(self) -> ClientConfig:
        options: ClientConfig = {
            "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_SECONDS),
            "read_timeout": timedelta(seconds=self._read_timeout),
            "timeout": _NO_TIMEOUT,
            "pool_max_idle_per_host": str(self._pool_size),
        }
        if urlsplit(self._endpoint).scheme == "https":
            options["root_certificate"] = _trusted_certificates()
        else:
            options["allow_http"] = True
        return options

    def _credential(self) -> S3Credential:
        access_key, secret_key = self._keys
        return {
            "access_key_id": access_key,
            "secret_access_key": secret_key,
            "token": None,
            "expires_at": None,
        }

    def _boto3(self) -> S3Store:
        with self._lock:
            if self._rest is None:
                from .s3 import S3Store

                self._rest = S3Store(
                    self._endpoint,
                    *self._keys,
                    region=self._region,
                    memory_limit=self._memory_limit,
                    pool_size=self._pool_size,
                    read_timeout=self._read_timeout,
                )
            return self._rest

    def _translated(self, error: Exception, attempt: Attempt) -> StorageError:
        message, _, details = str(error).partition(_DETAILS)
        status = _STATUS.search(message)
        if status is not None:
            code, text = _element("Code", message), _element("Message", message)
            return self._complaints.answered(attempt, int(status[1]), code, text)
        if _TRANSPORT not in message:
            return self._complaints.failed(attempt, StorageError, message)
        reason = f"{message.rpartition(_TRANSPORT)[2]} ({self._cause(details)})"
        return self._complaints.failed(attempt, StorageUnavailableError, reason)

    def _cause(self, details: str) -> str:
        """Return the innermost of the errors in each other, in words if it has any."""
        if "TimedOut" in details and "Connect," in details:
            return f"Connect timeout: nobody answered for {_CONNECT_TIMEOUT_SECONDS:g} s"
        if "TimedOut" in details:
            return f"Read timeout: nothing was heard for {self._read_timeout:g} s"
        words = _WORDS.findall(details)
        return str(words[-1]) if words else details.rpartition("source: ")[2].strip(_BRACKETS)

    def _broke_off(self, attempt: Attempt, count: int, length: int) -> StorageError:
        reason = f"its answer broke off after {count} of {length} bytes"
        return self._complaints.failed(attempt, StorageUnavailableError, reason)


def unwanted_settings(environment: Mapping[str, str]) -> list[str]:
    """Return the variables that would change what obstore sends, whatever it is told."""
    return [name for name in _UNWANTED if name in environment]


def _trusted_certificates() -> bytes:
    """Return those that boto3 trusts; obstore trusts those of the system besides."""
    import certifi

    named = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return Path(named or certifi.where()).read_bytes()


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", endpoint):
        raise ValueError(f"Invalid endpoint: {endpoint}")


def _element(name: str, answer: str) -> str:
    """Return the text of an element of S3's error answers, as far as there is one."""
    found = re.search(f"<{name}>([^<]*)</{name}>", answer)
    return html.unescape(found[1]).strip() if found else ""
