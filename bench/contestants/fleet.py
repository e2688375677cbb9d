"""Who takes part with several processes, and the command line that starts each one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from .work import Assignment, Stores

__all__ = ["DRAMATIQ", "FASTSTREAM", "OURS", "Dramatiq", "FastStream", "Fleet", "Slingshot"]

OURS = "ours"
DRAMATIQ = "Dramatiq"
FASTSTREAM = "FastStream"

_PROGRAMS = Path(sys.executable).parent  # of this environment
_MODULES = "bench.contestants"
_BROKER = """\
rabbitmq = {{ host = {host}, port = {port}, username = {username}, pass = "broker" }}
"""
_LOCAL_STORES = """\
object-storage = { directory = "objects" }
db = { sqlite = "fleet.sqlite" }
"""
_STORES = """\
object-storage = {{ host = {endpoint}, "pass:access-key" = "access", "pass:secret-key" = "secret" }}
db = {{ host = {host}, port = {port}, username = {username}, database = {database}, pass = "db" }}
"""
_SERVICE = """
[services.fleet]
in = {inbound}
out = [{{ case = true, queues = [{outbound}] }}]
"""
_BUCKETS = """\
buckets = {{ in = {bucket_in}, out = {bucket_out} }}
"""


class Fleet(Protocol):
    """The processes of one contestant."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ...

    @property
    def declares(self) -> bool:
        """Whether it makes its queues itself, because they have arguments of its own."""
        ...

    def command(self, assignment: Assignment) -> list[str]:
        """Return the command line that starts as many processes as are asked for."""
        ...

    def prepare(self, assignment: Assignment, folder: Path) -> Mapping[str, str]:
        """Write into ``folder`` what it needs besides; return the variables that lead there."""
        ...

    def body(self, assignment: Assignment, id: int) -> bytes:
        """Return the message that asks it to work on an id."""
        ...

    def id_of(self, body: bytes) -> int:
        """Return the id that it has sent on in a message."""
        ...


class Slingshot:
    """Ours."""

    name = OURS
    declares = False

    def command(self, assignment: Assignment) -> list[str]:
        """Return the command line: processes and threads."""
        return [
            *(str(_PROGRAMS / "slingshot-microservice"), "run", f"{_MODULES}.fleet_slingshot"),
            *("--processes", str(assignment.processes), "--threads", str(assignment.at_once)),
            *("--prefetch", assignment.prefetch),
        ]

    def prepare(self, assignment: Assignment, folder: Path) -> Mapping[str, str]:
        """Write a sys-map file and the secrets that it names."""
        url = urlsplit(assignment.url)
        broker = {"host": url.hostname, "port": url.port, "username": unquote(url.username or "")}
        secrets = {"broker": unquote(url.password or "")}
        parts = [_BROKER.format_map(_quoted(broker))]
        queues = {"inbound": assignment.inbound, "outbound": assignment.outbound}
        service = _SERVICE.format_map(_quoted(queues))
        if assignment.stores is None:
            parts += [_LOCAL_STORES, service]
        else:
            parts += [_stores(assignment.stores), service, _buckets(assignment.stores)]
            secrets |= _secrets(assignment.stores)
        path = folder / "sys-map.toml"
        path.write_text("".join(parts), encoding="utf-8")
        for entry, secret in secrets.items():
            (folder / entry).write_text(secret, encoding="utf-8")
        return {"SLINGSHOT_SYS_MAP": str(path), "SLINGSHOT_SECRETS_DIR": str(folder)}

    def body(self, assignment: Assignment, id: int) -> bytes:
        """Return the id."""
        return b"%d" % id

    def id_of(self, body: bytes) -> int:
        """Return the id."""
        return int(body)


class Dramatiq:
    """Dramatiq's worker processes and threads."""

    name = DRAMATIQ
    declares = True

    def command(self, assignment: Assignment) -> list[str]:
        """Return the command line: processes, threads, and the one queue to listen to."""
        return [
            *(str(_PROGRAMS / "dramatiq"), f"{_MODULES}.fleet_dramatiq"),
            *("--processes", str(assignment.processes), "--threads", str(assignment.at_once)),
            *("--queues", assignment.inbound),
        ]

    def prepare(self, assignment: Assignment, folder: Path) -> Mapping[str, str]:
        """Do nothing."""
        return {}

    def body(self, assignment: Assignment, id: int) -> bytes:
        """Return a call of the actor, as it would have been sent."""
        import dramatiq  # only who asks for it needs it

        message: dramatiq.Message[Any] = dramatiq.Message(
            queue_name=assignment.inbound, actor_name="relay", args=(id,), kwargs={}, options={}
        )
        return message.encode()

    def id_of(self, body: bytes) -> int:
        """Return the argument of the call."""
        (id,) = json.loads(body)["args"]
        return int(id)


class FastStream:
    """FastStream's workers; the prefetch says how many ids each works on at once."""

    name = FASTSTREAM
    declares = False

    def command(self, assignment: Assignment) -> list[str]:
        """Return the command line: workers."""
        return [
            *(str(_PROGRAMS / "faststream"), "run", f"{_MODULES}.fleet_faststream:app"),
            *("--workers", str(assignment.processes)),
        ]

    def prepare(self, assignment: Assignment, folder: Path) -> Mapping[str, str]:
        """Do nothing."""
        return {}

    def body(self, assignment: Assignment, id: int) -> bytes:
        """Return the id, which is JSON for its handler."""
        return b"%d" % id

    def id_of(self, body: bytes) -> int:
        """Return the id."""
        return int(body)


def _quoted(fields: Mapping[str, object]) -> dict[str, str]:
    """Return the fields as TOML writes them, which is as JSON does."""
    return {name: json.dumps(value) for name, value in fields.items()}


def _stores(stores: Stores) -> str:
    fields = {"endpoint": stores.endpoint, **stores.database}
    return _STORES.format_map(_quoted(fields))


def _buckets(stores: Stores) -> str:
    fields = {"bucket_in": stores.bucket_in, "bucket_out": stores.bucket_out}
    return _BUCKETS.format_map(_quoted(fields))


def _secrets(stores: Stores) -> dict[str, str]:
    keys = {"access": stores.access_key, "secret": stores.secret_key}
    return {**keys, "db": str(stores.database["password"])}
