"""How parked messages are shown. What is in them is never trusted to a terminal as it is."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..parked.message import ParkedMessage

__all__ = ["JsonLines", "Rows", "body_in_short", "printable", "progress", "show"]

_BODY_CHARACTERS = 24  # what an id has at most, and a little
_ERROR_CHARACTERS = 120
_ERROR_CHARACTERS_MIN = 20
_SERVICE_CHARACTERS = 40
_HEX_WIDTH = 16  # bytes a line
_HEX_BYTES = 1024
_MANY = 200  # messages, from which on a progress bar is worth its flicker
_HEADER = ("", "id or body", "reason", "runs", "first", "last", "service", "error")
_ROW = "{:>6}  {:<24}  {:<12}  {:>4}  {:<20}  {:<20}  {:<12}  {}"
_SHOWN_HEADERS = {
    f"slingshot-{name}"
    for name in (
        *("reason", "error-type", "error", "traceback", "attempts", "deaths"),
        *("first-time", "last-time", "service", "host", "version"),
    )
}


def printable(text: str) -> str:
    """Return ``text`` in one line, with escapes in the place of what is no visible character."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def body_in_short(message: ParkedMessage) -> str:
    """Return the id, or the beginning of a body that is none as Python writes bytes."""
    if message.id is not None:
        return str(message.id)
    return _shorten(repr(message.body[:_BODY_CHARACTERS]), _BODY_CHARACTERS)


class Rows:
    """Prints a table whose columns are as wide as is usual, so that no row has to wait."""

    def __init__(self) -> None:
        self._empty = True
        self._error_characters = _ERROR_CHARACTERS
        if sys.stdout.isatty():
            left = shutil.get_terminal_size().columns - len(_ROW.format(*_HEADER[:-1], ""))
            self._error_characters = max(_ERROR_CHARACTERS_MIN, left)

    def add(self, message: ParkedMessage) -> None:
        """Print a row."""
        if self._empty:
            self._empty = False
            self._write(*_HEADER)
        error = ": ".join(filter(None, (message.text("error-type"), message.text("error"))))
        self._write(
            f"@{message.position}",
            body_in_short(message),
            message.reason,
            _count(message.number("attempts")),
            _time(message.number("first-time")),
            _time(message.number("last-time")),
            _shorten(printable(message.text("service")), _SERVICE_CHARACTERS),
            _shorten(printable(error), self._error_characters),
        )

    def flush(self) -> None:
        """Let go of what was printed."""
        sys.stdout.flush()

    def _write(self, *cells: str) -> None:
        sys.stdout.write(f"{_ROW.format(*cells).rstrip()}\n")


class JsonLines:
    """Prints an object a line."""

    def add(self, message: ParkedMessage) -> None:
        """Print a line."""
        sys.stdout.write(f"{json.dumps(_fields(message))}\n")

    def flush(self) -> None:
        """Let go of what was printed."""
        sys.stdout.flush()


def show(message: ParkedMessage, queue: str) -> None:
    """Print all that is known of a message."""
    lines = [f"@{message.position} of {queue}"]
    fields = {k.replace("_", " "): v for k, v in _fields(message).items()}
    for name in ("position", "body", "traceback"):
        del fields[name]
    lines += [f"  {name:<12}{_value(value)}" for name, value in fields.items()]
    lines += _own_properties(message)
    lines += _body(message.body)
    lines += _traceback(message.text("traceback"))
    sys.stdout.write("\n".join(lines) + "\n")


@contextmanager
def progress(verb: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal, if there is much to do; yields what moves it by one."""
    console = Console(stderr=True)
    if total < _MANY or not console.is_terminal:
        yield lambda: None
        return
    columns = TextColumn(verb), BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda: bar.advance(task)


def _fields(message: ParkedMessage) -> dict[str, object]:
    attempts, deaths = message.number("attempts"), message.number("deaths")
    return {
        "position": message.position,
        # A string, because many a reader of JSON would round it.
        "id": None if message.id is None else str(message.id),
        "body": base64.b64encode(message.body).decode("ascii"),
        "reason": message.reason,
        "error_type": message.text("error-type"),
        "error": message.text("error"),
        "traceback": message.text("traceback"),
        "attempts": None if attempts is None else int(attempts),
        "deaths": None if deaths is None else int(deaths),
        "first_time": _iso(message.number("first-time")),
        "last_time": _iso(message.number("last-time")),
        "service": message.text("service"),
        "host": message.text("host"),
        "version": message.text("version"),
    }


def _own_properties(message: ParkedMessage) -> list[str]:
    """Describe what the sender has put there."""
    properties = {k: v for k, v in vars(message.properties).items() if v is not None}
    properties.pop("headers", None)
    lines = [f"  {_property(name, value)}" for name, value in properties.items()]
    own = {k: v for k, v in message.headers.items() if k not in _SHOWN_HEADERS}
    return lines + [f"  header {_property(name, value)}" for name, value in own.items()]


def _property(name: str, value: object) -> str:
    return f"{printable(name)} = {printable(str(value))}"


def _body(body: bytes) -> list[str]:
    lines = [f"  body, {len(body):,} bytes:"]
    for offset in range(0, min(len(body), _HEX_BYTES), _HEX_WIDTH):
        part = body[offset : offset + _HEX_WIDTH]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"    {offset:08x}  {part.hex(' '):<{3 * _HEX_WIDTH}} {text}")
    if len(body) > _HEX_BYTES:
        lines.append(f"    … and {len(body) - _HEX_BYTES:,} more; `dead list --json` has all")
    return lines


def _traceback(text: str) -> list[str]:
    if not text:
        return []
    return ["  traceback:", *(f"    {printable(line)}" for line in text.splitlines())]


def _value(value: object) -> str:
    return "-" if value in (None, "") else printable(str(value))


def _count(number: float | None) -> str:
    return "-" if number is None else str(int(number))


def _time(seconds: float | None) -> str:
    return _iso(seconds) or "-"


def _iso(seconds: float | None) -> str | None:
    """Return a time in UTC; ``None`` if it is none."""
    try:
        when = datetime.fromtimestamp(seconds or 0, timezone.utc)
    except (OSError, OverflowError, ValueError):
        return None
    return None if seconds is None else when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
