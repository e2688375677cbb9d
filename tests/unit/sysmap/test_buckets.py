"""A bucket key is asked once per process."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from slingshot_microservice.errors import ConfigurationUnavailableError, UsageError
from slingshot_microservice.sysmap.buckets import BucketNames
from slingshot_microservice.sysmap.models import (
    MemoryBrokerSettings,
    S3Settings,
    ServiceSettings,
    SQLiteSettings,
)


class CountingMap:
    """Knows only buckets, and counts how often it is asked."""

    source = "a test"

    def __init__(self, answer: Callable[[str, str], str]) -> None:
        self.asked: list[tuple[str, str]] = []
        self._answer = answer

    def bucket(self, name: str, key: str) -> str:
        self.asked.append((name, key))
        return self._answer(name, key)

    def check(self, name: str) -> None:
        raise NotImplementedError

    def service(self, name: str) -> ServiceSettings:
        raise NotImplementedError

    def broker(self) -> MemoryBrokerSettings:
        raise NotImplementedError

    def database(self) -> SQLiteSettings:
        raise NotImplementedError

    def storage(self) -> S3Settings:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def test_each_key_is_asked_once_and_slashes_around_it_do_not_count() -> None:
    system_map = CountingMap(lambda name, key: f"{name}-{key}")
    names = BucketNames(system_map, "shout")
    assert [names.resolve(key) for key in ("in", "/in/", "out", "in")] == [
        "shout-in",
        "shout-in",
        "shout-out",
        "shout-in",
    ]
    assert system_map.asked == [("shout", "in"), ("shout", "out")]


def test_a_failure_is_not_kept() -> None:
    failures = [ConfigurationUnavailableError("away", source="a test")]

    def answer(name: str, key: str) -> str:
        if failures:
            raise failures.pop()
        return "texts"

    names = BucketNames(CountingMap(answer), "shout")
    with pytest.raises(ConfigurationUnavailableError):
        names.resolve("in")
    assert names.resolve("in") == "texts"


def test_a_key_that_can_be_none_is_refused() -> None:
    system_map = CountingMap(lambda name, key: key)
    with pytest.raises(UsageError):
        BucketNames(system_map, "shout").resolve("/")
    assert system_map.asked == []


@pytest.mark.parametrize("fails", [False, True])
def test_threads_share_one_question_and_its_outcome(fails: bool) -> None:
    everyone_is_here = threading.Barrier(4)
    may_answer = threading.Event()

    def answer(name: str, key: str) -> str:
        assert may_answer.wait(30)
        if fails:
            raise ConfigurationUnavailableError("away", source="a test")
        return "texts"

    system_map = CountingMap(answer)
    names = BucketNames(system_map, "shout")
    outcomes: list[str] = []

    def resolve() -> None:
        everyone_is_here.wait(30)
        try:
            outcomes.append(names.resolve("in"))
        except ConfigurationUnavailableError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=resolve) for _ in range(3)]
    for thread in threads:
        thread.start()
    everyone_is_here.wait(30)
    may_answer.set()
    for thread in threads:
        thread.join()
    assert outcomes == ["away" if fails else "texts"] * 3
    if not fails:
        assert len(system_map.asked) == 1
