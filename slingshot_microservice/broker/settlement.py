"""What becomes of messages that cannot simply be processed and acknowledged. I/O thread only."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ..hotpath import MalformedIdError, RawDelivery, decode_id
from .consumer import NO_PROPERTIES, Consumer
from .copies import headers_of, parked_properties, retry_properties
from .properties import Properties
from .protocol import Failure
from .publisher import Copy, Publisher, stand_in_for
from .queues import QueueBook
from .requeue import RequeuePauses
from .retries import History, Parked, RetryPolicy, wait_of

__all__ = ["Settlement"]

_log = logging.getLogger(__name__)

# RabbitMQ counts in a quorum queue how often a message was given back, and from 4.0 throws it away
# after 20 times. A copy is counted from the beginning.
_DELIVERY_COUNT_HEADER = "x-delivery-count"
_DELIVERY_COUNT_MAX = 5


class Settlement:
    """Sends copies of messages where they belong: to wait, to be run alone, or to be parked.

    Args:
        queues: The service's queues.
        policy: Says what becomes of a failed request; None to give everything back to its queue.
        pauses: Says how long what is given back waits.
        service: The service's name.
        consumer: Gives back.
        publisher: Sends the copies.
        suspects: Messages that are put under suspicion, at most, in one life of the channel. What
            a dead worker had in hand comes first; after that it is a broker that was killed, and
            calls everything that it kept delivered before.
    """

    def __init__(
        self,
        queues: QueueBook,
        policy: RetryPolicy | None,
        pauses: RequeuePauses,
        *,
        service: str,
        consumer: Consumer,
        publisher: Publisher,
        suspects: int,
    ) -> None:
        self._queues = queues
        self._policy = policy
        self._pauses = pauses
        self._service = service
        self._consumer = consumer
        self._publisher = publisher
        self._suspects_limit = suspects
        self._suspects = 0
        self._on_its_way = False  # a suspect, when the last channel was lost
        self._unusual: dict[int, tuple[RawDelivery, History]] = {}  # in hand, by delivery tag

    def look_at(self, raw: RawDelivery) -> int | None:
        """Look at a message that is more, or less, than an id, or that was delivered before.

        Returns:
            Its id, if it is to be processed now.
        """
        try:
            id = decode_id(raw.body)
        except MalformedIdError as error:
            self._on_malformed(raw, error)
            return None
        headers = {} if raw.properties == NO_PROPERTIES else headers_of(raw)
        history = History.of(headers)
        if self._policy is not None and raw.redelivered:
            if self._is_suspect(id, history):
                self._after_death(self._policy, raw, id, history)
                return None
            if _is_worn(headers):
                self._renew(raw, history)
                return None
        self._unusual[raw.tag] = raw, history
        return id

    def is_charged(self, tag: int) -> bool:
        """Whether a process has died that had delivery ``tag``, under suspicion, in hand."""
        _, history = self._unusual.get(tag, (None, History()))
        return history.deaths > 0

    def fail(self, tag: int, id: int, failure: Failure) -> None:
        """Count a failed run of delivery ``tag``."""
        plain = RawDelivery(tag, False, NO_PROPERTIES, b"%d" % id), History()
        raw, history = self._unusual.get(tag, plain)
        if self._policy is None:
            self.give_back(tag, id)
            return
        decision = self._policy.after_failure(history, failure)
        if isinstance(decision, Parked):
            self._park(raw, decision, failure)
            return
        _log.info("request %d is tried again in %.1f s", id, decision.delay)
        wait = wait_of(decision.delay)
        shorter = decision.delay if decision.delay * 1_000 < wait else None
        properties = retry_properties(raw, decision.history, shorter)
        self._replace(raw, self._queues.retry(wait), properties)

    def give_back(self, tag: int, id: int) -> None:
        """Give a delivery back to its queue, after a pause that grows."""
        pause = self._pauses.failed(id)
        _log.info("message %d is given back to its queue in %.1f s", id, pause)
        self._consumer.hand_back_later(tag, id, pause)

    def clear(self, tag: int) -> bool:
        """See that a suspect that is given back by the living does not look like another death.

        Returns:
            Whether delivery ``tag`` is one: then a copy, never delivered before, takes its place.
        """
        raw, history = self._unusual.get(tag, (None, History()))
        if raw is None or history.deaths < 0 or not self._publisher.is_ready:
            return False
        self._renew(raw, history)
        return True

    def forget(self, oldest_open: int) -> None:
        """Forget what came before that delivery tag, which is settled; with 0, everything."""
        unusual = self._unusual
        while unusual and (not oldest_open or next(iter(unusual)) < oldest_open):
            del unusual[next(iter(unusual))]

    def begin_anew(self) -> None:
        """Forget everything: the channel is gone."""
        self._suspects = 0
        self._on_its_way = True
        self._unusual.clear()

    def _on_malformed(self, raw: RawDelivery, error: MalformedIdError) -> None:
        if self._policy is None:
            _log.error("%s; the message is given back to its queue (option parking)", error)
            self.give_back(raw.tag, stand_in_for(raw.body))
            return
        failure = Failure("malformed-id", type(error).__name__, str(error))
        self._park(raw, Parked(History.of(headers_of(raw)), failure.reason), failure)

    def _is_suspect(self, id: int, history: History) -> bool:
        if id in self._consumer.recent:
            return False
        if history.deaths >= 0 and self._on_its_way:
            # RabbitMQ had sent us one suspect, and no more, that need not have arrived: we live.
            self._on_its_way = False
            return False
        self._suspects += 1
        return history.deaths >= 0 or self._suspects <= self._suspects_limit

    def _renew(self, raw: RawDelivery, history: History) -> None:
        """Send a message anew before RabbitMQ finds that it was delivered too often."""
        queues = self._queues
        queue = queues.suspect if history.deaths >= 0 else queues.retry(wait_of(0))
        self._replace(raw, queue, retry_properties(raw, history))

    def _after_death(
        self, policy: RetryPolicy, raw: RawDelivery, id: int, history: History
    ) -> None:
        """Deal with a message that was in the hands of somebody who is gone."""
        decision = policy.after_death(history)
        deaths = decision.history.deaths
        if isinstance(decision, Parked):
            error = f"{deaths} workers died while they had this request in hand, and no other"
            self._park(raw, decision, Failure(decision.reason, "WorkerDied", error))
            return
        if deaths:
            _log.warning("a worker died with request %d in hand (%d by now)", id, deaths)
        else:
            _log.debug("request %d was delivered before: it will be run with no other in hand", id)
        properties = retry_properties(raw, decision.history)
        self._replace(raw, self._queues.suspect, properties)

    def _park(self, raw: RawDelivery, parked: Parked, failure: Failure) -> None:
        queue = self._queues.spec(self._queues.dead).name
        _log.error("%s; the message is parked in queue %r", failure.error, queue)
        properties = parked_properties(raw, parked, failure, service=self._service)
        self._replace(raw, self._queues.dead, properties)

    def _replace(self, raw: RawDelivery, queue: int, properties: Properties) -> None:
        self._publisher.replace(raw.tag, Copy(queue, raw.body, properties))
        self._publisher.flush()


def _is_worn(headers: Mapping[str, object]) -> bool:
    count = headers.get(_DELIVERY_COUNT_HEADER, 0)
    return isinstance(count, int) and count >= _DELIVERY_COUNT_MAX
