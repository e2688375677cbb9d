"""What a parked message says of itself, and what of its properties is kept."""

from __future__ import annotations

import logging
import struct
import time
from typing import Any

import frames
import pytest
from frames import spec

from slingshot_microservice.broker.dead import dead_properties
from slingshot_microservice.broker.protocol import dead_queue_name
from slingshot_microservice.hotpath import RawDelivery


def parked(properties: Any = None, encoded: bytes | None = None) -> Any:
    """Return the properties that a message with ``properties`` is parked with."""
    if encoded is None:
        encoded = frames.header(5, properties)[7 + 12 : -1]
    raw = RawDelivery(1, False, encoded, b"no id")
    return dead_properties(raw, service="shout", reason="malformed-id", error="b'no id' is no id")


def on_the_wire(properties: Any) -> Any:
    """Send properties and read them back, as RabbitMQ would."""
    (header,) = frames.decode(frames.header(5, properties))
    return header.properties


def test_says_who_parked_it_when_and_why() -> None:
    before = int(time.time())
    headers = on_the_wire(parked()).headers
    assert before <= headers.pop("slingshot-time") <= time.time()
    assert headers == {
        "slingshot-reason": "malformed-id",
        "slingshot-error": "b'no id' is no id",
        "slingshot-service": "shout",
    }


def test_keeps_what_the_sender_said() -> None:
    sent = {
        "content_type": "text/plain",
        "content_encoding": "gzip",
        "priority": 3,
        "correlation_id": "c",
        "reply_to": "r",
        "message_id": "m",
        "timestamp": 1_700_000_000,
        "type": "t",
        "app_id": "a",
    }
    kept = on_the_wire(parked(spec.BasicProperties(headers={"theirs": [1, "x"]}, **sent)))
    assert {name: getattr(kept, name) for name in sent} == sent
    assert kept.headers["theirs"] == [1, "x"]


@pytest.mark.parametrize("mode", [None, 1, 2])
def test_is_always_persistent(mode: int | None) -> None:
    assert on_the_wire(parked(spec.BasicProperties(delivery_mode=mode))).delivery_mode == 2


def test_does_not_expire() -> None:
    assert on_the_wire(parked(spec.BasicProperties(expiration="1000"))).expiration is None


def test_is_not_copied_to_queues_that_the_sender_named() -> None:
    headers = {"CC": ["elsewhere"], "BCC": ["secretly"], "cc": "kept"}
    kept = on_the_wire(parked(spec.BasicProperties(headers=headers))).headers
    assert {"CC", "BCC"} & kept.keys() == set()
    assert kept["cc"] == "kept"


def test_a_user_id_that_rabbitmq_would_refuse_becomes_a_header() -> None:
    kept = on_the_wire(parked(spec.BasicProperties(user_id="someone")))
    assert kept.user_id is None
    assert kept.headers["slingshot-user-id"] == "someone"


@pytest.mark.parametrize("encoded", [b"", b"\x20", b"\x20\x00\x00\x00\x00\xff\x01", b"\xff\xff"])
def test_properties_that_cannot_be_read_do_not_keep_it_from_being_parked(
    encoded: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    headers = on_the_wire(parked(encoded=encoded)).headers
    assert headers["slingshot-reason"] == "malformed-id"
    assert headers["slingshot-properties"].startswith("dropped")
    ((_, level, text),) = caplog.record_tuples
    assert level == logging.WARNING
    assert "cannot be passed on" in text


def test_headers_that_are_too_long_to_send_are_dropped() -> None:
    """RabbitMQ passes on headers a little over its frame size, and would refuse them from us."""
    headers = on_the_wire(parked(spec.BasicProperties(headers={"long": "x" * 120_000}))).headers
    assert headers["slingshot-properties"].startswith("dropped")
    assert "long" not in headers


def test_headers_that_pika_reads_and_cannot_write_are_dropped() -> None:
    double = b"\x20\x00" + b"\x00\x00\x00\x0b" + b"\x01dd" + struct.pack(">d", 1e300)
    headers = on_the_wire(parked(encoded=double)).headers
    assert headers["slingshot-reason"] == "malformed-id"


def test_the_queue_of_the_dead_has_a_name_that_amqp_can_carry() -> None:
    assert dead_queue_name("shout-inbound") == "shout-inbound.dead"
    long = dead_queue_name("é" * 127)
    assert long.endswith("é.dead")
    assert len(long.encode()) <= 255
