"""A service that cannot start, and what is said of it."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from servers.ports import free_port
from servers.world import World

from slingshot_microservice import Microservice
from slingshot_microservice.errors import (
    BrokerAuthenticationError,
    BrokerUnavailableError,
    ConfigurationError,
    DatabaseError,
    DatabaseUnavailableError,
    SecretError,
)

ONE_TRY = {"startup_timeout": 1.0, "reconnect_pause": 0.1, "reconnect_pause_limit": 0.2}


def service(world: World, **options: Any) -> Microservice:
    return Microservice("svc", world.sys_map.url, lambda *_: [], **options)


def test_a_wrong_rabbitmq_password_is_said_at_once(world: World) -> None:
    world.describe("svc", world.queue("in"), rabbitmq={"pass": "world/db"})
    with pytest.raises(BrokerAuthenticationError, match=r"refused user .*pass of /rabbitmq") as it:
        service(world).start()
    assert world.postgresql.password not in str(it.value)


def test_an_unreachable_rabbitmq_is_given_up_with_its_address(world: World) -> None:
    port = free_port()
    world.describe("svc", world.queue("in"), rabbitmq={"port": port})
    with pytest.raises(BrokerUnavailableError, match=rf"127\.0\.0\.1, port {port}.*refused"):
        # Long enough for the refusal to have come on the I/O thread.
        service(world, **ONE_TRY | {"startup_timeout": 5.0}).start()


def test_a_broker_that_never_answers_is_given_up_in_good_order(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        world.describe("svc", world.queue("in"), rabbitmq={"port": silent.getsockname()[1]})
        with pytest.raises(BrokerUnavailableError):
            service(world, **ONE_TRY).start()
    assert "the I/O thread has died" not in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "svc-io"]


def test_a_wrong_postgresql_password_is_said_at_once(world: World) -> None:
    world.describe("svc", world.queue("in"), db={"pass": "world/mq"})
    with pytest.raises(DatabaseError) as it:
        service(world).start()
    assert not isinstance(it.value, DatabaseUnavailableError)
    assert world.rabbitmq.password not in str(it.value)
    assert "\n" not in str(it.value)


def test_an_unreachable_postgresql_is_given_up_with_its_address(world: World) -> None:
    port = free_port()
    world.describe("svc", world.queue("in"), db={"port": port})
    with pytest.raises(DatabaseUnavailableError, match=str(port)):
        service(world, **ONE_TRY).start()


def test_a_missing_secret_is_named(world: World) -> None:
    world.describe("svc", world.queue("in"), rabbitmq={"pass": "world/no such entry"})
    with pytest.raises(SecretError, match="world/no such entry"):
        service(world).start()


def test_a_service_that_the_configuration_does_not_know_is_named(world: World) -> None:
    with pytest.raises(ConfigurationError, match="svc"):
        service(world).start()
