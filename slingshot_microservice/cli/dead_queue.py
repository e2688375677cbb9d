"""From a service's name to the queue of what it has parked."""

from __future__ import annotations

import os
from pathlib import Path

from ..broker.amqp import Server
from ..errors import UsageError
from ..options import Options
from ..parked.queue import ParkedQueue
from ..sysmap import open_system_map
from ..sysmap.models import MemoryBrokerSettings
from ..sysmap.secrets import read_secret

__all__ = ["parked_queue"]

_VARIABLE = "SLINGSHOT_SYS_MAP"
_DEFAULT = "sys-map.toml"


def parked_queue(service: str, config: str | None) -> ParkedQueue:
    """Ask the configuration where a service parks its messages; nothing is connected yet.

    Args:
        service: The service's name.
        config: The configuration host, or the path of a sys-map file. By default, what
            ``SLINGSHOT_SYS_MAP`` says, or the file ``sys-map.toml``.

    Raises:
        UsageError: There is no configuration, or its queues are in memory.
        ConfigurationError: The configuration cannot be had or used, or the secret cannot.
    """
    options = Options.gather({})
    system_map = open_system_map(_where(config), options, environment={})
    try:
        inbound = system_map.service(service).inbound
        broker = system_map.broker()
    finally:
        system_map.close()
    if isinstance(broker, MemoryBrokerSettings):
        raise UsageError(
            f'{system_map.source} says rabbitmq = "memory": queues in memory are gone with their '
            "process, and what was parked in them too"
        )
    server = Server(
        hosts=broker.hosts,
        port=broker.port,
        username=broker.username,
        password=read_secret(broker.password_entry).reveal(),
        heartbeat=options.heartbeat,
        reconnect_pause=options.reconnect_pause,
        reconnect_pause_limit=options.reconnect_pause_limit,
    )
    return ParkedQueue(server, inbound)


def _where(config: str | None) -> str:
    chosen = config or os.environ.get(_VARIABLE)
    if not chosen and not Path(_DEFAULT).exists():
        raise UsageError(
            f"there is no {_DEFAULT} here; say where the configuration is: --config HOST or "
            f"--config FILE.toml, or {_VARIABLE}"
        )
    return chosen or _DEFAULT
