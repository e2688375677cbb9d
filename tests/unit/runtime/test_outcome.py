"""What is kept of an error: bounded, printable, and had whatever the error's own methods do."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from slingshot_microservice.errors import Reject, Retry, UsageError
from slingshot_microservice.runtime import outcome
from slingshot_microservice.runtime.outcome import bounded, failure_of

KIB = 1024


def raised(error: BaseException) -> BaseException:
    """Return an error with a traceback."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001  # whatever it is
        return caught


def endless(depth: int) -> None:
    endless(depth + 1)


class ManyLinesError(Exception):
    def __str__(self) -> str:
        return "first line\n" + "é" * 40 * KIB + "\nlast line"


class HostileError(Exception):
    """Raises what it is told to wherever it can."""

    what: BaseException

    def __str__(self) -> str:
        raise self.what


class OddMeta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__qualname__":
            raise SystemExit
        return super().__getattribute__(name)


class OddError(Exception, metaclass=OddMeta):
    pass


def test_a_failure_says_what_and_where() -> None:
    failure = failure_of(raised(LookupError("no such colour")))
    assert failure.reason == "failed"
    assert (failure.error_type, failure.error) == ("LookupError", "no such colour")
    assert "in raised\n" in failure.traceback
    assert failure.traceback.endswith("LookupError: no such colour\n")
    assert failure.after is None


def test_types_of_modules_are_named_with_them() -> None:
    assert failure_of(UsageError("x")).error_type == "slingshot_microservice.errors.UsageError"


def test_what_process_decides_is_passed_on() -> None:
    assert failure_of(Reject("gone"))[:3] == (
        "rejected",
        "slingshot_microservice.errors.Reject",
        "gone",
    )
    assert failure_of(Retry("later", after=3)).after == 3
    assert failure_of(Retry("later")).reason == "failed"


def test_long_texts_and_tracebacks_keep_head_and_tail() -> None:
    failure = failure_of(raised(ManyLinesError()))
    for text, limit in ((failure.error, 4 * KIB), (failure.traceback, 16 * KIB)):
        assert limit - 50 < len(text.encode()) <= limit
        assert text.endswith("last line\n" if text is failure.traceback else "last line")
        assert "\n[...]\n" in text
    assert failure.error.startswith("first line\né")
    assert failure.traceback.startswith("Traceback (most recent call last):\n")


def test_an_endless_recursion_is_described() -> None:
    with pytest.raises(RecursionError) as caught:
        endless(0)
    failure = failure_of(caught.value)
    assert "in endless" in failure.traceback
    assert len(failure.traceback.encode()) <= 16 * KIB


@pytest.mark.parametrize(
    "what",
    [ValueError(), SystemExit(), KeyboardInterrupt(), MemoryError(), RecursionError()],
    ids=lambda what: type(what).__name__,
)
def test_an_error_without_a_text_is_described_all_the_same(what: BaseException) -> None:
    error = HostileError()
    error.what = what
    failure = failure_of(raised(error))
    assert failure.error == f"its text cannot be had: {type(what).__name__}"
    assert "in raised\n" in failure.traceback


def test_a_type_without_a_name_is_described_all_the_same() -> None:
    assert failure_of(raised(OddError("x"))).error == "x"
    assert failure_of(OddError("x")).error_type == "its type cannot be had: SystemExit"


@pytest.mark.parametrize("problem", [MemoryError(), RecursionError(), SystemExit()])
def test_a_traceback_that_cannot_be_had_is_left_out(
    monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    def fail(_error: BaseException) -> list[str]:
        raise problem

    monkeypatch.setattr(traceback, "format_exception", fail)
    failure = failure_of(raised(LookupError("no")))
    assert failure.error == "no"
    assert failure.traceback == f"its traceback cannot be had: {type(problem).__name__}"


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("short", 100, "short"),
        ("é" * 50, 100, "é" * 50),
        ("a" * 60 + "b" * 60, 47, "a" * 20 + "\n[...]\n" + "b" * 20),
        ("é" * 60, 47, "é" * 10 + "\n[...]\n" + "é" * 10),
        ("x" + "é" * 60, 47, "x" + "é" * 9 + "\n[...]\n" + "é" * 10),
        ("\ud800!", 100, "\\ud800!"),
    ],
)
def test_text_is_cut_in_its_middle(text: str, limit: int, expected: str) -> None:
    assert bounded(text, limit) == expected


FAILURE = failure_of(LookupError("no"))


@pytest.mark.parametrize(
    "log", [outcome.log_excuse, lambda request, error: outcome.log_failure(request, error, FAILURE)]
)
def test_the_log_does_not_mind_hostile_errors(
    log: Callable[[int, BaseException], None], caplog: pytest.LogCaptureFixture
) -> None:
    error = HostileError()
    error.what = SystemExit()
    log(7, raised(error))
    assert caplog.messages[0].startswith("request 7 ")
