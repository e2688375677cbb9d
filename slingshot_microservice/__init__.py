"""Write a queue-driven microservice as one function: ids in, ids out, nothing lost."""

from ._version import __version__

__all__ = ["__version__"]
