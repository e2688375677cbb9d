"""Both implementations of the hot path, side by side."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

__all__ = ["TWINS", "both", "compiled", "fallback", "observe", "show"]

# Typed by nobody: one of them is no Python, and the tests hand them what types would not let pass.
fallback: Any = importlib.import_module("slingshot_microservice.hotpath._fallback")
compiled: Any = importlib.import_module("slingshot_microservice.hotpath._compiled")

TWINS = (fallback, compiled)


def show(value: object) -> object:
    """Return ``value`` with the types of all that is in it, so that True differs from 1."""
    if isinstance(value, (tuple, list)):
        return type(value), [show(item) for item in value]
    if isinstance(value, frozenset):
        return type(value), sorted(map(repr, value))
    return type(value), value


def observe(action: Callable[..., object], *arguments: object) -> object:
    """Return what ``action`` gives, types and all, or which error it ends in."""
    try:
        return show(action(*arguments))
    except Exception as error:  # noqa: BLE001  # whatever it is, the twin must have the same
        return "raised", type(error), str(error)


def both(action: Callable[..., object], *arguments: object) -> object:
    """Do the same with each twin, see that the same comes of it, and return that.

    Args:
        action: Takes the module of a twin, and the arguments.
        arguments: Must be such that both can use them, one after the other.
    """
    expected = observe(action, fallback, *arguments)
    assert observe(action, compiled, *arguments) == expected
    return expected
