"""From what the configuration says to the parts that do it.

Heavy libraries are loaded here, each when the configuration asks for it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial

from . import hotpath
from ._version import __version__
from .broker.memory import MemoryBroker, MemoryQueues
from .broker.protocol import Broker
from .broker.requeue import RequeuePauses
from .broker.retries import RetryPolicy
from .database import Database, DatabaseLimits, postgresql_url
from .files import DirectoryStore, ObjectStore
from .options import Options
from .runtime.request import Routes
from .runtime.service import Definition, Service, Surroundings
from .sysmap.buckets import BucketNames
from .sysmap.models import (
    DirectorySettings,
    EmbeddedPostgreSQLSettings,
    MemoryBrokerSettings,
    ServiceSettings,
    SQLiteSettings,
    SystemMap,
)
from .sysmap.secrets import read_secret

__all__ = ["build_service"]

_log = logging.getLogger(__name__)

_STORE_CONNECTIONS = 16  # of a thread: four files of a request, and four parts of each


def build_service(
    definition: Definition,
    system_map: SystemMap,
    queues: MemoryQueues,
    on_failure: Callable[[BaseException], None],
) -> Service:
    """Ask the configuration and put a service together; nothing is connected yet.

    Args:
        definition: What the user said.
        system_map: The configuration.
        queues: Where queues live if the configuration says that they live in this process.
        on_failure: Called, on any thread, when the running service cannot go on.

    Raises:
        ConfigurationError: The configuration cannot be had or used, or a secret cannot.
        DatabaseError: An embedded database cannot be started.
    """
    name, options = definition.name, definition.options
    settings = system_map.service(name)
    outbound = list(dict.fromkeys(queue for route in settings.routes for queue in route.queues))
    indexes = {queue: index for index, queue in enumerate(outbound)}
    routes = Routes(
        (route.case, [indexes[queue] for queue in route.queues]) for route in settings.routes
    )
    with contextlib.ExitStack() as undo:
        store = _store(system_map, options)
        undo.callback(store.close)
        broker = _broker(definition, settings, outbound, system_map, queues, on_failure)
        undo.callback(broker.close, 0)
        database = _database(name, system_map, options)
        undo.pop_all()
    _log.info(
        "service %r %s: queue %r in, %d queues out%s, hot path %s (%s), configuration of %s",
        name,
        __version__,
        settings.inbound,
        len(outbound),
        " (in the memory of this process)" if isinstance(broker, MemoryBroker) else "",
        hotpath.IMPLEMENTATION,
        hotpath.REASON,
        system_map.source,
    )
    surroundings = Surroundings(
        broker,
        routes,
        database,
        store,
        BucketNames(system_map, name).resolve,
        partial(system_map.check, name),
    )
    return Service(definition, surroundings, on_failure)


def _broker(
    definition: Definition,
    settings: ServiceSettings,
    outbound: list[str],
    system_map: SystemMap,
    queues: MemoryQueues,
    on_failure: Callable[[BaseException], None],
) -> Broker:
    options = definition.options
    where = system_map.broker()
    policy = None
    if options.parking:
        policy = RetryPolicy(
            attempts=options.attempts, delays=tuple(options.retry_delays), deaths=options.deaths
        )
    pauses = RequeuePauses(options.retry_pause, options.retry_pause_limit)
    prefetch = None if isinstance(options.prefetch, str) else options.prefetch
    if isinstance(where, MemoryBrokerSettings):
        return MemoryBroker(
            queues,
            inbound=settings.inbound,
            outbound=outbound,
            prefetch=prefetch,
            policy=policy,
            pauses=pauses,
        )
    from .broker.amqp import Server
    from .broker.rabbitmq import RabbitMQBroker

    server = Server(
        hosts=where.hosts,
        port=where.port,
        username=where.username,
        password=read_secret(where.password_entry).reveal(),
        heartbeat=options.heartbeat,
        reconnect_pause=options.reconnect_pause,
        reconnect_pause_limit=options.reconnect_pause_limit,
    )
    return RabbitMQBroker(
        server,
        service=definition.name,
        inbound=settings.inbound,
        outbound=outbound,
        prefetch=prefetch,
        workers=options.threads,
        open_timeout=options.startup_timeout,
        policy=policy,
        pauses=pauses,
        confirm_timeout=options.confirm_timeout,
        consumer_timeout=options.consumer_timeout,
        on_failure=on_failure,
    )


def _store(system_map: SystemMap, options: Options) -> ObjectStore:
    where = system_map.storage()
    if isinstance(where, DirectorySettings):
        return DirectoryStore(where.directory, options.memory_file_limit)
    from .files.s3_clients import open_s3_store

    return open_s3_store(
        options.object_store_client,
        where.endpoint,
        read_secret(where.access_key_entry).reveal(),
        read_secret(where.secret_key_entry).reveal(),
        memory_limit=options.memory_file_limit,
        pool_size=_STORE_CONNECTIONS * options.threads,
        read_timeout=options.storage_timeout,
    )


def _database(name: str, system_map: SystemMap, options: Options) -> Database:
    where = system_map.database()
    if isinstance(where, SQLiteSettings):
        return Database.sqlite(where.path)
    limits = DatabaseLimits(
        connect_timeout=options.database_connect_timeout,
        statement_timeout=options.database_statement_timeout,
        idle_in_transaction_timeout=options.database_idle_in_transaction_timeout,
        connections=options.database_connections,
        pool_timeout=options.database_pool_timeout,
        threads=options.threads,
    )
    if isinstance(where, EmbeddedPostgreSQLSettings):
        return Database.embedded_postgresql(where.directory, application_name=name, limits=limits)
    password = read_secret(where.password_entry).reveal()
    url = postgresql_url(where.host, where.port, where.username, password, where.database)
    return Database(url, application_name=name, limits=limits)
