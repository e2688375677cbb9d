"""What errors of SQLAlchemy and the driver mean for a service."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

import psycopg2
from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

from ..errors import DatabaseError, DatabaseRefusedError, DatabaseUnavailableError

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext

__all__ = ["commit_error", "complete", "connect_error", "is_of_absence"]

# Refusals to connect that pass by themselves. psycopg2 gives no SQLSTATE for a connection that
# never was, so the text is all there is.
_PASSING = re.compile(
    r"starting up|shutting down|recovery|not (yet )?accepting connections|too many clients"
    r"|too many connections|connection slots|terminating connection|database is locked"
)

# SQLSTATEs of a server that is not there for us: class 08 is of connections, 53300 of too many;
# the others are of a server that ends sessions, or lets nobody in.
_LOST_CLASS = "08"
_LOST = {"53300", "57P01", "57P02", "57P03", "57P05"}
# Sessions that the server ends for what they did themselves: for being idle in a transaction, or
# too long in one. The next run would be ended as well. The server says so while nobody listens, and
# then libpq has the text and no SQLSTATE. Of a server that speaks another language than English
# it is not understood, and the request is excused twice before its runs count.
_FOR_CAUSE = {"25P03", "25P04"}
_FOR_CAUSE_TEXT = re.compile(r"due to (idle-in-)?transaction timeout")
# SQLAlchemy's code for using a lost connection without having rolled back.
_LOST_AND_USED_AGAIN = "8s2b"


def is_of_absence(error: BaseException, dialect: Dialect) -> bool:
    """Tell whether an error says that the database is away, lost, or lets nobody in any more."""
    if isinstance(error, DBAPIError):
        original = error.orig or Exception()
        lost = error.connection_invalidated and not _is_for_cause(original)
        return lost or is_of_absence(original, dialect)
    if isinstance(error, PendingRollbackError):
        return error.code == _LOST_AND_USED_AGAIN
    if isinstance(error, psycopg2.OperationalError):
        code = error.pgcode  # none where not the server but the driver found the error
        if code is None:
            return not _is_for_cause(error)
        return code.startswith(_LOST_CLASS) or code in _LOST
    if isinstance(error, psycopg2.InterfaceError):
        return dialect.is_disconnect(error, None, None)  # type: ignore[arg-type]
    return isinstance(error, (DatabaseRefusedError, DatabaseUnavailableError))


def complete(context: ExceptionContext) -> None:
    """Put into the error of a lost connection what the server said last; psycopg2 leaves it out.

    Listens to SQLAlchemy's ``handle_error``.
    """
    connection = context.connection
    if not context.is_disconnect or connection is None or connection.invalidated:
        return
    driver_connection: Any = connection.connection.dbapi_connection
    text = driver_connection.info.error_message
    if not text:
        return
    original, wrapped = context.original_exception, context.sqlalchemy_exception
    original.args = (text,)
    if wrapped is not None:
        kind = type(original)
        wrapped.args = (f"({kind.__module__}.{kind.__qualname__}) {text}",)


def connect_error(error: SQLAlchemyError, target: str) -> DatabaseError:
    """Return our error for a connection that could not be had."""
    text = str(_driver_error(error))
    # libpq names every address that it tried; the target is named already.
    reasons = dict.fromkeys(re.findall(r"failed: (?:FATAL: +)?(.+)", text))
    reason = "; ".join(reasons) or _one_line(text)
    if _refused_for_good(_driver_error(error)):
        message = f"{target} refused the connection: {reason}; correct the settings"
        return DatabaseRefusedError(message)
    return DatabaseUnavailableError(f"cannot reach {target}: {reason}; is it running?")


def commit_error(error: SQLAlchemyError, target: str, *, lost: bool) -> DatabaseError:
    """Return our error for a commit that failed, with the connection ``lost`` by it or not."""
    cause = _driver_error(error)
    reason = _one_line(str(cause))
    if lost and not _is_for_cause(cause):
        return DatabaseUnavailableError(
            f"lost the connection to {target} before the commit was confirmed: {reason}"
        )
    return DatabaseError(f"{target} refused the commit: {reason}")


def _refused_for_good(error: BaseException) -> bool:
    text = str(error)
    answered = (
        "FATAL:" in text or "no password supplied" in text or isinstance(error, sqlite3.Error)
    )
    return answered and _PASSING.search(text) is None


def _driver_error(error: SQLAlchemyError) -> BaseException:
    return (isinstance(error, DBAPIError) and error.orig) or error


def _is_for_cause(error: BaseException) -> bool:
    code = error.pgcode if isinstance(error, psycopg2.Error) else None
    return code in _FOR_CAUSE if code else _FOR_CAUSE_TEXT.search(str(error)) is not None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
