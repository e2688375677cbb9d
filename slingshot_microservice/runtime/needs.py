"""What every request of a service needs besides its broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import ConfigurationUnavailableError, StorageUnavailableError
from ..files import ObjectStore
from .gate import Need

if TYPE_CHECKING:
    from ..database import Database

__all__ = ["needs_of"]


def needs_of(
    store: ObjectStore, database: Database, check_configuration: Callable[[], object]
) -> list[Need]:
    """Return the object store, the database and the configuration service as needs.

    Args:
        store: Where objects are.
        database: Where rows are.
        check_configuration: Asks the configuration for an answer; raises when there is none.
    """

    def check_store(error: BaseException) -> None:
        assert isinstance(error, StorageUnavailableError)
        store.check(error.bucket)

    return [
        Need(
            "object store",
            lambda error: isinstance(error, StorageUnavailableError),
            check_store,
        ),
        Need("database", database.is_missed_in, lambda _error: database.check()),
        Need(
            "configuration service",
            lambda error: isinstance(error, ConfigurationUnavailableError),
            lambda _error: check_configuration(),
        ),
    ]
