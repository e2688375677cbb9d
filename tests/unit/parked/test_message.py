from __future__ import annotations

import pytest

from slingshot_microservice.broker.properties import Properties, make_properties
from slingshot_microservice.parked.message import (
    ParkedMessage,
    original_properties,
    uncounted_properties,
)


def _message(body: bytes = b"1", **headers: object) -> ParkedMessage:
    named = {f"slingshot-{name.replace('_', '-')}": value for name, value in headers.items()}
    return ParkedMessage(1, 1, body, make_properties(headers=named, delivery_mode=2))


@pytest.mark.parametrize(
    ("body", "id"),
    [(b"7", 7), (b" +007\n", 7), (b"18446744073709551615", 2**64 - 1), (b"", None), (b"1_0", None)],
)
def test_the_id_is_what_a_service_would_read(body: bytes, id: int | None) -> None:
    assert _message(body).id == id


@pytest.mark.parametrize(
    ("header", "reason"),
    [("failed", "failed"), ("worker-died", "worker-died"), ("new", "unknown"), (5, "unknown")],
)
def test_a_reason_that_is_not_known_has_a_word_of_its_own(header: object, reason: str) -> None:
    assert _message(reason=header).reason == reason


def test_a_message_without_headers() -> None:
    message = ParkedMessage(1, 1, b"1", Properties())  # type: ignore[no-untyped-call]
    assert (message.reason, message.text("error"), message.number("attempts")) == (
        "unknown",
        "",
        None,
    )
    assert message.looks == 0


def test_bytes_that_are_no_text_can_be_read() -> None:
    assert _message(error=b"a\xff").text("error") == "a\\xff"


def test_what_was_noted_is_taken_off_and_the_parked_message_stays_as_it_is() -> None:
    headers: dict[str, object] = {
        "theirs": 1,
        "slingshot-attempts": 5,
        "slingshot-of-the-future": 5,
        "x-death": [],
        "x-first-death-reason": "expired",
        "x-last-death-reason": "expired",
        "x-delivery-count": 3,
        "CC": ["q"],
        "BCC": ["q"],
        "x-theirs": 2,
    }
    parked = make_properties(headers=dict(headers), delivery_mode=1)
    parked.user_id = "somebody"
    parked.correlation_id = "c"

    original = original_properties(parked)

    assert original.headers == {"theirs": 1, "x-theirs": 2}
    assert (original.user_id, original.delivery_mode, original.correlation_id) == (None, 2, "c")
    assert (parked.headers, parked.user_id, parked.delivery_mode) == (headers, "somebody", 1)


def test_a_copy_that_stays_parked_keeps_its_reason() -> None:
    parked = make_properties(
        headers={"x-delivery-count": 7, "slingshot-reason": "failed"}, delivery_mode=2
    )
    assert uncounted_properties(parked).headers == {"slingshot-reason": "failed"}
