"""Every tunable: its default, its unit, and the environment variable that sets it.

An argument in code wins over the variable, the variable over the default. The variable of
``drain_timeout`` is ``SLINGSHOT_DRAIN_TIMEOUT``, and so on.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypedDict, get_args

from .errors import OptionError

__all__ = ["ObjectStoreClient", "OptionArguments", "Options"]

_PREFIX = "SLINGSHOT_"

ObjectStoreClient = Literal["auto", "boto3", "obstore"]
"""What the option ``object_store_client`` may be."""


class OptionArguments(TypedDict, total=False):
    """The keyword options of ``Microservice``; `Options` says what each one means."""

    threads: int
    prefetch: int | Literal["auto"]
    heartbeat: int
    startup_timeout: float
    drain_timeout: float
    http_timeout: float
    storage_timeout: float
    database_connections: int
    database_pool_timeout: float
    database_connect_timeout: float
    database_statement_timeout: float
    database_idle_in_transaction_timeout: float
    attempts: int
    retry_delays: Sequence[float]
    deaths: int
    parking: bool
    confirm_timeout: float
    consumer_timeout: float
    retry_pause: float
    retry_pause_limit: float
    reconnect_pause: float
    reconnect_pause_limit: float
    memory_file_limit: int
    health_port: int
    health_host: str
    object_store_client: ObjectStoreClient


@dataclass(frozen=True, kw_only=True)
class Options:
    """The tunables of one service.

    Attributes:
        threads: How many requests are processed at the same time (1 to 1,000), each with a database
            connection of its own. With more than one, ``process`` must be safe to run side by side.
        prefetch: Messages that RabbitMQ hands over before the first of them is acknowledged
            (1 to 65,535), or ``"auto"``: as many as give each thread a tenth of a second or two to
            do, by the mean of what requests have taken; at least two a thread, hundreds where they
            take microseconds.
        heartbeat: Seconds within twice which a connection is given up, by us or by RabbitMQ, when
            nothing gets through any more (1 to 3,600). RabbitMQ is offered two thirds of it,
            because it takes up to three times what it is offered; its guide recommends 5 to 20.
        startup_timeout: Seconds for which ``start()`` keeps trying to reach the configuration
            service, RabbitMQ and PostgreSQL before it gives up with an error.
        drain_timeout: Seconds for which a stopping service waits for what is running. Below the
            30 that Kubernetes grants.
        http_timeout: Seconds for one answer of the configuration service.
        storage_timeout: Seconds of silence after which the object store is not waited for any
            longer. It is asked three times, then the request has failed.
        database_connections: Connections to PostgreSQL that the worker threads share; 0 for one a
            thread. Where there are fewer than threads, a request waits for one that is free.
        database_pool_timeout: Seconds for which it waits; then the request has failed.
        database_connect_timeout: Seconds for one attempt to connect to PostgreSQL, rounded up to
            whole ones.
        database_statement_timeout: Seconds after which PostgreSQL ends a statement, and the request
            has failed; 0 for what PostgreSQL says by itself. It is told when a connection is made,
            which PgBouncer does not let through: set it there for the role, then.
        database_idle_in_transaction_timeout: Seconds after which PostgreSQL ends the session of a
            request that has begun a transaction and sends nothing more; then the request has
            failed. 0 and PgBouncer as above.
        attempts: Runs of a request, failed ones, before it is parked in the queue of the dead.
        retry_delays: Seconds before the second run of a failed request, the third, and so on; the
            last is repeated. Each is shortened by up to a fifth, so that what failed together does
            not come back together. In the variable they are separated by commas.
        deaths: Workers that may die while they have one request in hand, and no other, before it is
            parked.
        parking: Whether there may be queues beside the inbound one, for what failed. Without them
            a message that cannot be processed goes back to its queue after a pause, for ever.
        confirm_timeout: Seconds without any confirm of RabbitMQ's, while some are due, that are
            taken for a lost connection. Longer than the heartbeat.
        consumer_timeout: Seconds after which RabbitMQ, by its own ``consumer_timeout``, closes the
            channel of whoever has not acknowledged a message; half of it is warned of.
        retry_pause: Seconds before another look at a server that is away, and before a message
            goes back to its queue where it cannot be put anywhere else; doubles.
        retry_pause_limit: Seconds that this pause grows to.
        reconnect_pause: Seconds before the second attempt to connect to RabbitMQ; doubles.
        reconnect_pause_limit: Seconds that this pause grows to: so long may a broker be back
            before it is noticed.
        memory_file_limit: Bytes up to which an object that is read stays in memory, and a file
            that is written is sent as one put; larger ones go through a temporary file, and as
            a multipart upload.
        health_port: TCP port on which ``/livez`` and ``/readyz`` are answered over HTTP, for probes
            (1 to 65,535); 0 for none.
        health_host: The address to listen on for that. Probes of an orchestrator come from
            outside, so it is all of IPv4 by default; ``::`` is all of IPv6.
        object_store_client: The library that talks to an object store behind the S3 API: ``boto3``;
            ``obstore``, which costs a fraction of it and comes with the extra ``[fast]``; or
            ``auto``, which is obstore where it is installed and can be used.
    """

    threads: int = 1
    prefetch: int | Literal["auto"] = "auto"
    heartbeat: int = 15
    startup_timeout: float = 30.0
    drain_timeout: float = 25.0
    http_timeout: float = 10.0
    storage_timeout: float = 30.0
    database_connections: int = 0
    database_pool_timeout: float = 30.0
    database_connect_timeout: float = 10.0
    database_statement_timeout: float = 0.0
    database_idle_in_transaction_timeout: float = 0.0
    attempts: int = 5
    retry_delays: Sequence[float] = (1.0, 5.0, 30.0, 120.0, 600.0)
    deaths: int = 3
    parking: bool = True
    confirm_timeout: float = 60.0
    consumer_timeout: float = 1800.0
    retry_pause: float = 0.5
    retry_pause_limit: float = 30.0
    reconnect_pause: float = 0.5
    reconnect_pause_limit: float = 4.0
    memory_file_limit: int = 8 * 1024 * 1024
    health_port: int = 0
    health_host: str = "0.0.0.0"  # noqa: S104  # only when a port is set; see above
    object_store_client: ObjectStoreClient = "auto"

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), called=f"option {field.name}")
        if self.confirm_timeout <= self.heartbeat:
            # A lost connection is the heartbeat's to notice; this is for one that only seems well.
            raise OptionError(
                f"option confirm_timeout is {self.confirm_timeout!r}; expected more than the "
                f"heartbeat, which is {self.heartbeat!r}"
            )

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
                values[name] = _parse(variable, environment[variable], name, type(default))
                _check(name, values[name], called=variable)
        return cls(**values)  # type: ignore[arg-type]  # _check looks at every type


def _nearest(name: str, known: Mapping[str, object]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else f"; there are {', '.join(known)}"


def _parse(variable: str, text: str, name: str, kind: type) -> object:
    try:
        if name == "prefetch":
            return _AUTO if text.strip().lower() == _AUTO else int(text)
        if kind is bool:
            return _SWITCH[text.strip().lower()]
        if kind is tuple:
            return tuple(float(part) for part in text.split(","))
        return kind(text)
    except (ValueError, KeyError):
        raise OptionError(f"{variable} is {text!r}; expected {_NOUNS[kind]}") from None


_AUTO = "auto"
_WHOLE_OR_AUTO = 'a whole number or "auto"'
_SWITCH = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
_NOUNS: dict[type, str] = {
    int: "a whole number",
    str: _WHOLE_OR_AUTO,
    float: "a number",
    bool: "1 or 0",
    tuple: "numbers of seconds, separated by commas",
}
_RANGES: dict[str, tuple[float, float]] = {
    "threads": (1, 1_000),
    "prefetch": (1, 65_535),  # AMQP carries it in 16 bits, and 0 would mean without limit
    "heartbeat": (1, 3_600),
    "database_connections": (0, 10_000),
    "attempts": (1, 1_000_000),
    "deaths": (1, 1_000),
    "memory_file_limit": (0, 2**31),
    "health_port": (0, 65_535),
}
_SECONDS = (0.001, 86_400.0)
_SECONDS_OR_NONE = (0.0, 86_400.0)
_MAY_BE_NONE = {"database_statement_timeout", "database_idle_in_transaction_timeout"}


def _check(name: str, value: object, *, called: str) -> None:
    if name in _EXPECTED:
        is_right, expected = _EXPECTED[name]
        if not is_right(value):
            raise OptionError(f"{called} is {value!r}; expected {expected}")
    elif name == "retry_delays":
        if not isinstance(value, (list, tuple)) or not value:
            raise OptionError(f"{called} is {value!r}; expected a list of seconds, not empty")
        for number, delay in enumerate(value, 1):
            _check_number(delay, _SECONDS, whole=False, called=f"{called}, number {number},")
    elif name == "prefetch" and isinstance(value, str):
        if value != _AUTO:
            raise OptionError(f"{called} is {value!r}; expected {_WHOLE_OR_AUTO}")
    else:
        seconds = _SECONDS_OR_NONE if name in _MAY_BE_NONE else _SECONDS
        _check_number(value, _RANGES.get(name, seconds), whole=name in _RANGES, called=called)


# What is no number: whether it is right, and what would be.
_CLIENTS = get_args(ObjectStoreClient)
_EXPECTED: dict[str, tuple[Callable[[object], bool], str]] = {
    "parking": (lambda value: isinstance(value, bool), "True or False"),
    "health_host": (
        lambda value: isinstance(value, str) and bool(value.strip()),
        "an address to listen on",
    ),
    "object_store_client": (lambda value: value in _CLIENTS, " or ".join(_CLIENTS)),
}


def _check_number(value: object, limits: tuple[float, float], *, whole: bool, called: str) -> None:
    low, high = limits
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        noun = "a whole number" if whole else "a number of seconds"
        raise OptionError(f"{called} is {value!r}; expected {noun}")
    if not low <= value <= high:  # which a NaN is not either
        raise OptionError(f"{called} is {value!r}; expected {low:,} to {high:,}")
