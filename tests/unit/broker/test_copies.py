"""What a parked message says of itself, and what of its properties is kept."""

from __future__ import annotations

import logging
import socket
import struct
import time
from typing import Any

import frames
import pytest
from frames import spec

from slingshot_microservice import __version__
from slingshot_microservice.broker.copies import headers_of, parked_properties, retry_properties
from slingshot_microservice.broker.protocol import Failure, dead_queue_name, retry_queue_name
from slingshot_microservice.broker.retries import History, Parked
from slingshot_microservice.hotpath import RawDelivery

FAILURE = Failure("malformed-id", "MalformedIdError", "b'no id' is no id")


def raw_of(properties: Any = None, encoded: bytes | None = None) -> RawDelivery:
    """Return a message as it comes in."""
    if encoded is None:
        encoded = frames.header(5, properties)[7 + 12 : -1]
    return RawDelivery(1, False, encoded, b"no id")


def parked(
    properties: Any = None,
    encoded: bytes | None = None,
    history: History = History(),  # noqa: B008  # frozen
    failure: Failure = FAILURE,
) -> Any:
    """Return the properties that a message with ``properties`` is parked with."""
    raw = raw_of(properties, encoded)
    return parked_properties(raw, Parked(history, failure.reason), failure, service="shout")


def on_the_wire(properties: Any) -> Any:
    """Send properties and read them back, as RabbitMQ would."""
    (header,) = frames.decode(frames.header(5, properties))
    return header.properties


def test_says_who_parked_it_when_and_why() -> None:
    before = int(time.time())
    headers = on_the_wire(parked()).headers
    assert before <= headers.pop("slingshot-last-time") <= time.time()
    assert headers == {
        "slingshot-reason": "malformed-id",
        "slingshot-error-type": "MalformedIdError",
        "slingshot-error": "b'no id' is no id",
        "slingshot-service": "shout",
        "slingshot-host": socket.gethostname(),
        "slingshot-version": __version__,
    }


def test_says_what_was_tried() -> None:
    failure = Failure("failed", "ValueError", "no", traceback="File …, line 1\nValueError: no\n")
    headers = on_the_wire(parked(history=History(5, 1_000, 2_000), failure=failure)).headers
    assert headers["slingshot-attempts"] == 5
    assert headers["slingshot-first-time"] == 1_000
    assert headers["slingshot-last-time"] == 2_000
    assert headers["slingshot-traceback"] == failure.traceback


def test_long_texts_are_cut_so_that_they_fit_a_frame() -> None:
    failure = Failure("failed", "E" * 9_000, "é" * 9_000, traceback="…" * 90_000 + "the end")
    properties = on_the_wire(parked(failure=failure))
    assert len(properties.headers["slingshot-error"]) == 2_000
    assert properties.headers["slingshot-traceback"].endswith("the end")
    assert "slingshot-properties" not in properties.headers


def test_a_copy_for_another_try_says_what_happened_to_it() -> None:
    history = History(2, 1_000, 2_000)
    raw = raw_of(spec.BasicProperties(headers={"theirs": 1}, expiration="5"))
    copy = on_the_wire(retry_properties(raw, history))
    assert copy.headers == {
        "theirs": 1,
        "slingshot-attempts": 2,
        "slingshot-first-time": 1_000,
        "slingshot-last-time": 2_000,
    }
    assert copy.expiration is None
    assert History.of(copy.headers) == history


def test_a_copy_may_wait_for_less_than_its_queue() -> None:
    copy = on_the_wire(retry_properties(raw_of(), History(1, 1, 1), 0.8513))
    assert copy.expiration == "851"
    assert on_the_wire(retry_properties(raw_of(), History(1, 1, 1), 0.0)).expiration == "1"


def test_what_was_said_of_the_message_before_is_not_said_of_its_copy() -> None:
    """RabbitMQ would take a message that has been in a queue before for one in a circle."""
    before = {
        "x-death": [{"queue": "in", "reason": "expired"}],
        "x-first-death-queue": "in",
        "x-last-death-reason": "expired",
        "x-delivery-count": 7,
        "slingshot-attempts": 9,
        "slingshot-deaths": 2,
        "slingshot-user-id": "someone",
        "x-theirs": "kept",
    }
    copy = on_the_wire(retry_properties(raw_of(spec.BasicProperties(headers=before)), History()))
    assert copy.headers == {"slingshot-user-id": "someone", "x-theirs": "kept"}


def test_headers_that_cannot_be_read_are_none(caplog: pytest.LogCaptureFixture) -> None:
    assert headers_of(raw_of(encoded=b"\x20\x00\x00\x00\x00\xff\x01")) == {}
    assert "cannot be read" in caplog.text


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
    assert retry_queue_name("shout-inbound", 5_000) == "shout-inbound.retry.5000"
