"""A value of the configuration together with where it stands, so that an error can name both.

An error names the source, the field, what was there and what was expected. The `Source` makes
it: the configuration service has URLs, a sys-map file has lines.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..errors import ConfigurationError

__all__ = ["FieldPath", "Place", "Source", "field_name", "shorten"]

_FOUND_LIMIT = 60  # characters of a wrong value that an error shows

FieldPath: TypeAlias = tuple[str | int, ...]
"""How a value is reached from the top: keys, and indices counted from 0."""


class Source(Protocol):
    """Where values come from."""

    @property
    def strict(self) -> bool:
        """Whether a field that we do not know is an error: yes when a person typed it."""
        ...

    @property
    def mapping_noun(self) -> str:
        """What an object is called there, with its article."""
        ...

    def where(self, path: FieldPath) -> str:
        """Return the source and, where there are lines, the line of ``path`` or its parent."""
        ...

    def error(
        self, path: FieldPath, problem: str, *, expected: str = "", found: str = ""
    ) -> ConfigurationError:
        """Return an error that says where ``path`` is, and then the problem."""
        ...


@dataclass(frozen=True)
class Place:
    """A value that has not been checked, and where it stands.

    Attributes:
        source: Where it comes from; makes the errors.
        value: What was read.
        path: How it is reached from the top.
    """

    source: Source
    value: object
    path: FieldPath = ()

    def error(self, expected: str) -> ConfigurationError:
        """Return the error for a value that is not what was expected."""
        found = shorten(self.value)
        problem = f"{field_name(self.path) or 'the answer'} is {found}; expected {expected}"
        return self.source.error(self.path, problem, expected=expected, found=found)

    def missing(self, name: str, expected: str) -> ConfigurationError:
        """Return the error for a field of this object that is not there."""
        path = (*self.path, name)
        problem = f"{field_name(path)} is missing; expected {expected}"
        return self.source.error(path, problem, expected=expected)

    def mapping(self, *known: str) -> dict[str, object]:
        """Return this object's fields; in a strict source, only ``known`` ones may be there."""
        if not isinstance(self.value, dict):
            raise self.error(self.source.mapping_noun)
        if known and self.source.strict:
            for name in self.value:
                if name not in known:
                    raise self._unknown(name, known)
        return self.value

    def field(self, name: str, expected: str) -> Place:
        """Return the field ``name`` of this object, which must be there."""
        fields = self.mapping()
        if name not in fields:
            raise self.missing(name, expected)
        return Place(self.source, fields[name], (*self.path, name))

    def items(self, expected: str) -> list[Place]:
        """Return the elements of this list."""
        if not isinstance(self.value, list):
            raise self.error(expected)
        return [Place(self.source, item, (*self.path, i)) for i, item in enumerate(self.value)]

    def single(self, expected: str) -> Place:
        """Return the value itself, or the only element of a list (the contract allows both)."""
        if not isinstance(self.value, list):
            return self
        if len(self.value) != 1:
            raise self.error(f"{expected}, or a list of exactly one")
        return Place(self.source, self.value[0], self.path)

    def text(self, expected: str) -> str:
        """Return this string, which may not be empty."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.error(expected)
        return self.value

    def _unknown(self, name: str, known: Iterable[str]) -> ConfigurationError:
        within = f" in {field_name(self.path)}" if self.path else ""
        problem = f"there is no field {shorten(name)}{within}{_nearest(name, known)}"
        return self.source.error((*self.path, name), problem)


def shorten(value: object) -> str:
    """Return ``value`` as JSON writes it, on one line and cut to a length for messages."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > _FOUND_LIMIT:
        text = text[: _FOUND_LIMIT - 1] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def field_name(path: FieldPath) -> str:
    """Return a path as people write it, such as ``out[1].case``."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            bare = re.fullmatch(r"[\w:-]+", part)
            name += ("." if name else "") + (part if bare else shorten(part))
    return name


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message that says what was probably meant."""
    names = list(known)
    matches = difflib.get_close_matches(name, names, n=1)
    if matches:
        return f"; did you mean {shorten(matches[0])}?"
    return f"; there are {', '.join(names)}" if names else ""
