"""One tree of errors, as its module draws it."""

from __future__ import annotations

import re

import pytest

from slingshot_microservice import errors


def drawn() -> dict[str, str]:
    """Return the parent of every error, by name, as the docstring's tree has it."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for prefix, name in re.findall(r"^([ │├└─]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(prefix) // 4 - 1  # the tree is indented
        above[depth:] = [name]
        parents[name] = above[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_is_as_it_is_drawn() -> None:
    real = {name: getattr(errors, name).__base__.__name__ for name in errors.__all__}
    assert drawn() == real


@pytest.mark.parametrize("name", errors.__all__)
def test_each_has_an_exit_code_of_the_table(name: str) -> None:
    assert getattr(errors, name).exit_code in {1, 2, 3, 4, 5}
