"""A connection that RabbitMQ keeps up and does nothing on is made anew."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slingshot_microservice.broker.subscription import SubscriptionState as State
from slingshot_microservice.broker.watch import Watch

CONFIRM_TIMEOUT = 60.0
CONSUMER_TIMEOUT = 1_800.0
LOOK = 2.0


class Link:
    """A link in a state that a test sets; notes why it was to be made anew.

    It answers each question how many consumers there are: as in the list, and then with one.
    """

    def __init__(self) -> None:
        self.is_connected = self.is_ready = True
        self.connection = self
        self.consumers: list[int] = []
        self.restarts: list[str] = []

    def channel(self, on_open_callback: Callable[[Any], None]) -> None:
        def declare(_queue: str, *, passive: bool, callback: Callable[[Any], None]) -> None:
            assert passive
            count = self.consumers.pop(0) if self.consumers else 1
            callback(SimpleNamespace(method=SimpleNamespace(consumer_count=count)))

        on_open_callback(SimpleNamespace(is_open=False, queue_declare=declare))

    def restart(self, reason: str, *, at_once: bool = False) -> None:
        self.restarts.append(reason)


class Scene:
    """A loop whose time is told, and both sides as the watch sees them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.tuned: list[float] = []
        self._next: Callable[[], None] | None = None
        self.consumer = SimpleNamespace(
            link=Link(),
            is_declared=True,
            inbound="in",
            epoch=1,
            subscription=SimpleNamespace(state=State.CONSUMING, wanted=True, queues={"in"}),
            in_hand=SimpleNamespace(seconds=0.0),
            tune=lambda: self.tuned.append(self.now),
        )
        self.publisher = SimpleNamespace(
            link=Link(), is_ready=True, unanswered_seconds=0.0, is_declaring=False, declarations=0
        )
        monkeypatch.setattr(f"{Watch.__module__}.time.monotonic", lambda: self.now)
        Watch(
            cast(Any, self),
            cast(Any, self.consumer),
            cast(Any, self.publisher),
            confirm_timeout=CONFIRM_TIMEOUT,
            consumer_timeout=CONSUMER_TIMEOUT,
        ).start()

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        assert delay == LOOK
        self._next = callback

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(int(seconds / LOOK)):
            self.now += LOOK
            assert self._next is not None
            self._next()

    @property
    def restarts(self) -> tuple[list[str], list[str]]:
        """Why the consuming link was to be made anew, and why the publishing one."""
        return self.consumer.link.restarts, self.publisher.link.restarts


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_what_works_is_left_alone(scene: Scene) -> None:
    scene.run(3_600)
    assert scene.restarts == ([], [])


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("state", list(State))
def test_a_consumer_that_is_not_as_it_should_be_is_waited_for_with_a_bound(
    scene: Scene, state: State, wanted: bool
) -> None:
    scene.consumer.subscription.state = state
    scene.consumer.subscription.wanted = wanted
    scene.run(20)
    as_wanted = state is (State.CONSUMING if wanted else State.IDLE)
    reasons = [] if as_wanted else [f"RabbitMQ does not answer: {state.value}"]
    assert scene.restarts == (reasons, [])


def test_an_answer_that_comes_in_time_is_enough(scene: Scene) -> None:
    for _ in range(100):
        scene.consumer.subscription.state = State.STARTING
        scene.run(10)
        scene.consumer.subscription.state = State.CONSUMING
        scene.run(5)
    assert scene.restarts == ([], [])


def test_queues_may_take_longer_to_declare_but_not_for_ever(scene: Scene) -> None:
    scene.consumer.is_declared = False
    scene.consumer.subscription.state = State.IDLE
    scene.run(30)
    assert scene.restarts == ([], [])
    scene.run(10)
    assert scene.restarts == (["RabbitMQ does not answer: asked for its queues"], [])


def test_a_channel_that_is_never_opened_is_given_up(scene: Scene) -> None:
    scene.consumer.link.is_ready = scene.publisher.link.is_ready = False
    scene.publisher.is_ready = False
    scene.run(20)
    assert scene.restarts == (
        ["RabbitMQ does not answer: asked for a channel"],
        ["RabbitMQ does not answer: asked for a channel with confirms"],
    )


def test_while_there_is_no_connection_there_is_nothing_to_wait_for(scene: Scene) -> None:
    for link in (scene.consumer.link, scene.publisher.link):
        link.is_connected = link.is_ready = False
    scene.consumer.is_declared = scene.publisher.is_ready = False
    scene.run(3_600)
    assert scene.restarts == ([], [])


def test_confirms_that_do_not_come_are_a_lost_connection(scene: Scene) -> None:
    scene.publisher.unanswered_seconds = CONFIRM_TIMEOUT + 1
    scene.run(LOOK)
    assert scene.restarts == ([], ["no confirm for 61 s (option confirm_timeout)"])


def test_a_long_request_is_warned_of_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.consumer.in_hand.seconds = CONSUMER_TIMEOUT / 2
    scene.run(60)
    assert caplog.text.count("option consumer_timeout") == 1
    scene.consumer.in_hand.seconds = 0
    scene.run(LOOK)
    scene.consumer.in_hand.seconds = CONSUMER_TIMEOUT
    scene.run(60)
    assert caplog.text.count("option consumer_timeout") == 2


def test_a_request_that_does_not_end_is_measured_all_the_same(scene: Scene) -> None:
    scene.run(3 * LOOK)
    assert scene.tuned == [LOOK, 2 * LOOK, 3 * LOOK]


@pytest.mark.parametrize(
    ("counts", "reasons"),
    [
        ([0, 0], ["RabbitMQ knows of no consumer on the queue"]),
        ([1, 0, 0], ["RabbitMQ knows of no consumer on the queue"]),
        ([0, 1, 0, 1], []),  # a quorum queue that is busy does not say how many there are
    ],
)
def test_a_consumer_that_is_not_known_of_twice_is_made_again(
    scene: Scene, counts: list[int], reasons: list[str]
) -> None:
    scene.now = 1_000.0
    scene.consumer.link.consumers = counts
    scene.run(100)
    assert not counts, "RabbitMQ was asked so often"
    assert scene.restarts == (reasons, [])


def test_a_consumer_is_counted_on_one_channel_at_a_time(scene: Scene) -> None:
    scene.now = 1_000.0
    scene.consumer.link.consumers = [0]
    scene.run(LOOK)
    scene.consumer.epoch += 1
    scene.consumer.link.consumers = [0]
    scene.run(100)
    assert scene.restarts == ([], [])
