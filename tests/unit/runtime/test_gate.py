"""What is away is told from what fails, costs no attempt, and is asked for one at a time."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator

import pytest
from recording import Journal, RecordingBroker
from servers.ports import wait_for

from slingshot_microservice.runtime.gate import Gate, Need

BOUND = 20.0  # seconds after which waiting has failed


class AwayError(Exception):
    """Says that the database is away."""


class GroupedError(Exception):
    """As the groups of Python 3.11."""

    exceptions = (LookupError(), AwayError())


class Kit:
    """A gate before one need, which is there or not."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.broker = RecordingBroker(journal)
        self.failures: list[BaseException] = []
        self.trouble: Exception | None = None  # what a probe raises
        self.probed = threading.Semaphore(0)
        self.longest_pause = 0.002
        self.first_pause = 0.001
        self._gates: list[Gate] = []

    def gate(self, *others: Need) -> Gate:
        """Make a gate."""
        need = Need("database", lambda error: isinstance(error, AwayError), self._probe)
        gate = Gate(
            "shout",
            self.broker,
            [need, *others],
            first_pause=self.first_pause,
            longest_pause=self.longest_pause,
            on_failure=self.failures.append,
        )
        self._gates.append(gate)
        return gate

    def stop(self) -> None:
        """Stop the gates that were made."""
        for gate in self._gates:
            gate.stop()

    def _probe(self, error: BaseException) -> None:
        assert isinstance(error, AwayError)
        self.journal.note("probe")
        self.probed.release()
        if self.trouble is not None:
            raise self.trouble


@pytest.fixture
def kit(journal: Journal) -> Iterator[Kit]:
    kit = Kit(journal)
    yield kit
    kit.stop()


def raised(make: Callable[[], object]) -> BaseException:
    try:
        make()
    except BaseException as error:  # noqa: BLE001  # whatever it is
        return error
    raise AssertionError("nothing was raised")


def directly() -> None:
    raise AwayError


def from_another() -> None:
    raise RuntimeError("of the user") from AwayError()


def while_handling() -> None:
    try:
        raise AwayError
    except AwayError:
        raise RuntimeError("of the user's clean-up")  # noqa: B904  # as users do


def two_deep() -> None:
    raise LookupError from raised(from_another)


def instead() -> None:
    try:
        raise AwayError
    except AwayError:
        raise RuntimeError("of the user") from None


def of_its_own() -> None:
    raise RuntimeError("of the user")


def in_a_circle() -> None:
    error = RuntimeError("of the user")
    error.__cause__ = other = RuntimeError("another")
    other.__cause__ = error
    raise error


def with_odd_members() -> None:
    error = RuntimeError("of the user")
    error.exceptions = 5  # type: ignore[attr-defined]
    raise error


@pytest.mark.parametrize("make", [directly, from_another, while_handling, two_deep])
def test_what_is_away_is_found_in_what_it_caused(kit: Kit, make: Callable[[], None]) -> None:
    assert kit.gate().excuses(1, raised(make))


@pytest.mark.parametrize("make", [instead, of_its_own, in_a_circle, with_odd_members])
def test_a_failure_of_the_request_is_not_excused(kit: Kit, make: Callable[[], None]) -> None:
    assert not kit.gate().excuses(1, raised(make))
    assert kit.journal == []


def test_what_is_away_is_found_in_a_group(kit: Kit) -> None:
    assert kit.gate().excuses(1, GroupedError())


def test_a_need_that_answers_at_once_costs_one_run_that_does_not_count(kit: Kit) -> None:
    gate = kit.gate()
    assert gate.excuses(1, AwayError())
    assert not gate.is_closed
    assert kit.journal == ["probe"], "the broker never paused"


def test_the_same_request_is_excused_twice_in_a_row(kit: Kit) -> None:
    gate = kit.gate()
    assert [gate.excuses(1, AwayError()) for _ in range(5)] == [True, True, False, False, False]
    assert gate.excuses(2, AwayError()), "another one is not to blame"
    assert not gate.is_closed


def test_a_request_that_succeeds_has_its_excuses_again(kit: Kit) -> None:
    gate = kit.gate()
    for _ in range(3):
        assert gate.excuses(1, AwayError())
        assert gate.excuses(1, AwayError())
        gate.succeeded(1)


def test_the_success_of_others_gives_it_none(kit: Kit) -> None:
    gate = kit.gate()
    seen = []
    for _ in range(3):
        seen.append(gate.excuses(1, AwayError()))
        gate.succeeded(2)
    assert seen == [True, True, False]


def test_where_no_request_succeeds_they_slow_down(kit: Kit) -> None:
    kit.first_pause = kit.longest_pause = 1000.0
    gate = kit.gate()
    assert gate.excuses(1, AwayError()), "the first waits for nothing"
    gate.succeeded(2)
    assert gate.excuses(3, AwayError()), "nor does the first after a success"
    waiting = threading.Thread(target=gate.excuses, args=(4, AwayError()))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    gate.stop()
    waiting.join(BOUND)
    assert not waiting.is_alive()


