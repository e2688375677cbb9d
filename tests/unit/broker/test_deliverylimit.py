"""What RabbitMQ says of a queue, and the limit that follows from it."""

from __future__ import annotations

import pytest

from slingshot_microservice.broker.deliverylimit import delivery_limit

PRECONDITION = "PRECONDITION_FAILED - inequivalent arg '{}' for queue 'in' in vhost '/': {}"


@pytest.mark.parametrize(
    ("version", "limit"),
    [
        ("3.10.8", None),
        ("3.13.7", None),
        ("4.0.0", 20),
        ("4.2.1-rc.1", 20),
        ("10.0", 20),
        ("", None),
    ],
)
def test_a_quorum_queue_without_a_limit_has_the_brokers(version: str, limit: int | None) -> None:
    assert delivery_limit(version, None) == limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("received none but current is the value '7' of type 'signedint'", 7),
        ("received none but current is the value '-1' of type 'signedint'", -1),
        ("received '1' but current is '7'", 7),
        ("received the value '1' of type 'signedint' but current is none", None),
    ],
)
def test_a_queue_may_have_its_own(text: str, limit: int | None) -> None:
    assert delivery_limit("4.0.0", PRECONDITION.format("x-delivery-limit", text)) == limit


@pytest.mark.parametrize("argument", ["x-queue-type", "x-max-length", "durable"])
def test_of_another_queue_nothing_is_said(argument: str) -> None:
    text = "received none but current is the value '10' of type 'signedint'"
    assert delivery_limit("4.0.0", PRECONDITION.format(argument, text)) is None


def test_another_refusal_says_nothing() -> None:
    assert delivery_limit("4.0.0", "ACCESS_REFUSED - access to queue 'in' refused") is None
