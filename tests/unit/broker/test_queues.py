"""The numbers of a service's queues."""

from __future__ import annotations

from slingshot_microservice.broker.queues import QueueBook


def test_outbound_queues_keep_their_places() -> None:
    book = QueueBook("in", ["a", "b"])
    assert [book.find("a"), book.find("b")] == [0, 1]
    assert book.spec(1).name == "b"


def test_queues_beside_have_numbers_of_their_own() -> None:
    book = QueueBook("in", ["a"])
    numbers = [book.dead, book.suspect, book.retry(1_000), book.retry(5_000)]
    assert len(set(numbers)) == 4
    assert all(number < 0 for number in numbers)
    names = [book.spec(number).name for number in numbers]
    assert names == ["in.dead", "in.suspect", "in.retry.1000", "in.retry.5000"]
    assert [book.find(name) for name in names] == numbers
    assert book.retry(1_000) == numbers[2]


def test_an_outbound_queue_may_be_that_of_the_dead() -> None:
    book = QueueBook("in", ["a", "in.dead"])
    assert book.dead == 1


def test_a_queue_to_wait_in_leads_back_and_is_safe_where_it_can_be() -> None:
    book = QueueBook("in", [])
    best, plain = book.spec(book.retry(200)).arguments
    assert best["x-queue-type"] == "quorum"
    assert best["x-dead-letter-strategy"] == "at-least-once"
    for arguments in (best, plain):
        assert arguments["x-message-ttl"] == 200
        assert arguments["x-dead-letter-exchange"] == ""
        assert arguments["x-dead-letter-routing-key"] == "in"


def test_only_the_first_wait_is_needed_to_begin_with() -> None:
    book = QueueBook("in", ["a"])
    needed = [spec.name for spec in book.needed([1_000, 5_000], parking=True)]
    assert needed == ["in", "a", "in.dead", "in.suspect", "in.retry.1000"]
    assert [spec.name for spec in QueueBook("in", ["a"]).needed([], parking=False)] == ["in", "a"]
