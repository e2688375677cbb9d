"""Every error that the package raises on purpose, and the two that ``process`` may.

::

    SlingshotError
    ├── UsageError                      Microservice was called with what it cannot take
    │   ├── OptionError                 an option or SLINGSHOT_… variable has no such value
    │   └── LoadError                   the command line found no such module or no service in it
    ├── ConfigurationError              the configuration says what cannot be used
    │   ├── ConfigurationUnavailableError   the configuration service cannot be reached
    │   ├── SystemMapFileError          a sys-map file has a mistake on a line
    │   └── SecretError                 a secret could not be had
    ├── BrokerError                     RabbitMQ refused
    │   ├── BrokerUnavailableError      RabbitMQ cannot be reached
    │   └── BrokerAuthenticationError   RabbitMQ refused user and password
    ├── DatabaseError                   PostgreSQL refused
    │   ├── DatabaseRefusedError        PostgreSQL lets nobody in with these settings
    │   └── DatabaseUnavailableError    PostgreSQL cannot be reached
    ├── StorageError                    the object store refused
    │   ├── StorageUnavailableError     the object store cannot be reached
    │   └── ObjectNotFoundError         there is no such object
    ├── RequestEndedError               read_file or write_file was called after its request
    ├── OutputError                     process returned what cannot be sent
    └── DrainTimeoutError               what was running did not end in time after a stop

Each one says in a single line what failed, where, and what to do.

A ``process`` raises these, to say what is to become of its request::

    Exception
    ├── Reject                          it can never succeed: park it now
    └── Retry                           not now: try it again later

A program ends with

====  ================================================================================
0     when it was stopped, and what was running ended within ``drain_timeout``
1     when ``start()`` raised what nobody caught, be it a `DrainTimeoutError` because
      something was still running then: Python prints the traceback
-15   when a second SIGTERM ended it at once; -2 when it was a second SIGINT (shells show
      143 and 130)
====  ================================================================================

A command of the command line prints the error in one line, and ends with its ``exit_code``:

====  ================================================================================
1     something failed; a `DrainTimeoutError`, for one
2     `UsageError`
3     `BrokerError`
4     `ConfigurationError`
5     `DatabaseError`, `StorageError`
====  ================================================================================
"""

from __future__ import annotations

import math
from pathlib import Path

__all__ = [
    "BrokerAuthenticationError",
    "BrokerError",
    "BrokerUnavailableError",
    "ConfigurationError",
    "ConfigurationUnavailableError",
    "DatabaseError",
    "DatabaseRefusedError",
    "DatabaseUnavailableError",
    "DrainTimeoutError",
    "LoadError",
    "ObjectNotFoundError",
    "OptionError",
    "OutputError",
    "Reject",
    "RequestEndedError",
    "Retry",
    "SecretError",
    "SlingshotError",
    "StorageError",
    "StorageUnavailableError",
    "SystemMapFileError",
    "UsageError",
]


class SlingshotError(Exception):
    """The root: catch this to catch everything that the package raises on purpose.

    Attributes:
        exit_code: What a command that ends with this error exits with.
    """

    exit_code: int = 1


class UsageError(SlingshotError):
    """The package was called with what it cannot take."""

    exit_code = 2


class OptionError(UsageError):
    """An option, or the environment variable behind it, has no such name or value."""


class LoadError(UsageError):
    """The command line cannot find the module it was given, or a service in it."""


class ConfigurationError(SlingshotError):
    """The configuration says something that cannot be used.

    Attributes:
        source: The URL that was asked, or the file.
        field: The field, such as ``out[1].case``; empty where the whole answer is at fault.
        expected: What should have been there.
        found: What was there, shortened; empty where nothing was.
    """

    exit_code = 4

    def __init__(
        self, message: str, *, source: str, field: str = "", expected: str = "", found: str = ""
    ) -> None:
        super().__init__(message)
        self.source = source
        self.field = field
        self.expected = expected
        self.found = found


class ConfigurationUnavailableError(ConfigurationError):
    """The configuration service cannot be reached, or is failing."""


class SystemMapFileError(ConfigurationError):
    """A sys-map file has a mistake.

    Attributes:
        path: The file.
        line: The line, counted from 1; ``None`` where the file cannot be read at all.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path,
        line: int | None,
        field: str = "",
        expected: str = "",
        found: str = "",
    ) -> None:
        super().__init__(message, source=str(path), field=field, expected=expected, found=found)
        self.path = path
        self.line = line


class SecretError(ConfigurationError):
    """A secret could not be had. Never holds the secret itself.

    Attributes:
        entry: The name of the ``pass`` entry, or of the file in ``SLINGSHOT_SECRETS_DIR``.
    """

    def __init__(self, message: str, *, source: str, entry: str) -> None:
        super().__init__(message, source=source)
        self.entry = entry


class BrokerError(SlingshotError):
    """RabbitMQ refused what was asked of it."""

    exit_code = 3


class BrokerUnavailableError(BrokerError):
    """No RabbitMQ host can be reached."""


class BrokerAuthenticationError(BrokerError):
    """RabbitMQ refused the user name and password, or the virtual host."""


class DatabaseError(SlingshotError):
    """PostgreSQL refused what was asked of it."""

    exit_code = 5


class DatabaseRefusedError(DatabaseError):
    """PostgreSQL lets nobody in with these settings: a wrong password, no such database."""


class DatabaseUnavailableError(DatabaseError):
    """PostgreSQL cannot be reached."""


class StorageError(SlingshotError):
    """The object store refused, or did not answer as it should.

    Attributes:
        bucket: The bucket's real name, not the key it was asked for by.
        id: The id of the object; ``None`` where it is about the store as a whole.
    """

    exit_code = 5

    def __init__(self, message: str, *, bucket: str, id: int | None = None) -> None:
        super().__init__(message)
        self.bucket = bucket
        self.id = id


class StorageUnavailableError(StorageError):
    """The object store cannot be reached, or is failing."""


class ObjectNotFoundError(StorageError):
    """There is no such object, or no such bucket."""


class RequestEndedError(SlingshotError):
    """``read_file`` or ``write_file`` was called after its request had ended."""


class OutputError(SlingshotError):
    """``process`` returned what cannot be sent; the message names the id and the case."""


class DrainTimeoutError(SlingshotError):
    """A request was still running when the time for stopping was over."""


class Reject(Exception):  # noqa: N818  # what process says of a request, not what failed in it
    """Raised by ``process``: this request can never succeed.

    Nothing of the run is kept, and the request is parked at once, without further attempts::

        raise Reject(f"order {request} was deleted")

    The text is kept with the parked message.
    """


class Retry(Exception):  # noqa: N818  # likewise
    """Raised by ``process``: not now; this request is to be tried again later.

    Nothing of the run is kept, and the run counts as one of the request's attempts::

        raise Retry("the report is not there yet", after=60)

    Args:
        reason: Why, for the log and for the message if it is parked in the end.
        after: Seconds until it is tried again, at least; ``None`` for the delay that any failed
            request gets.

    Attributes:
        after: As given.

    Raises:
        UsageError: ``after`` is no finite number of seconds from 0 on.
    """

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = None if after is None else _seconds(after)


def _seconds(after: object) -> float:
    try:
        usable = isinstance(after, (int, float)) and not isinstance(after, bool)
        seconds = float(after) if usable else math.nan  # type: ignore[arg-type]
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds < math.inf:  # which a NaN is not either
        raise UsageError(f"Retry(after={after!r}): expected a finite number of seconds from 0 on")
    return seconds
