"""What people hear of outputs that go nowhere or cannot be sent."""

from __future__ import annotations

from typing import Any

import pytest

from slingshot_microservice.errors import OutputError
from slingshot_microservice.runtime.request import Routes


@pytest.fixture
def routes() -> Routes:
    return Routes([(True, [0])])


def test_an_unlisted_case_is_warned_of_once_and_counted(
    routes: Routes, caplog: pytest.LogCaptureFixture
) -> None:
    for request in range(3):
        assert routes.plan([(request, "spam"), (request, "spam"), (request, True)]) == [
            (0, request)
        ]
    assert routes.unlisted[str, "spam"] == 6
    assert caplog.messages == [
        "case 'spam' (str) is not in the configuration: outputs of it are not sent anywhere"
    ]


def test_unlisted_cases_of_different_types_are_counted_apart(
    routes: Routes, caplog: pytest.LogCaptureFixture
) -> None:
    routes.plan([(1, 1), (2, "1"), (3, False), (4, 0), (5, 1)])
    assert routes.unlisted == {(int, 1): 2, (str, "1"): 1, (bool, False): 1, (int, 0): 1}
    assert [message.partition(" is")[0] for message in caplog.messages] == [
        "case 1 (int)",
        "case '1' (str)",
        "case False (bool)",
        "case 0 (int)",
    ]


def test_an_output_that_cannot_be_sent_is_an_error_of_ours(routes: Routes) -> None:
    with pytest.raises(OutputError, match=r"output \(7, 1\.5\): case 1\.5 is of type float"):
        routes.plan([(7, 1.5)])  # type: ignore[list-item]  # what the user did


def test_a_generator_is_closed_where_it_was_left(routes: Routes) -> None:
    closed = []

    def process() -> Any:
        try:
            yield 1, True
            yield "no pair"
            yield 2, True
        finally:
            closed.append(True)

    outputs = process()  # held, so that it is not closed by being forgotten
    with pytest.raises(OutputError):
        routes.plan(outputs)
    assert closed == [True]


def test_what_a_generator_raises_is_not_wrapped(routes: Routes) -> None:
    def process() -> Any:
        yield 1, True
        raise LookupError("midway")

    with pytest.raises(LookupError, match="midway"):
        routes.plan(process())
