"""One tree of errors, as its module draws it."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from slingshot_microservice import Reject, Retry, errors
from slingshot_microservice.errors import UsageError


def drawn() -> dict[str, str]:
    """Return the parent of every error, by name, as the docstring's trees have it."""
    parents: dict[str, str] = {}
    above: list[str] = []
    lines = r"^( {4}[ │├└─]*)(\w*(?:Error|Exception|Reject|Retry))\b"
    for prefix, name in re.findall(lines, errors.__doc__ or "", re.MULTILINE):
        depth = len(prefix) // 4 - 1  # the trees are indented
        above[depth:] = [name]
        parents[name] = above[depth - 1] if depth else "Exception"
    del parents["Exception"]
    return parents


def test_the_tree_is_as_it_is_drawn() -> None:
    real = {name: getattr(errors, name).__base__.__name__ for name in errors.__all__}
    assert drawn() == real


OURS = [name for name in errors.__all__ if issubclass(getattr(errors, name), errors.SlingshotError)]


@pytest.mark.parametrize("name", OURS)
def test_each_of_ours_has_an_exit_code_of_the_table(name: str) -> None:
    assert getattr(errors, name).exit_code in {1, 2, 3, 4, 5}


def test_reject_and_retry_are_for_users_and_no_mistakes_of_ours() -> None:
    assert (Reject, Retry) == (errors.Reject, errors.Retry)
    assert set(errors.__all__) - set(OURS) == {"Reject", "Retry"}
    assert str(Reject("gone")) == "gone"
    assert str(Retry()) == ""
    assert Retry("later").after is None


@pytest.mark.parametrize("after", [0, 2, 0.5, 10**9])
def test_retry_takes_seconds(after: float) -> None:
    assert Retry("later", after=after).after == after


@pytest.mark.parametrize(
    "after", [-1, -0.001, math.inf, math.nan, True, "5", b"5", [], 10**400], ids=repr
)
def test_retry_refuses_what_is_no_number_of_seconds(after: Any) -> None:
    with pytest.raises(UsageError, match=r"^Retry\(after=.*\): expected a finite number of sec"):
        Retry("later", after=after)
