"""What goes wrong with an S3 store, as errors of ours: the same, whichever client found out."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import ObjectNotFoundError, StorageError, StorageUnavailableError

__all__ = ["NO_LENGTH", "TOO_MANY_REQUESTS", "Attempt", "Complaints"]

TOO_MANY_REQUESTS = 429
NO_LENGTH = "its answer has no length, so that a part could pass for the whole"
_KEY_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_BUSY = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"}
_MESSAGE_LENGTH = 300


class Attempt(NamedTuple):
    """What was tried.

    Attributes:
        verb: ``read`` or ``write``.
        bucket: The bucket's name.
        id: The object's id.
    """

    verb: str
    bucket: str
    id: int


class Complaints:
    """Makes the errors of one store. No key is part of any of them.

    Args:
        endpoint: The URL of the S3 API, for messages.
        keys: Access key and secret key, which are masked wherever they turn up.
    """

    def __init__(self, endpoint: str, keys: tuple[str, str]) -> None:
        self._endpoint = endpoint
        self._keys = keys

    def answered(self, attempt: Attempt, status: int, code: str, text: str) -> StorageError:
        """Return the error for an answer of the store's.

        Args:
            attempt: What was tried.
            status: The HTTP status.
            code: What S3 calls the error, such as ``NoSuchKey``; may be empty.
            text: What the store says of it; may be empty.
        """
        verb, bucket, id = attempt
        if code == "NoSuchBucket":
            message = f"there is no bucket {bucket!r} at {self._endpoint} (for object {id})"
            return ObjectNotFoundError(f"{message}; create it", bucket=bucket, id=id)
        if code == "NoSuchKey" or (status == 404 and verb == "read"):
            message = f"bucket {bucket!r} has no object {id} at {self._endpoint}"
            return ObjectNotFoundError(message, bucket=bucket, id=id)
        code = code or f"HTTP {status}"
        if code in _KEY_REFUSED or status in (401, 403):
            return self.failed(attempt, StorageError, _refused(code))
        busy = status >= 500 or status == TOO_MANY_REQUESTS or code in _BUSY
        kind = StorageUnavailableError if busy else StorageError
        return self.failed(attempt, kind, f"{code} {text}")

    def failed(self, attempt: Attempt, kind: type[StorageError], reason: str) -> StorageError:
        """Return an error of some kind, with what was tried and where."""
        verb, bucket, id = attempt
        what = f"object {id} of bucket {bucket!r} at {self._endpoint}"
        return kind(f"cannot {verb} {what}: {self._fit_to_print(reason)}", bucket=bucket, id=id)

    def silent(self, bucket: str, reason: str) -> StorageUnavailableError:
        """Return the error for a store that a check found away."""
        message = f"{self._endpoint} does not answer: {self._fit_to_print(reason)}"
        return StorageUnavailableError(message, bucket=bucket)

    def _fit_to_print(self, text: str) -> str:
        """Mask keys; only then join lines and cut, or a part of a key might stay."""
        for key in self._keys:
            text = text.replace(key, "***") if key else text
        return " ".join(text.split())[:_MESSAGE_LENGTH]


def _refused(code: str) -> str:
    return (
        f"the store refused the access key ({code}); see that the configured keys are right and "
        f"may use the bucket, and that this machine's clock is"
    )
