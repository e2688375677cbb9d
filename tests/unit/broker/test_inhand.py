"""What a process has in hand, and what it remembers of what it had."""

from __future__ import annotations

from slingshot_microservice.broker.inhand import InHand, LateResults, RecentIds


def test_what_is_settled_is_dropped_batch_by_batch() -> None:
    in_hand = InHand()
    in_hand.add(2, [(1, 10, False), (2, 20, False)])
    in_hand.add(3, [(3, 30, False)])
    in_hand.drop(2)
    assert in_hand.find(2) == 20
    in_hand.drop(3)
    assert (in_hand.find(2), in_hand.find(3)) == (None, 30)
    in_hand.drop(0)
    assert in_hand.clear() == []
    assert in_hand.seconds == 0


def test_counts_what_has_come_since_the_oldest() -> None:
    in_hand = InHand()
    assert in_hand.span == 0
    in_hand.add(2, [(1, 10, False), (2, 20, False)])
    in_hand.add(40, [(tag, tag, False) for tag in range(3, 41)])
    in_hand.add(42, [(41, 10, False), (42, 20, False)])
    assert in_hand.span == 42
    in_hand.drop(3)
    assert in_hand.span == 40
    in_hand.drop(0)
    assert in_hand.span == 0


def test_the_oldest_says_how_long() -> None:
    in_hand = InHand()
    in_hand.add(1, [(1, 10, False)])
    first = in_hand.seconds
    in_hand.add(2, [(2, 20, False)])
    assert in_hand.seconds >= first >= 0
    assert in_hand.clear() == [10, 20]


def test_the_longest_known_is_forgotten_first() -> None:
    recent = RecentIds(3)
    recent.add([1, 2, 3])
    recent.add([1, 4])
    assert [id for id in (1, 2, 3, 4) if id in recent] == [1, 3, 4]


def test_a_late_result_is_given_out_once() -> None:
    late = LateResults(10, 60)
    late.put(7, [(0, 1), (0, 2)])
    assert late.take(8) is None
    assert late.take(7) == [(0, 1), (0, 2)]
    assert late.take(7) is None


def test_late_results_are_bounded() -> None:
    late = LateResults(3, 60)
    late.put(1, [(0, 1), (0, 2)])
    late.put(2, [])
    assert late.take(2) is None, "a run that brings more than fit is repeated"
    late.take(1)
    late.put(2, [])
    assert late.take(2) == []


def test_a_later_result_of_the_same_id_takes_the_place_of_the_first() -> None:
    late = LateResults(4, 60)
    for _ in range(5):
        late.put(1, [(0, 1)])
    assert late.take(1) == [(0, 1)]
    late.put(2, [(0, 1), (0, 2), (0, 3)])
    assert late.take(2) is not None


def test_a_result_is_not_kept_for_another_message_of_its_id() -> None:
    late = LateResults(2, 0.0)
    late.put(1, [(0, 1)])
    late.put(2, [(0, 1)])
    assert late.take(2) is None
