"""All that a service needs around it, on real servers, and ways to run one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from slingshot_microservice import Microservice

from .pass_store import PasswordStore
from .postgresql import PostgreSQLServer
from .processes import ServerProcess, beside_python
from .rabbitmq import RabbitMQNode
from .s3 import S3Server
from .sys_map import SysMapServer

__all__ = ["World", "running"]

_JOIN_SECONDS = 40.0


class World:
    """One RabbitMQ, PostgreSQL, S3 store, GNU pass and configuration service.

    Attributes:
        environment: The variables under which a service finds its secrets.
    """

    def __init__(
        self,
        sys_map: SysMapServer,
        rabbitmq: RabbitMQNode,
        postgresql: PostgreSQLServer,
        s3: S3Server,
        password_store: PasswordStore,
        queue_name: Callable[..., str],
    ) -> None:
        self.sys_map = sys_map
        self.rabbitmq = rabbitmq
        self.postgresql = postgresql
        self.s3 = s3
        self.queue = queue_name
        self.bucket_in = queue_name("bucket-in")
        self.bucket_out = queue_name("bucket-out")
        s3.create_bucket(self.bucket_in)
        s3.create_bucket(self.bucket_out)
        self.environment = password_store.environment
        for entry, secret in (
            ("world/mq", rabbitmq.password),
            ("world/db", postgresql.password),
            ("world/s3/access", s3.access_key),
            ("world/s3/secret", s3.secret_key),
        ):
            password_store.insert(entry, f"{secret}\nnotes that are no secret\n")

    def describe(
        self,
        service: str,
        inbound: str,
        out: Sequence[tuple[bool | int | str, list[str]]] = (),
        *,
        rabbitmq: Mapping[str, object] | None = None,
        db: Mapping[str, object] | None = None,
        storage: Mapping[str, object] | None = None,
    ) -> None:
        """Configure ``service``; a section's fields replace those that lead to the servers."""
        mq, pg = self.rabbitmq, self.postgresql
        here = {"host": mq.host, "port": mq.port, "username": mq.username, "pass": "world/mq"}
        data = {
            "host": pg.host,
            "port": pg.port,
            "username": pg.username,
            "database": pg.database,
            "pass": "world/db",
        }
        objects = {
            "host": self.s3.endpoint,
            "pass:access-key": "world/s3/access",
            "pass:secret-key": "world/s3/secret",
        }
        self.sys_map.describe(
            service,
            inbound,
            out,
            {"in": self.bucket_in, "out": self.bucket_out},
            rabbitmq={**here, **(rabbitmq or {})},
            db={**data, **(db or {})},
            storage={**objects, **(storage or {})},
        )

    def program(self, text: str, folder: Path) -> Program:
        """Return ``text`` as a program that is yet to be run, in a process of its own."""
        return Program(text, folder, self.environment)


class Program:
    """A Python program in a process of its own; stopped with SIGTERM."""

    def __init__(self, text: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._path = folder / "program.py"
        self._path.write_text(text)
        self._environment = {**environment, "PYTHONWARNINGS": "error"}
        self.log = folder / "program.log"
        self.process: ServerProcess

    def __enter__(self) -> Program:
        self.process = ServerProcess(
            [beside_python() / "python", self._path], self.log, environment=self._environment
        )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.end()


@contextmanager
def running(microservice: Microservice) -> Iterator[Microservice]:
    """Run a service on a thread; stop it in the end, and raise what it raised."""
    errors: list[BaseException] = []

    def start() -> None:
        try:
            microservice.start()
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    thread = threading.Thread(target=start, name=f"{microservice.name}-main", daemon=True)
    thread.start()
    try:
        yield microservice
    finally:
        microservice.stop()
        thread.join(_JOIN_SECONDS)
    assert not thread.is_alive(), "the service did not stop"
    if errors:
        raise errors[0]


def wear(environment: Mapping[str, str], setenv: Callable[[str, str], None]) -> None:
    """Set the variables of ``environment`` on this process, but for PATH and HOME."""
    for name, value in environment.items():
        if name not in ("PATH", "HOME") and os.environ.get(name) != value:
            setenv(name, value)
