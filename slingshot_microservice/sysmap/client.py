"""The configuration service, asked over HTTP. The only module that imports requests."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote, unquote, urlsplit

import orjson
import requests

from ..backoff import pauses
from ..errors import ConfigurationError, ConfigurationUnavailableError, UsageError
from ..options import Options
from .models import PostgreSQLSettings, RabbitMQSettings, S3Settings, ServiceSettings
from .place import FieldPath, Place, field_name, shorten
from .validate import (
    clean_key,
    read_bucket,
    read_postgresql,
    read_rabbitmq,
    read_s3,
    read_service,
    require_service_name,
)

__all__ = ["HttpSystemMap"]

_CONNECT_TIMEOUT_SECONDS = 5.0
_SHORTEST_TIMEOUT_SECONDS = 1.0  # so that the last attempt has a chance
_BUCKET_SECONDS = 5.0  # a request is held meanwhile, so its failure must not take long
_FIRST_PAUSE_SECONDS = 0.4
_LONGEST_PAUSE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class HttpSystemMap:
    """A `SystemMap` that asks a configuration service. Safe to use from several threads.

    While the service cannot be reached, or answers with HTTP 5xx or 429, a question is asked
    again with growing pauses: for ``options.startup_timeout`` in all, but for 5 s where it is
    about a bucket, because a request waits for that one.

    Args:
        host: A host name, to be asked over HTTPS, or a URL with ``http://`` or ``https://``.
            Trailing slashes do not count.
        options: ``http_timeout`` bounds one answer, ``startup_timeout`` all attempts together.
        clock: Tells the time, in seconds that never go back.
        sleep: Waits between attempts, in seconds.

    Raises:
        UsageError: ``host`` can be no host.
    """

    def __init__(
        self,
        host: str,
        options: Options,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._base, credentials = _split_credentials(_base_url(host))
        self._options = options
        self._clock = clock
        self._sleep = sleep
        self._session = requests.Session()
        self._session.auth = credentials

    @property
    def source(self) -> str:
        """The base URL of the service."""
        return self._base

    def service(self, name: str) -> ServiceSettings:
        """Return the queues of the service ``name``.

        Raises:
            UsageError: There can be no service of that name.
            ConfigurationUnavailableError: The configuration service cannot be reached.
            ConfigurationError: It does not know the service, or says what cannot be used.
        """
        path = quote(require_service_name(name), safe="")
        return read_service(self._json(path, f"there is no service {shorten(name)}"))

    def bucket(self, name: str, key: str) -> str:
        """Return the bucket that ``key`` stands for in the service ``name``.

        Raises:
            UsageError: There can be no such service or key.
            ConfigurationUnavailableError: The configuration service cannot be reached.
            ConfigurationError: It does not know the key, or its answer can be no bucket's name.
        """
        key = clean_key(key)
        url = f"{self._base}/{quote(require_service_name(name), safe='')}/{quote(key)}"
        unknown = f"service {shorten(name)} has no bucket key {shorten(key)}"
        content = self._fetch(url, min(_BUCKET_SECONDS, self._options.startup_timeout), unknown)
        return read_bucket(Place(_Answer(url), content.decode(errors="replace")))

    def check(self, name: str) -> None:
        """Ask once whether the configuration service answers; what it answers does not count.

        Raises:
            ConfigurationUnavailableError: It cannot be reached, or is failing.
        """
        url = f"{self._base}/{quote(require_service_name(name), safe='')}"
        started = self._clock()
        try:
            self._ask(url, self._options.http_timeout)
        except _UnavailableError as error:
            raise _gave_up(url, str(error), self._clock() - started, attempts=1) from None

    def broker(self) -> RabbitMQSettings:
        """Return where RabbitMQ is.

        Raises:
            ConfigurationUnavailableError: The configuration service cannot be reached.
            ConfigurationError: Its answer cannot be used.
        """
        return read_rabbitmq(self._json("rabbitmq", "it does not say where RabbitMQ is"))

    def database(self) -> PostgreSQLSettings:
        """Return where PostgreSQL is.

        Raises:
            ConfigurationUnavailableError: The configuration service cannot be reached.
            ConfigurationError: Its answer cannot be used.
        """
        return read_postgresql(self._json("db", "it does not say where PostgreSQL is"))

    def storage(self) -> S3Settings:
        """Return where the object store is.

        Raises:
            ConfigurationUnavailableError: The configuration service cannot be reached.
            ConfigurationError: Its answer cannot be used.
        """
        unknown = "it does not say where the object store is"
        return read_s3(self._json("object-storage", unknown))

    def close(self) -> None:
        """Close the kept connections. The next question opens a new one."""
        self._session.close()

    def _json(self, path: str, unknown: str) -> Place:
        url = f"{self._base}/{path}"
        content = self._fetch(url, self._options.startup_timeout, unknown)
        try:
            return Place(_Answer(url), orjson.loads(content))
        except orjson.JSONDecodeError:
            raise _not_json(url, content) from None

    def _fetch(self, url: str, seconds: float, unknown: str) -> bytes:
        started = self._clock()
        deadline = started + seconds
        attempts = 0
        waits = pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            attempts += 1
            try:
                response = self._ask(url, deadline - self._clock())
            except _UnavailableError as error:
                trouble = str(error)
            else:
                return _content(url, response, unknown)
            now = self._clock()
            if now >= deadline:
                raise _gave_up(url, trouble, now - started, attempts)
            if attempts == 1:
                _log.warning("%s: %s; trying again for up to %g s", url, trouble, seconds)
            self._sleep(min(next(waits), deadline - now))

    def _ask(self, url: str, seconds_left: float) -> requests.Response:
        seconds_left = max(seconds_left, _SHORTEST_TIMEOUT_SECONDS)
        connect = min(_CONNECT_TIMEOUT_SECONDS, seconds_left)
        read = min(self._options.http_timeout, seconds_left)
        try:
            response = self._session.get(url, timeout=(connect, read))
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise _UnavailableError(_in_plain_words(error, connect, read)) from error
        except (requests.RequestException, ValueError) as error:  # ValueError: no such host name
            problem = f"it cannot be asked ({type(error).__name__}); check the configuration host"
            raise ConfigurationError(f"{url}: {problem}", source=url) from error
        if response.status_code >= 500 or response.status_code == 429:
            raise _UnavailableError(f"HTTP {response.status_code}{_words_of(response)}")
        return response


class _UnavailableError(Exception):
    """One attempt failed in a way that may pass."""


class _Answer:
    """The `Source` of what a URL answered."""

    strict = False  # the services beside us may be newer than we are
    mapping_noun = "an object"

    def __init__(self, url: str) -> None:
        self._url = url

    def where(self, path: FieldPath) -> str:
        return self._url

    def error(
        self, path: FieldPath, problem: str, *, expected: str = "", found: str = ""
    ) -> ConfigurationError:
        return ConfigurationError(
            f"{self._url}: {problem}",
            source=self._url,
            field=field_name(path),
            expected=expected,
            found=found,
        )


def _base_url(host: str) -> str:
    base = host.strip()
    if not base.lower().startswith(("http://", "https://")):
        base = f"https://{base}"
    base = base.rstrip("/")
    try:
        parts = urlsplit(base)
        usable = parts.hostname and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        usable = False
    if not usable or any(c.isspace() for c in base) or "://" in base.partition("://")[2]:
        shown = shorten(host.rpartition("@")[2])
        raise UsageError(
            f"the configuration host is {shown}; expected a host name such as "
            "sys-map.example.com, or a URL that begins with http:// or https://"
        )
    return base


def _split_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """Take user and password out of a URL, so that no message can show them."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user_info, at, host = authority.rpartition("@")
    if not at:
        return url, None
    user, _, password = user_info.partition(":")
    return f"{scheme}://{host}{slash}{path}", (unquote(user), unquote(password))


