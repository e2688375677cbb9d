"""Fixtures of the tests that need real servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from servers.pass_store import PasswordStore
from servers.postgresql import PostgreSQLServer
from servers.rabbitmq import RabbitMQNode
from servers.s3 import S3Server
from servers.sys_map import SysMapServer
from servers.world import World, wear


@pytest.fixture
def world(
    sys_map_server: SysMapServer,
    rabbitmq: RabbitMQNode,
    postgresql: PostgreSQLServer,
    rclone_s3: S3Server,
    password_store: PasswordStore,
    queue_name: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """All that a service needs around it; its secrets can be read from this process."""
    wear(password_store.environment, monkeypatch.setenv)
    return World(sys_map_server, rabbitmq, postgresql, rclone_s3, password_store, queue_name)
