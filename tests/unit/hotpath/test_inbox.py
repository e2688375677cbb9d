"""Every delivery goes to one worker or back, whoever waits for whom at which moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hotpaths import HotPath, Inbox, Seat
from servers.ports import wait_for

from slingshot_microservice.hotpath import Delivery, Work

BOUND = 20.0  # seconds after which waiting has failed


def never(_epoch: int, _delivery: Delivery) -> bool:
    return False


def inbox_of(hot: HotPath, *ids: int, is_settled: Callable[[int, Delivery], bool] = never) -> Inbox:
    inbox = hot.Inbox(is_settled)
    inbox.renew(1)
    inbox.put([(tag, id, False) for tag, id in enumerate(ids, 1)])
    return inbox


def test_deliveries_come_one_at_a_time_in_order(hot: HotPath) -> None:
    inbox = inbox_of(hot, 30, 10)
    seat = inbox.seat()
    assert [seat.receive(), seat.receive()] == [(1, (1, 30, False)), (1, (2, 10, False))]


def test_whoever_waits_is_woken_by_a_delivery(hot: HotPath) -> None:
    inbox = inbox_of(hot)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(inbox.seat().receive)
        wait_for(lambda: inbox.busy_workers == 0, BOUND)
        inbox.put([(1, 9, False)])
        assert waiting.result(BOUND) == (1, (1, 9, False))


def test_a_batch_wakes_as_many_as_it_has_deliveries(hot: HotPath) -> None:
    inbox = inbox_of(hot)
    with ThreadPoolExecutor() as pool:
        seats = [inbox.seat() for _ in range(4)]
        waiting = [pool.submit(seat.receive) for seat in seats]
        wait_for(lambda: inbox.busy_workers == 0, BOUND)
        inbox.put([(1, 10, False), (2, 20, False), (3, 30, False)])
        wait_for(lambda: sum(each.done() for each in waiting) == 3, BOUND)
        # One that is woken in vain is busy until it waits anew.
        wait_for(lambda: inbox.busy_workers == 3, BOUND)
        inbox.close()
        results = [each.result(BOUND) for each in waiting]
    assert sorted(result[1] for result in results if result) == [
        (1, 10, False),
        (2, 20, False),
        (3, 30, False),
    ]
    assert results.count(None) == 1


def test_closing_ends_the_workers_when_nothing_is_left(hot: HotPath) -> None:
    inbox = inbox_of(hot, 1)
    inbox.close()
    seat = inbox.seat()
    assert seat.receive() == (1, (1, 1, False))
    assert [seat.receive(), inbox.seat().receive()] == [None, None]


def test_what_nobody_has_begun_can_be_taken_back(hot: HotPath) -> None:
    inbox = inbox_of(hot, 10, 20, 30, 40)
    seat = inbox.seat()
    assert seat.receive() == (1, (1, 10, False))
    assert inbox.take_back(keep=1) == [(3, 30, False), (4, 40, False)]
    assert len(inbox) == 1
    assert inbox.take_back() == [(2, 20, False)]
    inbox.close()
    assert seat.receive() is None


def test_another_channel_makes_what_was_not_begun_void(hot: HotPath) -> None:
    inbox = inbox_of(hot, 10, 20)
    inbox.renew(2)
    inbox.put([(1, 30, True)])
    assert inbox.seat().receive() == (2, (1, 30, True))


def test_what_is_settled_already_is_passed_over(hot: HotPath) -> None:
    asked: list[Work] = []

    def is_settled(epoch: int, delivery: Delivery) -> bool:
        asked.append((epoch, delivery))
        return delivery[1] == 20

    inbox = inbox_of(hot, 10, is_settled=is_settled)
    inbox.put([(2, 20, True), (3, 30, True)])
    seat = inbox.seat()
    assert [seat.receive(), seat.receive()] == [(1, (1, 10, False)), (1, (3, 30, True))]
    assert asked == [(1, (2, 20, True)), (1, (3, 30, True))], "only what was delivered before"


def test_time_spent_waiting_is_not_spent_on_requests(hot: HotPath) -> None:
    now = 100.0
    inbox = hot.Inbox(never, lambda: now)
    inbox.put([(1, 10, False)])
    seat = inbox.seat()
    seat.receive()
    now = 103.0
    assert (inbox.busy_seconds, inbox.busy_workers) == (3.0, 1)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(seat.receive)
        wait_for(lambda: inbox.busy_workers == 0, BOUND)
        now = 110.0
        assert inbox.busy_seconds == 3.0
        inbox.put([(2, 20, False)])
        waiting.result(BOUND)
    now = 111.5
    assert inbox.busy_seconds == 4.5


def test_many_workers_lose_and_double_nothing(hot: HotPath) -> None:
    inbox = inbox_of(hot)
    count, done, taken_back = 20_000, [], []
    lock = threading.Lock()

    def work(seat: Seat) -> None:
        mine = []
        while (received := seat.receive()) is not None:
            mine.append(received[1][1])
        with lock:
            done.extend(mine)

    with ThreadPoolExecutor() as pool:
        workers = [pool.submit(work, inbox.seat()) for _ in range(4)]
        for first in range(0, count, 5):
            inbox.put([(id + 1, id, False) for id in range(first, first + 5)])
            if first % 100 == 0:
                taken_back += [id for _, id, _ in inbox.take_back(keep=1)]
            if first % 1_000 == 0:
                wait_for(lambda: inbox.busy_workers == 0, BOUND)
        inbox.close()
        for worker in workers:
            worker.result(BOUND)
    assert sorted(done + taken_back) == list(range(count))


def test_an_error_of_the_question_whether_it_is_settled_reaches_the_worker(hot: HotPath) -> None:
    def is_settled(_epoch: int, _delivery: Delivery) -> bool:
        raise LookupError("no books")

    inbox = inbox_of(hot, is_settled=is_settled)
    inbox.put([(1, 10, True)])
    with pytest.raises(LookupError, match="no books"):
        inbox.seat().receive()


def test_whoever_is_about_to_wait_sees_what_came_meanwhile(hot: HotPath) -> None:
    """The clock is read after the first look, so what comes then comes between the two."""
    coming: list[Delivery] = []

    def clock() -> float:
        while coming:
            inbox.put([coming.pop()])
        return 0.0

    inbox = hot.Inbox(never, clock)
    seat = inbox.seat()
    coming.append((1, 10, False))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(seat.receive)
        try:
            assert waiting.result(BOUND) == (0, (1, 10, False))
        finally:
            inbox.close()
