"""A user who may not make the queues beside the inbound one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from servers.ports import wait_for
from servers.world import World, running

from slingshot_microservice import Microservice
from slingshot_microservice.errors import BrokerError


def fail_once(seen: list[int]) -> Any:
    def process(request: int, *_: object) -> Any:
        seen.append(request)
        if seen.count(request) == 1:
            raise LookupError("not yet")
        yield request, True

    return process


@pytest.fixture
def limited(world: World) -> Iterator[tuple[str, str]]:
    """An inbound and an outbound queue, and a user who may make these and no others."""
    inbound, outbound = world.queue("in"), world.queue("out")
    user = f"user-of-{inbound}"
    world.rabbitmq.control("add_user", user, world.rabbitmq.password)
    world.rabbitmq.control("set_permissions", user, f"^({inbound}|{outbound})$", ".*", ".*")
    world.describe("svc", inbound, [(True, [outbound])], rabbitmq={"username": user})
    yield inbound, outbound
    world.rabbitmq.control("delete_user", user)


def test_is_told_at_the_start_what_is_missing(world: World, limited: tuple[str, str]) -> None:
    inbound, _ = limited
    with pytest.raises(BrokerError) as caught:
        Microservice("svc", world.sys_map.url, fail_once([])).start()
    message = str(caught.value)
    assert "\n" not in message
    for queue in (f"{inbound}.dead", f"{inbound}.retry.1000"):
        assert repr(queue) in message
    assert "option parking" in message
    assert "ACCESS_REFUSED" in message


def test_can_do_without(world: World, limited: tuple[str, str]) -> None:
    inbound, outbound = limited
    seen: list[int] = []
    service = Microservice(
        "svc", world.sys_map.url, fail_once(seen), parking=False, retry_pause=0.05
    )
    with running(service):
        wait_for(lambda: world.rabbitmq.exists(inbound), 30, "the service")
        world.rabbitmq.publish(inbound, [b"7", b"no id", b"8"])
        assert sorted(world.rabbitmq.drain(outbound, 2)) == [b"7", b"8"]
    assert sorted(seen) == [7, 7, 8, 8]
    assert world.rabbitmq.drain(inbound, 1) == [b"no id"], "given back, for whoever can read it"
    assert not world.rabbitmq.exists(f"{inbound}.dead")