def _content(url: str, response: requests.Response, unknown: str) -> bytes:
    status = response.status_code
    if status == 200:
        return response.content
    reason = f"HTTP {status}{_words_of(response)}"
    if status == 404:
        problem = f"{unknown} ({reason}); check the name and the configuration host"
    else:
        problem = f"{reason}, expected 200; is this the configuration service?"
    raise ConfigurationError(f"{url}: {problem}", source=url, expected="HTTP 200", found=reason)


def _words_of(response: requests.Response) -> str:
    """Return what the service says about its refusal, where that is meant for people."""
    if not response.headers.get("Content-Type", "").startswith("text/plain"):
        return ""
    words = response.content.decode(errors="replace").strip()
    return f": {shorten(words)}" if words else ""


def _not_json(url: str, content: bytes) -> ConfigurationError:
    text = content.decode(errors="replace").strip()
    kind = (
        "nothing" if not text else "HTML" if text.startswith("<") else "something that is not JSON"
    )
    found = shorten(text)
    problem = f"it answered {kind} ({found}) instead of JSON; is this the configuration service?"
    return ConfigurationError(f"{url}: {problem}", source=url, expected="JSON", found=found)


def _gave_up(
    url: str, trouble: str, seconds: float, attempts: int
) -> ConfigurationUnavailableError:
    tried = f"tried for {seconds:.1f} s ({attempts} attempt{'s' * (attempts > 1)})"
    advice = "is the configuration service up, and the configuration host right?"
    return ConfigurationUnavailableError(
        f"{url}: {trouble}; {tried}; {advice}", source=url, found=trouble
    )


def _in_plain_words(error: BaseException, connect: float, read: float) -> str:
    chain = list(_causes(error))
    for kind, words in (
        (requests.ConnectTimeout, f"no connection within {connect:.3g} s"),
        (socket.gaierror, "the name does not resolve"),
        (ConnectionRefusedError, "connection refused"),
        (requests.exceptions.ProxyError, "the proxy cannot be reached"),
        (ssl.SSLCertVerificationError, "its TLS certificate is not valid for this host"),
        (ssl.SSLError, "no TLS connection can be made"),
        (TimeoutError, f"no answer within {read:.3g} s"),
        (ConnectionError, "the connection was closed before the answer was complete"),
        (requests.exceptions.ChunkedEncodingError, "the answer broke off"),
        (OSError, "no connection"),
    ):
        if any(isinstance(cause, kind) for cause in chain):
            return words
    return "no connection"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