def test_closes_until_the_need_answers(kit: Kit) -> None:
    gate = kit.gate()
    kit.trouble = AwayError("gone")
    assert gate.excuses(1, AwayError())
    seen = [gate.is_closed]
    for _ in range(5):
        assert kit.probed.acquire(timeout=BOUND)
    seen.append(gate.is_closed)
    kit.trouble = None
    wait_for(lambda: not gate.is_closed, BOUND)
    seen.append(gate.is_closed)
    assert seen == [True, True, False]
    wait_for(lambda: kit.journal[-1] == "resume 'the database is away'", BOUND)
    assert kit.journal[:2] == ["probe", "pause 'the database is away'"]
    assert set(kit.journal[2:-1]) == {"probe"}


def test_the_log_says_when_it_closed_why_and_when_it_opened(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gate = kit.gate()
    kit.trouble = AwayError("connection refused")
    gate.excuses(1, AwayError("broken off"))
    kit.trouble = AwayError("starting up")
    wait_for(lambda: len(caplog.messages) == 2, BOUND)
    kit.trouble = None
    wait_for(lambda: len(caplog.messages) == 3, BOUND)
    closed, still, opened = caplog.messages
    assert closed == ("the database is away; no work is taken until it is back: connection refused")
    assert still == "the database is still away: starting up"
    assert re.fullmatch(r"the database is back after \d+\.\d s; work is taken again", opened)


def test_a_real_absence_is_no_mark_against_a_request(kit: Kit) -> None:
    gate = kit.gate()
    for _ in range(3):
        assert gate.excuses(1, AwayError())
        kit.trouble = AwayError("gone")
        assert gate.excuses(1, AwayError())
        kit.trouble = None
        wait_for(lambda: not gate.is_closed, BOUND)


def test_a_closed_gate_probes_once_for_all(kit: Kit) -> None:
    kit.first_pause = kit.longest_pause = 1000.0
    gate = kit.gate()
    kit.trouble = AwayError("gone")
    threads = [threading.Thread(target=gate.excuses, args=(id, AwayError())) for id in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert kit.journal == ["probe", "pause 'the database is away'"]


def test_pauses_between_probes_grow(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.first_pause, kit.longest_pause = 0.5, 30.0
    gate = kit.gate()
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) == 8

    kit.trouble = AwayError("gone")
    monkeypatch.setattr(gate._stopped, "wait", wait)
    gate.excuses(1, AwayError())
    wait_for(lambda: len(waited) == 8, BOUND)
    bounds = [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert all(bound / 2 <= seconds <= bound for seconds, bound in zip(waited, bounds, strict=True))


def test_opens_when_all_that_was_away_is_back(kit: Kit) -> None:
    store_is_back = threading.Event()

    def probe_store(_error: BaseException) -> None:
        if not store_is_back.is_set():
            raise LookupError("gone")

    store = Need("store", lambda error: isinstance(error, LookupError), probe_store)
    gate = kit.gate(store)
    kit.trouble = AwayError("gone")
    assert gate.excuses(1, AwayError())
    assert gate.excuses(2, LookupError())
    kit.trouble = None
    wait_for(lambda: "resume 'the database is away'" in kit.journal, BOUND)
    assert gate.is_closed
    store_is_back.set()
    wait_for(lambda: not gate.is_closed, BOUND)
    wait_for(lambda: kit.journal[-1] == "resume 'the store is away'", BOUND)


def test_stop_ends_probing_at_once(kit: Kit) -> None:
    kit.first_pause = kit.longest_pause = 1000.0
    gate = kit.gate()
    kit.trouble = AwayError("gone")
    gate.excuses(1, AwayError())
    gate.stop()
    wait_for(lambda: "shout-gate" not in {each.name for each in threading.enumerate()}, BOUND)
    assert "resume 'the database is away'" not in kit.journal


def test_remembers_a_bounded_number_of_requests(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slingshot_microservice.runtime.gate._REMEMBERED", 3)
    gate = kit.gate()
    for request in (1, 1, 2, 3, 4):
        gate.excuses(request, AwayError())
    assert len(gate._excused) == 3
    assert gate.excuses(1, AwayError()), "the longest forgotten has its excuses again"


def test_a_bug_in_the_probing_thread_is_reported(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    gate = kit.gate()
    kit.journal.failing["resume"] = bug = RuntimeError("a bug in a broker")
    kit.trouble = AwayError("gone")
    gate.excuses(1, AwayError())
    kit.trouble = None
    wait_for(lambda: kit.failures == [bug], BOUND)
    assert "probing the database has failed" in caplog.text
