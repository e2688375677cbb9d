"""The database: one engine a service, one connection a worker. The only room with SQLAlchemy.

A worker keeps its connection over many requests, because taking one from the pool and giving it
back costs more than a short request. So each request must find it as if it were fresh:
`DatabaseSession` sees to that when the request before it ends, not when it begins.
"""

from .database import Database
from .engines import postgresql_url
from .limits import DatabaseLimits
from .session import DatabaseSession

__all__ = ["Database", "DatabaseLimits", "DatabaseSession", "postgresql_url"]
