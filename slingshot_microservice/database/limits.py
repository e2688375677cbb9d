"""How many connections to PostgreSQL there are, and how long is waited for what."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DatabaseLimits"]


@dataclass(frozen=True, kw_only=True)
class DatabaseLimits:
    """Limits of one service's use of PostgreSQL; all times in seconds.

    Attributes:
        connect_timeout: For one attempt to connect.
        statement_timeout: After which the server ends a statement; 0 for what the server says.
        idle_in_transaction_timeout: After which the server ends a session that is in a
            transaction and does nothing; 0 for what the server says.
        connections: Connections of the worker threads together; 0 for one a thread.
        pool_timeout: For a connection to become free, where there are fewer than threads.
        threads: Worker threads.
    """

    connect_timeout: float = 10.0
    statement_timeout: float = 0.0
    idle_in_transaction_timeout: float = 0.0
    connections: int = 0
    pool_timeout: float = 30.0
    threads: int = 1

    @property
    def shared(self) -> int:
        """How many connections the threads share; 0 where each one has its own."""
        return self.connections if self.connections < self.threads else 0
