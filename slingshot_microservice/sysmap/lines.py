"""TOML with the lines on which its keys stand, which `tomllib` does not tell.

The scanner runs after `tomllib` found the text to be valid: it only has to find its way.
"""

from __future__ import annotations

import re
import sys

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from .place import FieldPath

__all__ = ["TOMLSyntaxError", "read_toml"]

_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_KEY = re.compile(r"""[\w-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_SCALAR = re.compile(r"[^,\]}#\n]*")


class TOMLSyntaxError(ValueError):
    """A text is no TOML.

    Attributes:
        line: The line at fault, counted from 1.
    """

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


def read_toml(text: str) -> tuple[dict[str, object], dict[FieldPath, int]]:
    """Read a TOML text.

    Args:
        text: Its lines may end in CR LF.

    Returns:
        The values; and by path the line, counted from 1, on which each key or element begins
        (the line of its header for a table that has one, 1 for the whole, which is ``()``).

    Raises:
        TOMLSyntaxError: The text is no TOML.
    """
    text = text.replace("\r\n", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text) from None
    scanner = _Scanner(text)
    scanner.scan()
    return values, scanner.lines


def _syntax_error(message: str, text: str) -> TOMLSyntaxError:
    """Take the position out of tomllib's message, of which it is the last part."""
    problem, _, position = message.rpartition(" (at ")
    line = re.match(r"line (\d+)", position)
    at_end = text.rstrip("\n").count("\n") + 1
    return TOMLSyntaxError(problem or message, int(line[1]) if line else at_end)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[FieldPath, int] = {(): 1}
        self._text = text
        self._position = 0
        self._counts: dict[FieldPath, int] = {}

    def scan(self) -> None:
        table: FieldPath = ()
        self._skip_blank()
        while self._position < len(self._text):
            if self._text[self._position] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip_blank()

    def _header(self) -> FieldPath:
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._position) else 1
        self._position += brackets
        keys = self._keys()
        self._skip_blank()
        self._position += brackets
        path: FieldPath = ()
        for key in keys[:-1]:
            path = self._newest((*path, key))
            self.lines.setdefault(path, line)
        path = (*path, keys[-1])
        if brackets == 2:
            self.lines.setdefault(path, line)
            self._counts[path] = self._counts.get(path, 0) + 1
            path = self._newest(path)
        self.lines[path] = line
        return path

    def _newest(self, path: FieldPath) -> FieldPath:
        """Lead on into the latest element where ``path`` is an array of tables."""
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: FieldPath) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._skip_blank()
        self._position += 1  # the equals sign
        self._value(path)

    def _keys(self) -> list[str]:
        self._skip_blank()
        keys = [self._key()]
        while dot := _DOT.match(self._text, self._position):
            self._position = dot.end()
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        raw = self._take(_KEY)
        if raw[0] not in "\"'":
            return raw
        return str(tomllib.loads(f"key = {raw}")["key"])

    def _value(self, path: FieldPath) -> None:
        self._skip_blank()
        first = self._text[self._position]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._take(_STRING if first in "\"'" else _SCALAR)

    def _array(self, path: FieldPath) -> None:
        index = 0
        while self._goes_on("]"):
            element = (*path, index)
            self.lines[element] = self._line()
            self._value(element)
            index += 1

    def _inline_table(self, path: FieldPath) -> None:
        while self._goes_on("}"):
            self._pair(path)

    def _goes_on(self, end: str) -> bool:
        """Step over a bracket or comma; tell whether an element follows before ``end``."""
        self._skip_blank()
        if self._text[self._position] in "[{,":
            self._position += 1
            self._skip_blank()
        if self._text[self._position] != end:
            return True
        self._position += 1
        return False

    def _skip_blank(self) -> None:
        self._take(_BLANK)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise AssertionError("the scanner lost its way in valid TOML")
        self._position = match.end()
        return match.group()

    def _line(self) -> int:
        return self._text.count("\n", 0, self._position) + 1
