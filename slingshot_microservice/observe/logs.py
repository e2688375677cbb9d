"""The log of a running service."""

from __future__ import annotations

import logging
import os

__all__ = ["configure_logging"]

_FORMAT = "%(asctime)s %(levelname)-7s %(threadName)s: %(message)s"
_FORMAT_WITH_PROCESS = "%(asctime)s %(levelname)-7s %(process)d %(threadName)s: %(message)s"


def configure_logging(*, with_process: bool = False) -> None:
    """Write to standard error what the service has to say, unless the program logs already.

    ``SLINGSHOT_LOG_LEVEL`` (``DEBUG``, ``INFO``, ``WARNING``, …) says how much; ``INFO`` if unset.

    Args:
        with_process: Say which process it is, because others write to the same place.
    """
    if logging.getLogger().handlers:
        return
    name = os.environ.get("SLINGSHOT_LOG_LEVEL", "INFO").upper()
    level = logging.getLevelName(name)
    line = _FORMAT_WITH_PROCESS if with_process else _FORMAT
    logging.basicConfig(format=line, level=level if isinstance(level, int) else logging.INFO)
    if not isinstance(level, int):
        logging.getLogger(__name__).warning("SLINGSHOT_LOG_LEVEL is %r; using INFO", name)
    if logging.getLogger().level > logging.DEBUG:
        # pika logs what it raises as well, with its stack; we say the same in one line.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
