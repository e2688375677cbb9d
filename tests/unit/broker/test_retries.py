"""What becomes of a failed request, and what its message says of it."""

from __future__ import annotations

import time

import pytest

from slingshot_microservice.broker.protocol import Failure
from slingshot_microservice.broker.retries import Again, History, Parked, RetryPolicy, wait_of

FAILED = Failure("failed", "ValueError", "no")
DELAYS = (1.0, 5.0, 30.0)


@pytest.fixture
def policy() -> RetryPolicy:
    return RetryPolicy(attempts=5, delays=DELAYS, deaths=3)


def delays(policy: RetryPolicy) -> tuple[list[float], Parked]:
    """Fail until it is parked, and return the delays before that."""
    history, seen = History(), []
    while isinstance(decision := policy.after_failure(history, FAILED), Again):
        seen.append(decision.delay)
        history = decision.history
    return seen, decision


def test_delays_grow_and_the_last_is_repeated(policy: RetryPolicy) -> None:
    seen, _ = delays(policy)
    limits = [1, 5, 30, 30]
    assert all(0.8 * limit <= delay <= limit for delay, limit in zip(seen, limits, strict=True))


def test_delays_are_jittered(policy: RetryPolicy) -> None:
    assert len({delays(policy)[0][0] for _ in range(20)}) > 1


def test_the_last_attempt_parks(policy: RetryPolicy) -> None:
    before = int(time.time())
    _, parked = delays(policy)
    assert parked.reason == "failed"
    assert parked.history.attempts == 5
    assert before <= parked.history.first_time <= parked.history.last_time <= time.time()


def test_one_attempt_is_no_retry() -> None:
    policy = RetryPolicy(attempts=1, delays=DELAYS, deaths=3)
    assert isinstance(policy.after_failure(History(), FAILED), Parked)
    assert policy.waits == []


def test_a_rejected_request_is_parked_at_once(policy: RetryPolicy) -> None:
    decision = policy.after_failure(History(), Failure("rejected", "Reject", "not a customer"))
    assert isinstance(decision, Parked)
    assert (decision.reason, decision.history.attempts) == ("rejected", 1)


def test_a_process_may_say_when(policy: RetryPolicy) -> None:
    decision = policy.after_failure(History(), FAILED._replace(after=7.25))
    assert isinstance(decision, Again)
    assert decision.delay == 7.25


def test_what_a_process_says_does_not_make_it_endless(policy: RetryPolicy) -> None:
    decision = policy.after_failure(History(attempts=4), FAILED._replace(after=0.0))
    assert isinstance(decision, Parked)


def test_coming_back_from_a_dead_worker_is_no_death_yet(policy: RetryPolicy) -> None:
    decision = policy.after_death(History(attempts=2, first_time=1, last_time=2))
    assert isinstance(decision, Again)
    assert decision.history == History(2, 1, 2, deaths=0)


def test_deaths_under_suspicion_park(policy: RetryPolicy) -> None:
    history, seen = History(), []
    while isinstance(decision := policy.after_death(history), Again):
        history = decision.history
        seen.append(history.deaths)
    assert seen == [0, 1, 2]
    assert (decision.reason, decision.history.deaths) == ("worker-died", 3)


def test_a_run_that_came_to_its_end_lifts_the_suspicion(policy: RetryPolicy) -> None:
    decision = policy.after_failure(History(deaths=2), FAILED)
    assert "slingshot-deaths" not in decision.history.headers


@pytest.mark.parametrize(
    "history", [History(), History(3, 1_000, 2_000), History(0, 0, 0, 0), History(1, 5, 6, 2)]
)
def test_a_history_survives_its_headers(history: History) -> None:
    assert History.of(history.headers) == history


@pytest.mark.parametrize("junk", ["3", -1, 1.5, True, None, [3], 2**63])
def test_headers_of_others_are_no_history(junk: object) -> None:
    headers = {"slingshot-attempts": junk, "slingshot-deaths": junk, "slingshot-first-time": junk}
    assert History.of(headers) == History()


@pytest.mark.parametrize(
    ("delay", "wait"),
    [
        (0.0, 100),
        (0.1, 100),
        (0.1001, 200),
        (1.0, 1_000),
        (7.0, 10_000),
        (600.0, 600_000),
        (86_400.0, 86_400_000),
        (1e9, 2_419_200_000),
    ],
)
def test_a_wait_is_the_shortest_queue_that_is_long_enough(delay: float, wait: int) -> None:
    assert wait_of(delay) == wait


def test_no_wait_is_over_what_rabbitmq_takes() -> None:
    assert wait_of(float("inf")) < 2**32


def test_default_delays_have_a_queue_each() -> None:
    policy = RetryPolicy(attempts=6, delays=(1.0, 5.0, 30.0, 120.0, 600.0), deaths=3)
    assert policy.waits == [1_000, 5_000, 30_000, 120_000, 600_000]
