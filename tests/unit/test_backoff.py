"""Pauses that grow, with a chance in them."""

from __future__ import annotations

from itertools import islice

import pytest

from slingshot_microservice.backoff import pauses


@pytest.mark.parametrize(
    ("first", "limit", "bounds"),
    [
        (0.5, 30.0, [0.5, 1, 2, 4, 8, 16, 30, 30, 30]),
        (1.0, 1.0, [1, 1, 1]),
        (5.0, 2.0, [2, 2, 2]),  # a limit below the first pause holds from the beginning
    ],
)
def test_each_is_of_the_upper_half_of_a_bound_that_doubles(
    first: float, limit: float, bounds: list[float]
) -> None:
    for _ in range(100):
        for pause, bound in zip(pauses(first, limit), bounds, strict=False):
            assert bound / 2 <= pause <= bound


def test_no_two_that_start_together_go_on_together() -> None:
    seen = {tuple(islice(pauses(1, 30), 3)) for _ in range(50)}
    assert len(seen) > 40


def test_does_not_end() -> None:
    assert sum(1 for _ in islice(pauses(0.001, 1), 10_000)) == 10_000
