"""Every tunable: its default, its unit, and the environment variable that sets it.

An argument in code wins over the variable, the variable over the default. The variable of
``drain_timeout`` is ``SLINGSHOT_DRAIN_TIMEOUT``, and so on.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypedDict

from .errors import OptionError

__all__ = ["OptionArguments", "Options"]

_PREFIX = "SLINGSHOT_"


class OptionArguments(TypedDict, total=False):
    """The keyword options of ``Microservice``; `Options` says what each one means."""

    prefetch: int
    heartbeat: int
    startup_timeout: float
    drain_timeout: float
    http_timeout: float
    retry_pause: float
    retry_pause_limit: float
    reconnect_pause: float
    reconnect_pause_limit: float
    memory_file_limit: int


@dataclass(frozen=True, kw_only=True)
class Options:
    """The tunables of one service.

    Attributes:
        prefetch: Messages that RabbitMQ hands over before the first of them is acknowledged
            (1 to 65,535). RabbitMQ's own guide finds 100 to 300 best for short work.
        heartbeat: Seconds between heartbeats that are offered to RabbitMQ (1 to 3,600). Its guide
            recommends 5 to 20.
        startup_timeout: Seconds for which ``start()`` keeps trying to reach the configuration
            service, RabbitMQ and PostgreSQL before it gives up with an error.
        drain_timeout: Seconds for which a stopping service waits for what is running. Below the
            30 that Kubernetes grants.
        http_timeout: Seconds for one answer of the configuration service.
        retry_pause: Seconds before a failed request is handed back to its queue; doubles with
            every failure.
        retry_pause_limit: Seconds that this pause grows to.
        reconnect_pause: Seconds before the second attempt to connect to RabbitMQ; doubles.
        reconnect_pause_limit: Seconds that this pause grows to.
        memory_file_limit: Bytes up to which an object that is read stays in memory, and a file
            that is written is sent as one put; larger ones go through a temporary file, and as
            a multipart upload.
    """

    prefetch: int = 100
    heartbeat: int = 15
    startup_timeout: float = 30.0
    drain_timeout: float = 25.0
    http_timeout: float = 10.0
    retry_pause: float = 0.5
    retry_pause_limit: float = 30.0
    reconnect_pause: float = 0.5
    reconnect_pause_limit: float = 30.0
    memory_file_limit: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), called=f"option {field.name}")

    @classmethod
    def gather(
        cls, arguments: Mapping[str, object], environment: Mapping[str, str] | None = None
    ) -> Options:
        """Combine arguments, environment and defaults.

        Args:
            arguments: Options given in code, by name.
            environment: Where ``SLINGSHOT_…`` variables are looked up; the process's by default.

        Returns:
            The options, checked.

        Raises:
            OptionError: A name is unknown, or a value is not of its kind or range; the error
                names the argument or the variable.
        """
        environment = os.environ if environment is None else environment
        known = {field.name: field.default for field in fields(cls)}
        for name in arguments:
            if name not in known:
                raise OptionError(f"there is no option {name!r}{_nearest(name, known)}")
        values: dict[str, object] = {}
        for name, default in known.items():
            variable = _PREFIX + name.upper()
            if name in arguments:
                values[name] = arguments[name]
            elif variable in environment:
                values[name] = _parse(variable, environment[variable], type(default))
                _check(name, values[name], called=variable)
        return cls(**values)  # type: ignore[arg-type]  # _check looks at every type


def _nearest(name: str, known: Mapping[str, object]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else f"; there are {', '.join(known)}"


def _parse(variable: str, text: str, kind: type) -> object:
    try:
        return kind(text)
    except ValueError:
        noun = "a whole number" if kind is int else "a number"
        raise OptionError(f"{variable} is {text!r}; expected {noun}") from None


_RANGES: dict[str, tuple[float, float]] = {
    "prefetch": (1, 65_535),  # AMQP carries it in 16 bits, and 0 would mean without limit
    "heartbeat": (1, 3_600),
    "memory_file_limit": (0, 2**31),
}
_SECONDS = (0.001, 86_400.0)


def _check(name: str, value: object, *, called: str) -> None:
    whole = name in _RANGES
    low, high = _RANGES.get(name, _SECONDS)
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        noun = "a whole number" if whole else "a number of seconds"
        raise OptionError(f"{called} is {value!r}; expected {noun}")
    if not low <= value <= high:  # which a NaN is not either
        raise OptionError(f"{called} is {value!r}; expected {low:,} to {high:,}")
