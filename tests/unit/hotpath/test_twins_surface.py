"""Both implementations have the same names, signatures and docstrings, and own up to the same."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from twins import TWINS, compiled, fallback

CLASSES = [name for name in fallback.__all__ if inspect.isclass(getattr(fallback, name))]
ARGUMENTS: dict[str, dict[str, object]] = {
    "FrameReader": {"channel": 1},
    "FrameWriter": {"channel": 1, "queues": ["q"]},
    "Inbox": {"is_settled": lambda _epoch, _delivery: False},
    "Ledger": {},
    "RoutingTable": {"routes": [(True, [0])]},
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def members() -> Iterator[str]:
    """Name every class, function, method and property that callers may use."""
    for name in fallback.__all__:
        yield name
        if name in CLASSES:
            yield from (f"{name}.{member}" for member in sorted(public(getattr(fallback, name))))


MEMBERS = list(members())


def find(twin: object, path: str) -> object:
    for name in path.split("."):
        twin = getattr(twin, name)
    return twin


def parameters(routine: object) -> list[tuple[str, object]]:
    """Return names and defaults. That C knows no ``self`` by name makes no difference to a call."""
    assert callable(routine)
    found = inspect.signature(routine).parameters.values()
    return [(one.name, one.default) for one in found if one.name != "self"]


def test_the_same_names() -> None:
    assert sorted(fallback.__all__) == sorted(compiled.__all__) == sorted([*CLASSES, "decode_id"])
    assert set(CLASSES) == set(ARGUMENTS)


@pytest.mark.parametrize("name", CLASSES)
def test_the_same_members(name: str) -> None:
    assert public(getattr(fallback, name)) == public(getattr(compiled, name))


@pytest.mark.parametrize("path", MEMBERS)
def test_the_same_docstrings(path: str) -> None:
    text = inspect.getdoc(find(fallback, path))
    assert text
    assert inspect.getdoc(find(compiled, path)) == text


@pytest.mark.parametrize("path", MEMBERS)
def test_the_same_signatures(path: str) -> None:
    ours, theirs = find(fallback, path), find(compiled, path)
    if inspect.isclass(ours):
        for twin in TWINS:
            find(twin, path)(**ARGUMENTS[path])  # type: ignore[operator]
    elif isinstance(ours, property):
        assert inspect.isdatadescriptor(theirs)
    else:
        assert parameters(theirs) == parameters(ours)


@pytest.mark.parametrize("path", MEMBERS)
def test_the_same_complaint_about_too_many_arguments(path: str) -> None:
    for twin in TWINS:
        found = find(twin, path)
        if callable(found):
            with pytest.raises(TypeError):
                found(*range(9))


@pytest.mark.parametrize("name", CLASSES)
def test_nothing_can_be_added_to_an_object(name: str) -> None:
    for twin in TWINS:
        with pytest.raises(AttributeError):
            getattr(twin, name)(**ARGUMENTS[name]).new = 1
