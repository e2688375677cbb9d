"""One worker's connection, from request to request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from sqlalchemy.exc import SQLAlchemyError

from ..errors import DatabaseError
from .errors import commit_error

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["DatabaseSession"]


class DatabaseSession:
    """The connection of one worker, kept from request to request.

    Where the workers have to share what connections there are, it is given back after every
    request, and the next one waits for one that is free.

    May be made in one thread and used in another, but in one at a time.

    Args:
        connect: Takes a connection from the pool.
        target: What the database is called in messages.
        on_given_back: Called when a connection is given back, if others may wait for it; None if
            it may be kept.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        target: str,
        on_given_back: Callable[[], None] | None = None,
    ) -> None:
        self._connect = connect
        self._target = target
        self._on_given_back = on_given_back
        self._connection: Connection | None = None
        self._pristine_options: object = None

    @property
    def connection(self) -> Connection:
        """The connection for a request: open, outside a transaction, with no options set.

        Raises:
            DatabaseUnavailableError: There was no connection, and the database cannot be reached.
            DatabaseRefusedError: There was no connection, and the database refused.
            DatabaseError: All connections were in use for too long.
        """
        connection = self._connection
        if connection is None or connection.closed:
            self.close()  # of one that process has closed, too, somebody may wait for the place
            connection = self._connection = self._connect()
            self._pristine_options = connection.get_execution_options()
        return connection

    def commit(self) -> None:
        """Commit what the request left open; nothing is sent when it left nothing.

        Afterwards no transaction or savepoint is open, whatever ``process`` did with them.

        Raises:
            DatabaseUnavailableError: The connection is lost, and what was written with it.
            DatabaseError: The database refused the commit, or a statement had failed before it,
                so that PostgreSQL would have rolled back. The transaction is rolled back.
        """
        connection = self._connection
        if connection is None:
            return
        if connection.get_transaction() is not None:
            self._commit(connection)
        if (
            self._on_given_back is not None
            or connection.invalidated
            or connection.get_execution_options() is not self._pristine_options
        ):
            self.close()

    def rollback(self) -> None:
        """Roll back what the request left open. Never raises: a broken connection is let go."""
        # The connection goes back to the pool even when nothing is open: a generator that was
        # abandoned inside `with connection.begin()` would still be holding on to this one.
        self.close()

    def close(self) -> None:
        """Roll back and give the connection back; the session may be used again. Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _let_go(connection)
            if self._on_given_back is not None:
                self._on_given_back()

    def _commit(self, connection: Connection) -> None:
        try:
            failed = not connection.invalidated and _has_failed(connection)
            if not failed:
                connection.commit()
        except SQLAlchemyError as error:
            lost = connection.invalidated
            self.close()
            raise commit_error(error, self._target, lost=lost) from error
        if failed:
            self.close()
            raise DatabaseError(
                f"cannot commit to {self._target}: a statement failed and its error was caught, so "
                f"PostgreSQL has given up the transaction; wrap what may fail in "
                f"`with connection.begin_nested():`"
            )


def _let_go(connection: Connection) -> None:
    try:
        transaction = connection.get_transaction()
        if transaction is not None and not transaction.is_active:
            connection.invalidate()  # after a failed commit SQLAlchemy would not roll back
        connection.close()
    except SQLAlchemyError:
        with suppress(SQLAlchemyError):
            connection.invalidate()
            connection.close()


def _has_failed(connection: Connection) -> bool:
    """Tell whether PostgreSQL would answer a commit with a silent rollback."""
    info = getattr(connection.connection.dbapi_connection, "info", None)
    return getattr(info, "transaction_status", None) == TRANSACTION_STATUS_INERROR
