"""Every error that the package raises on purpose.

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
    │   └── DatabaseUnavailableError    PostgreSQL cannot be reached
    ├── StorageError                    the object store refused
    │   ├── StorageUnavailableError     the object store cannot be reached
    │   └── ObjectNotFoundError         there is no such object
    ├── RequestEndedError               read_file or write_file was called after its request
    ├── OutputError                     process returned what cannot be sent
    └── DrainTimeoutError               what was running did not end in time after a stop

Each one says in a single line what failed, where, and what to do. ``exit_code`` is what the
command line ends with.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "BrokerAuthenticationError",
    "BrokerError",
    "BrokerUnavailableError",
    "ConfigurationError",
    "ConfigurationUnavailableError",
    "DatabaseError",
    "DatabaseUnavailableError",
    "DrainTimeoutError",
    "LoadError",
    "ObjectNotFoundError",
    "OptionError",
    "OutputError",
    "RequestEndedError",
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


class DatabaseUnavailableError(DatabaseError):
    """PostgreSQL cannot be reached."""


class StorageError(SlingshotError):
    """The object store refused, or did not answer as it should.

    Attributes:
        bucket: The bucket's real name, not the key it was asked for by.
        id: The id of the object.
    """

    exit_code = 5

    def __init__(self, message: str, *, bucket: str, id: int) -> None:
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
