"""A service says at its start what its queue would throw away."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from servers.ports import wait_for
from servers.world import World, running

from slingshot_microservice import Microservice
from slingshot_microservice.broker import deliverylimit


@pytest.fixture(autouse=True)
def _limits_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker at hand is older than the limit; what it answers is the same."""
    monkeypatch.setattr(deliverylimit, "_DEFAULT_SINCE", (3, 0))


def pass_on(request: int, *_: object) -> Any:
    yield request, True


def warnings_in(log: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in log.messages if "set_policy" in message]


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ({"x-queue-type": "quorum"}, 20),
        ({"x-queue-type": "quorum", "x-delivery-limit": 7}, 7),
        ({"x-queue-type": "quorum", "x-delivery-limit": 1_000}, None),
        ({}, None),
    ],
)
def test_a_limit_is_warned_of_with_what_mends_it(
    world: World,
    caplog: pytest.LogCaptureFixture,
    arguments: dict[str, Any],
    limit: int | None,
) -> None:
    inbound, outbound = world.queue("in"), world.queue("out")
    world.describe("svc", inbound, [(True, [outbound])])
    world.rabbitmq.declare(inbound, arguments=arguments)
    world.rabbitmq.publish(inbound, [b"7"])
    with running(Microservice("svc", world.sys_map.url, pass_on)):
        assert world.rabbitmq.drain(outbound, 1) == [b"7"]
        if limit is not None:
            wait_for(lambda: warnings_in(caplog), what="the warning")
    warnings = warnings_in(caplog)
    if limit is None:
        assert not warnings
    else:
        (warning,) = warnings
        assert f"queue '{inbound}' drops a message that was given back {limit} times" in warning
        command = shlex.split(warning[warning.index("rabbitmqctl ") :])
        world.rabbitmq.control(*command[1:])
        world.rabbitmq.control("clear_policy", f"{inbound}-delivery-limit")
