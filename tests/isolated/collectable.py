"""Ties objects of an implementation into circles, lets go of them, and sees that they are freed.

usage: python collectable.py MODULE
"""

from __future__ import annotations

import gc
import importlib
import sys
import weakref
from collections.abc import Callable
from typing import Any

hot: Any = importlib.import_module(f"slingshot_microservice.hotpath.{sys.argv[1]}")


class Number(int):
    """A number that can point back at what holds it."""

    holder: object = None


class Watched:
    """What can be watched, in place of a number, which cannot."""


def hold_in_table(number: Number) -> object:
    return hot.RoutingTable([("a", [number])])


def hold_in_ledger(number: Number) -> object:
    ledger = hot.Ledger()
    ledger.returned((number, 5))
    return ledger


def hold_in_inbox(number: Number) -> object:
    inbox = hot.Inbox(bool)
    inbox.put([(1, number, False)])
    return inbox.seat()


def tie(hold: Callable[[Number], object]) -> weakref.ref[Watched]:
    number, watched = Number(5), Watched()
    number.holder = hold(number), watched
    return weakref.ref(watched)


def main() -> None:
    gc.disable()
    for hold in (hold_in_table, hold_in_ledger, hold_in_inbox):
        reference = tie(hold)
        assert reference() is not None, "this is no circle"
        gc.collect()
        assert reference() is None, f"{hold.__name__}: the circle is never freed"


if __name__ == "__main__":
    main()
