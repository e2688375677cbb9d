"""Uploads of one request: how many at a time, in which order, and what a failure stops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import BinaryIO

import pytest
from servers.ports import wait_for

from slingshot_microservice.errors import StorageError, StorageUnavailableError
from slingshot_microservice.files import Content
from slingshot_microservice.files.uploads import Upload, _SideBySide, upload_all

BOUND = 20.0  # seconds after which waiting has failed
AT_ONCE = 4


class Store:
    """Does with each upload what the test says. Fulfils `ObjectStore`."""

    def __init__(self, act: Callable[[int], object], at_once: int = AT_ONCE) -> None:
        self.uploads_at_once = at_once
        self.begun: list[int] = []
        self.done: list[int] = []
        self.threads: set[threading.Thread] = set()
        self._act = act
        self._lock = threading.Lock()

    def upload(self, bucket: str, id: int, content: Content) -> None:
        assert (bucket, content) == ("reports", b"%d" % id)
        with self._lock:
            self.begun.append(id)
            self.threads.add(threading.current_thread())
        self._act(id)
        with self._lock:
            self.done.append(id)

    def read(self, bucket: str, id: int) -> BinaryIO:
        raise NotImplementedError

    def check(self, bucket: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def uploads(count: int) -> list[Upload]:
    return [Upload("reports", id, b"%d" % id) for id in range(count)]


def upload(store: Store, count: int) -> None:
    upload_all(store, uploads(count))


def nothing(_id: int) -> None:
    """Do nothing."""


def test_several_run_side_by_side_and_no_more_than_the_store_wants() -> None:
    together = threading.Barrier(AT_ONCE)
    store = Store(lambda _id: together.wait(BOUND))  # breaks unless so many are there at a time
    upload(store, 3 * AT_ONCE)
    assert sorted(store.done) == list(range(3 * AT_ONCE))
    assert len(store.threads) == AT_ONCE


@pytest.mark.parametrize(("count", "at_once"), [(0, AT_ONCE), (1, AT_ONCE), (3, 1)])
def test_no_thread_is_made_where_nothing_runs_side_by_side(count: int, at_once: int) -> None:
    store = Store(nothing, at_once)
    upload(store, count)
    assert store.done == list(range(count))
    assert store.threads <= {threading.current_thread()}


def test_two_files_take_one_thread_more() -> None:
    together = threading.Barrier(2)
    store = Store(lambda _id: together.wait(BOUND))
    upload(store, 2)
    assert len(store.threads) == 2
    assert threading.current_thread() in store.threads


def test_threads_are_gone_afterwards() -> None:
    before = set(threading.enumerate())
    upload(Store(nothing), 10)
    assert set(threading.enumerate()) <= before


def test_a_failure_begins_nothing_more_and_waits_for_what_runs() -> None:
    together = threading.Barrier(AT_ONCE)

    def act(id: int) -> None:
        together.wait(BOUND)
        if id == 1:
            raise StorageUnavailableError("away", bucket="reports", id=id)
        wait_for(lambda: side_by_side._failures, BOUND)  # until it is known, others may begin
        if id == 3:  # runs on until the others have ended
            wait_for(lambda: sorted(store.done) == [0, 2], BOUND)

    store = Store(act)
    side_by_side = _SideBySide(store, uploads(3 * AT_ONCE))
    with pytest.raises(StorageUnavailableError):
        side_by_side.run(AT_ONCE)
    assert sorted(store.begun) == [0, 1, 2, 3]
    assert sorted(store.done) == [0, 2, 3]


def test_of_several_failures_the_first_in_order_is_raised() -> None:
    together = threading.Barrier(AT_ONCE)
    third_has_failed = threading.Event()

    def act(id: int) -> None:
        together.wait(BOUND)
        if id == 3:
            third_has_failed.set()
            raise StorageError("refused", bucket="reports", id=3)
        assert third_has_failed.wait(BOUND)
        if id == 1:
            raise StorageError("refused", bucket="reports", id=1)

    with pytest.raises(StorageError) as caught:
        upload(Store(act), AT_ONCE)
    assert caught.value.id == 1


def test_what_interrupts_the_thread_is_raised_when_the_others_have_ended() -> None:
    together = threading.Barrier(2)
    main = threading.current_thread()

    def act(_id: int) -> None:
        together.wait(BOUND)
        if threading.current_thread() is main:
            raise KeyboardInterrupt

    store = Store(act)
    with pytest.raises(KeyboardInterrupt):
        upload(store, 2)
    assert len(store.done) == 1


def test_where_there_are_no_more_threads_fewer_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    store = Store(nothing)
    upload(store, 5)
    assert store.done == [0, 1, 2, 3, 4]
    assert store.threads == {threading.current_thread()}
