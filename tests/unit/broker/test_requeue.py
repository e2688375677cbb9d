"""Pauses after failures grow, and are forgotten when things go well."""

from __future__ import annotations

import pytest

from slingshot_microservice.broker import requeue
from slingshot_microservice.broker.requeue import RequeuePauses

FIRST, LIMIT = 1.0, 10.0


@pytest.fixture
def pauses() -> RequeuePauses:
    return RequeuePauses(FIRST, LIMIT)


def drawn_from(seen: list[float], *bounds: float) -> bool:
    """Tell whether each pause is of the upper half of its bound."""
    return all(bound / 2 <= pause <= bound for pause, bound in zip(seen, bounds, strict=True))


def test_grow_with_the_failures_of_a_request(pauses: RequeuePauses) -> None:
    seen: list[float] = []
    for _ in range(6):
        seen.append(pauses.failed(7))
        pauses.relax()  # so that it is not the failures in a row that grow
    assert drawn_from(seen, 1, 2, 4, 8, 10, 10)


def test_grow_with_failures_in_a_row(pauses: RequeuePauses) -> None:
    assert drawn_from([pauses.failed(request) for request in range(6)], 1, 2, 4, 8, 10, 10)


def test_a_success_ends_the_row(pauses: RequeuePauses) -> None:
    for request in range(6):
        pauses.failed(request)
    pauses.relax()
    assert drawn_from([pauses.failed(200)], 1)


def test_a_request_that_failed_often_waits_long_among_others(pauses: RequeuePauses) -> None:
    for _ in range(3):
        pauses.failed(7)
        pauses.relax()
    assert drawn_from([pauses.failed(9)], 1)
    assert drawn_from([pauses.failed(7)], 8)


def test_remembers_a_bounded_number_of_requests(
    pauses: RequeuePauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "_REMEMBERED", 3)
    for request in (1, 1, 2, 3, 4):
        pauses.failed(request)
        pauses.relax()
    assert drawn_from([pauses.failed(4)], 2), "among the last three"
    pauses.relax()
    assert drawn_from([pauses.failed(1)], 1), "the longest forgotten"
    assert len(pauses._by_request) == 3
