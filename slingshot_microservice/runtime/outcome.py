"""What becomes of an error that a run ended with: a failure for the broker, lines for the log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from contextlib import suppress

from ..broker.protocol import Failure
from ..errors import Reject, Retry, SlingshotError

__all__ = ["bounded", "failure_of", "log_excuse", "log_failure"]

_log = logging.getLogger(__name__)

_TEXT_BYTES = 4 * 1024
_TRACEBACK_BYTES = 16 * 1024
_GAP = "\n[...]\n"


def failure_of(error: BaseException) -> Failure:
    """Describe an error for the broker. Never raises, whatever the error's own methods do."""
    return Failure(
        reason="rejected" if isinstance(error, Reject) else "failed",
        error_type=_attempt("type", lambda: _type_of(error)),
        error=_text_of(error),
        traceback=_attempt("traceback", lambda: _traceback_of(error)),
        after=error.after if isinstance(error, Retry) else None,
    )


def log_failure(request: int, error: BaseException, failure: Failure) -> None:
    """Say what failed: ours in one line, the user's with its stack. Never raises."""
    text = failure.error
    with suppress(Exception):  # a handler of the program's, or its memory, may have failed too
        if isinstance(error, Reject):
            _log.warning("request %d is rejected: %s", request, _one_line(text))
        elif isinstance(error, Retry):
            _log.warning("request %d is to be tried again: %s", request, _one_line(text))
        elif isinstance(error, SlingshotError):
            _log.error("request %d failed: %s", request, _one_line(text))
        else:
            kind = failure.error_type
            _log.error("request %d failed: %s: %s", request, kind, text, exc_info=error)


def log_excuse(request: int, error: BaseException) -> None:
    """Say in one line that a run does not count. Never raises."""
    with suppress(Exception):
        text = _one_line(_text_of(error))
        _log.warning("request %d is handed back, and the run not counted: %s", request, text)


def bounded(text: str, limit: int) -> str:
    """Return text that UTF-8 can hold; of more than ``limit`` bytes, head and tail."""
    half = (limit - len(_GAP)) // 2
    if len(text) > limit:  # before it is encoded, because it may fill the memory
        text = text[:limit] + text[-limit:]
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    head, tail = data[:half], data[-half:]
    return head.decode("utf-8", "ignore") + _GAP + tail.decode("utf-8", "ignore")


def _attempt(what: str, describe: Callable[[], str]) -> str:
    """Return a description of a user's error, whose methods may raise even SystemExit."""
    try:
        return describe()
    except BaseException as problem:  # noqa: BLE001
        return f"its {what} cannot be had: {type(problem).__name__}"


def _type_of(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def _text_of(error: BaseException) -> str:
    return _attempt("text", lambda: bounded(str(error), _TEXT_BYTES))


def _traceback_of(error: BaseException) -> str:
    return bounded("".join(traceback.format_exception(error)), _TRACEBACK_BYTES)


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "no reason given"
