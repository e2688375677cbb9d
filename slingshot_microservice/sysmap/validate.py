"""From the values of JSON or TOML to the frozen settings of `models`.

There is one set of rules for the configuration service and for sys-map files, and for the names
that a program gives.
"""

from __future__ import annotations

import logging

from ..errors import UsageError
from ..typing import CaseVariable
from .models import PostgreSQLSettings, RabbitMQSettings, Route, S3Settings, ServiceSettings
from .place import Place, shorten
from .secrets import check_entry_name

__all__ = [
    "check_service_name",
    "clean_key",
    "read_bucket",
    "read_postgresql",
    "read_rabbitmq",
    "read_s3",
    "read_service",
    "require_service_name",
]

_RESERVED_NAMES = ("rabbitmq", "db", "object-storage")

_QUEUE_LIMIT = 255  # bytes: AMQP 0-9-1 carries a queue's name as a short string
_NOT_IN_BUCKETS = ' </\\"\ufffd'  # pages, paths, JSON, and what was not UTF-8
_INTEGERS = range(-(2**63), 2**64)  # what fits i64 or u64

_log = logging.getLogger(__name__)


def read_service(place: Place) -> ServiceSettings:
    """Read the queues of a service.

    Raises:
        ConfigurationError: A field is missing or is not what the contract says.
    """
    place.mapping("in", "out", "buckets")
    inbound = _queue(place.field("in", "the name of a queue"))
    routes: dict[tuple[type, CaseVariable], Route] = {}
    expected = "a list of cases and their queues"
    for entry in place.field("out", expected).items(expected):
        route = _route(entry)
        key = (type(route.case), route.case)  # True == 1 in Python, but they are two cases
        if key in routes:
            where = place.source.where(entry.path)
            case = shorten(route.case)
            _log.warning("%s: case %s is listed more than once; the last one wins", where, case)
        routes[key] = route
    return ServiceSettings(inbound, tuple(routes.values()))


def read_rabbitmq(place: Place) -> RabbitMQSettings:
    """Read where RabbitMQ is; ``host`` may be a list of the nodes of one cluster.

    Raises:
        ConfigurationError: A field is missing or is not what the contract says.
    """
    place.mapping("host", "port", "username", "pass")
    return RabbitMQSettings(
        hosts=_hosts(place.field("host", "a host name, or a list of them")),
        port=_port(place),
        username=_text(place, "username", "a user name"),
        password_entry=_entry(place, "pass"),
    )


def read_postgresql(place: Place) -> PostgreSQLSettings:
    """Read where PostgreSQL is.

    Raises:
        ConfigurationError: A field is missing or is not what the contract says.
    """
    place.mapping("host", "port", "username", "database", "pass")
    return PostgreSQLSettings(
        host=_text(place, "host", "a host name"),
        port=_port(place),
        username=_text(place, "username", "a user name"),
        database=_text(place, "database", "the name of a database"),
        password_entry=_entry(place, "pass"),
    )


def read_s3(place: Place) -> S3Settings:
    """Read where the object store is.

    Raises:
        ConfigurationError: A field is missing or is not what the contract says.
    """
    place.mapping("host", "pass:access-key", "pass:secret-key")
    return S3Settings(
        endpoint=_endpoint(place),
        access_key_entry=_entry(place, "pass:access-key"),
        secret_key_entry=_entry(place, "pass:secret-key"),
    )


def read_bucket(place: Place) -> str:
    """Read the name of a bucket; white space around it does not count.

    Raises:
        ConfigurationError: It is empty, or cannot be one: a page of HTML, or a name that would
            be more than one segment of an object's address.
    """
    expected = "the name of a bucket"
    name = place.text(expected).strip()
    if name in {".", ".."} or not all(c.isprintable() and c not in _NOT_IN_BUCKETS for c in name):
        raise place.error(expected)
    return name


def check_service_name(name: str) -> None:
    """Check that ``name`` can be asked for: it is one segment of a path of its own.

    Raises:
        ValueError: It cannot; the message says why.
    """
    if not name.strip():
        raise ValueError("it is empty")
    if "/" in name:
        raise ValueError("it holds a '/'")
    if name in _RESERVED_NAMES or name in {".", ".."}:
        raise ValueError("the configuration service uses that path for something else")


def require_service_name(name: object) -> str:
    """Return the name of a service as a program gave it.

    Raises:
        UsageError: It is no string, or `check_service_name` refuses it.
    """
    if not isinstance(name, str):
        raise UsageError(f"the service's name is {shorten(name)}; expected a string")
    try:
        check_service_name(name)
    except ValueError as error:
        raise UsageError(f"{shorten(name)} cannot be the name of a service: {error}") from None
    return name


def clean_key(key: object) -> str:
    """Return a bucket key without the slashes around it, which do not count.

    Raises:
        UsageError: It is no string, nothing is left of it, or it has a ``.`` or ``..`` segment.
    """
    if not isinstance(key, str):
        raise UsageError(f"the bucket key is {shorten(key)}; expected a string such as 'in'")
    cleaned = key.strip("/")
    if not cleaned.strip() or {".", ".."} & set(cleaned.split("/")):
        raise UsageError(f"the bucket key is {shorten(key)}; expected a name such as 'in'")
    return cleaned


def _route(entry: Place) -> Route:
    entry.mapping("case", "queues")
    case = _case(entry.field("case", "a boolean, an integer or a string"))
    expected = "a list of queue names"
    queues = entry.field("queues", expected).items(expected)
    return Route(case, tuple(_queue(queue) for queue in queues))


def _case(place: Place) -> CaseVariable:
    value = place.value
    if isinstance(value, (bool, str)):
        return value
    if not isinstance(value, int):
        raise place.error("a boolean, an integer or a string")
    if value not in _INTEGERS:
        raise place.error("an integer of -2**63 to 2**64 - 1")
    return value


def _queue(place: Place) -> str:
    name = place.value
    if not isinstance(name, str) or not name:
        raise place.error("the name of a queue")
    size = len(name.encode())
    if size > _QUEUE_LIMIT:
        raise place.error(f"a queue name of at most {_QUEUE_LIMIT} bytes (it has {size:,})")
    return name


def _text(place: Place, name: str, expected: str) -> str:
    return place.field(name, expected).single(expected).text(expected)


def _hosts(place: Place) -> tuple[str, ...]:
    if not isinstance(place.value, list):
        return (place.text("a host name, or a list of them"),)
    if not place.value:
        raise place.error("at least one host name")
    return tuple(host.text("a host name") for host in place.items("a list of host names"))


def _port(place: Place) -> int:
    expected = "a TCP port, 1 to 65535"
    port = place.field("port", expected).single(expected)
    value = port.value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65_535:
        raise port.error(expected)
    return value


def _entry(place: Place, name: str) -> str:
    expected = "the name of a pass entry"
    entry = place.field(name, expected).single(expected)
    text = entry.text(expected)
    try:
        check_entry_name(text)
    except ValueError as error:
        raise entry.error(f"{expected}, but {error}") from None
    return text


def _endpoint(place: Place) -> str:
    expected = "a host name, or a URL that begins with http:// or https://"
    host = place.field("host", expected).single(expected)
    text = host.text(expected).strip()
    if not text.startswith(("http://", "https://")):
        text = f"https://{text}"
    scheme, _, address = text.partition("://")
    address = address.rstrip("/")
    if not address:
        raise host.error(expected)
    return f"{scheme}://{address}"
