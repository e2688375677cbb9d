"""What the configuration says: the service's answers or a file's, checked once at the door.

`open_system_map` tells the two apart. Nothing here is imported before it is needed, so that a
program on a sys-map file never loads an HTTP client.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeGuard

from ..errors import UsageError
from ..options import Options
from .models import SystemMap

__all__ = ["open_system_map"]

_VARIABLE = "SLINGSHOT_SYS_MAP"

_log = logging.getLogger(__name__)


def open_system_map(
    config_host: str | os.PathLike[str],
    options: Options,
    environment: Mapping[str, str] = os.environ,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> SystemMap:
    """Open the configuration that ``config_host``, or the environment, points at.

    Args:
        config_host: The host or URL of a configuration service; or a sys-map file, given as a
            path or as a string that ends in ``.toml``.
        options: How long to wait, and for how long to try.
        environment: Where ``SLINGSHOT_SYS_MAP`` is looked up. When it is set and not empty it
            wins over ``config_host``, so that an unchanged program can be pointed elsewhere.
        sleep: Waits between attempts to reach a service, in seconds. What it raises ends them.

    Returns:
        The configuration. A file has been read and checked; a service has not been asked yet.

    Raises:
        UsageError: ``config_host`` is neither a host nor a path.
        SystemMapFileError: The file cannot be read, or has a mistake.
    """
    override = environment.get(_VARIABLE)
    if not override:
        return _open(config_host, options, sleep)
    system_map = _open(override, options, sleep)
    _log.info("%s is set: the configuration comes from %s", _VARIABLE, system_map.source)
    return system_map


def _open(chosen: object, options: Options, sleep: Callable[[float], object]) -> SystemMap:
    if isinstance(chosen, os.PathLike) or _names_a_file(chosen):
        from .file import FileSystemMap

        return FileSystemMap(Path(chosen))
    if not isinstance(chosen, str) or not chosen.strip():
        raise UsageError(
            f"config_host is {chosen!r}; expected a host such as 'sys-map.example.com', or the "
            "path of a sys-map file such as 'sys-map.toml'"
        )
    from .client import HttpSystemMap

    return HttpSystemMap(chosen, options, sleep=sleep)


def _names_a_file(chosen: object) -> TypeGuard[str]:
    return (
        isinstance(chosen, str)
        and chosen.endswith(".toml")
        and not chosen.startswith(("http://", "https://"))
    )
