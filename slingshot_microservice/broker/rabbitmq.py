"""RabbitMQ: two connections on one I/O thread, and the ledger between them.

One connection consumes and acknowledges, the other publishes and is confirmed, because a broker
in alarm stops reading from whoever publishes and must not keep us from acknowledging. Worker
threads never touch either: they pass what they finished to the I/O thread, which runs no code of
the user's, so that heartbeats go on while ``process`` works for an hour.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial

from ..errors import BrokerError
from ..hotpath import NO_DELIVERY, Delivery, Finished, Inbox, Ledger, Publish, RawDelivery
from .amqp import Link, LinkListener, Server
from .consumer import Consumer
from .inhand import LateResults
from .iothread import IOThread
from .prefetch import PrefetchTuner
from .protocol import Failure, Receiver
from .publisher import Copy, Publisher
from .queues import QueueBook
from .requeue import RequeuePauses
from .retries import RetryPolicy
from .settlement import Settlement
from .subscription import SubscriptionState
from .watch import Watch

__all__ = ["RabbitMQBroker"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25  # how soon an end of the waiting is heard
# What leaves together costs one wake-up and one system call. So where much is in hand, and requests
# end in quick succession, the I/O thread waits a moment for more of them: nobody waits for one id.
_MANY_IN_HAND = 64  # messages
_QUICK_SECONDS = 2e-3  # between two times that requests were found finished
_GATHER_SECONDS = 1e-3
_LATE_OUTPUTS = 1_000_000
_LATE_SECONDS = 300.0
_BLOCKED = "RabbitMQ blocks publishers"


class RabbitMQBroker:
    """The queues of one service at RabbitMQ. Fulfils `Broker`.

    Args:
        server: Where, and as whom.
        service: The service's name, which connections and consumer are called by.
        inbound: The queue to consume.
        outbound: The queues that indexes in publishes stand for.
        prefetch: Messages handed over before the first of them is acknowledged; None for as many
            as measuring finds right.
        workers: How many requests are processed at the same time.
        open_timeout: Seconds in which `open`, `send` and `consume` must each succeed.
        policy: Says what becomes of failed requests; with None they are given back to their queue
            after a pause, and there are no queues beside the inbound one.
        pauses: Says how long what is given back to its queue waits.
        confirm_timeout: Seconds without any confirm, while some are due, that are a lost
            connection.
        consumer_timeout: Seconds after which RabbitMQ ends a consumer that does not acknowledge.
        on_failure: Called with the error when the I/O thread has died, which is a bug.
    """

    def __init__(
        self,
        server: Server,
        *,
        service: str,
        inbound: str,
        outbound: Sequence[str],
        prefetch: int | None,
        workers: int,
        open_timeout: float,
        policy: RetryPolicy | None,
        pauses: RequeuePauses,
        confirm_timeout: float,
        consumer_timeout: float,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._server = server
        self._service = service
        self._workers = workers
        self._open_timeout = open_timeout
        self._on_failure = on_failure
        self._pauses = pauses
        self._io = IOThread(
            f"{service}-io", begin=self._connect, mend=self._mend, on_death=self._on_death
        )
        self._ledger = Ledger()
        self._inbox = Inbox(self._is_settled)
        tuner = PrefetchTuner(workers)
        queues = self._queues = QueueBook(inbound, outbound)
        self._consumer = Consumer(
            self._io.loop,
            self._ledger,
            service=service,
            queues=queues.needed(
                [] if policy is None else policy.waits, parking=policy is not None
            ),
            suspects=None if policy is None else queues.spec(queues.suspect).name,
            prefetch=prefetch or tuner,
            inbox=self._inbox,
            events=self,
        )
        self._publisher = Publisher(
            self._ledger,
            queues=queues,
            on_ready=self._check_opened,
            on_blocked=self._on_publisher_blocked,
            on_answered=self._on_answered,
            on_given_up=self._on_given_up,
        )
        self._settlement = Settlement(
            queues,
            policy,
            pauses,
            service=service,
            consumer=self._consumer,
            publisher=self._publisher,
            suspects=2 * (prefetch or tuner.limit),
        )
        self._watch = Watch(
            self._io.loop,
            self._consumer,
            self._publisher,
            confirm_timeout=confirm_timeout,
            consumer_timeout=consumer_timeout,
        )
        self._consumer.link = self._new_link("consuming", self._consumer)
        self._publisher.link = self._new_link("publishing", self._publisher)
        self._open_links = 2
        self._late = LateResults(_LATE_OUTPUTS, _LATE_SECONDS)
        self._finished: deque[Finished] = deque()
        self._taken_at = 0.0  # when the I/O thread has last come to them
        self._waking = False
        self._sending = False
        self._closing = False
        self._opened: Future[None] = Future()
        self._sent: Future[None] = Future()
        self._started: Future[None] = Future()
        self._settled: Future[None] = Future()

    def open(self, sleep: Callable[[float], object] = time.sleep) -> None:
        """Connect and make sure that all queues exist; see `Broker.open`."""
        self._io.start()
        deadline = time.monotonic() + self._open_timeout
        while time.monotonic() < deadline and not wait([self._opened], _LOOK_SECONDS).done:
            sleep(0)
        self._await(self._opened, self._consumer.link, 0)

    def send(self, publishes: Sequence[Publish]) -> None:
        """Publish, and return when every message is safe; see `Broker.send`."""
        if publishes:
            self._io.call(partial(self._publish_now, publishes))
            answers = -1
            # A million outputs may take longer than one time-out.
            while answers < self._publisher.answers:
                answers = self._publisher.answers
                with contextlib.suppress(FutureTimeoutError):
                    self._sent.result(self._open_timeout)
                    return
            raise BrokerError(
                f"RabbitMQ has answered nothing for {self._open_timeout:.0f} s, and not all "
                "outputs of startup are confirmed"
            )

    def consume(self) -> None:
        """Start taking messages; see `Broker.consume`."""
        self._io.call(self._consumer.start)
        self._await(self._started, self._consumer.link, self._open_timeout)

    def receiver(self) -> Receiver:
        """Return where one more worker takes its deliveries from; see `Broker.receiver`."""
        return self._inbox.seat()

    def finish(self, epoch: int, tag: int, id: int, publishes: Sequence[Publish]) -> None:
        """Publish the outputs of a delivery, then acknowledge it; see `Broker.finish`."""
        if epoch != self._consumer.epoch:
            self._late.put(id, publishes)
            return
        self._finished.append((epoch, tag, publishes))
        # One wake-up serves all that is finished until the I/O thread comes to it.
        if not self._waking:
            self._waking = True
            self._io.call(self._take_finished)

    def fail(self, epoch: int, tag: int, id: int, failure: Failure) -> None:
        """Count a failed run; see `Broker.fail`."""
        if epoch != self._consumer.epoch:  # known before this thread begins the message again
            self._late.put(id, failure)
            return
        self._io.call(partial(self._fail_now, epoch, tag, id, failure))

    def hand_back(self, epoch: int, tag: int, id: int) -> None:
        """Return a delivery to its queue; see `Broker.hand_back`."""
        self._io.call(partial(self._hand_back_now, epoch, tag, id))

    def pause(self, reason: str) -> None:
        """Take no messages for now; see `Broker.pause`."""
        self._io.call(partial(self._consumer.pause, reason))

    def resume(self, reason: str) -> None:
        """End one reason for a pause; see `Broker.resume`."""
        self._io.call(partial(self._consumer.resume, reason))

    def cancel(self) -> None:
        """Take no more messages; see `Broker.cancel`."""
        self._io.call(self._consumer.cancel)

    def trouble(self) -> str | None:
        """Say what keeps it from taking messages; see `Broker.trouble`."""
        if not self._io.is_alive:
            return "not connected"
        return self._publisher.link.trouble or self._consumer.trouble

    def has_died(self) -> bool:
        """Whether the I/O thread has died; see `Broker.has_died`."""
        return self._io.has_begun and not self._io.is_alive

    def close(self, timeout: float) -> bool:
        """Wait until what was finished is settled, then disconnect; see `Broker.close`."""
        if not self._io.has_begun:
            self._io.end()
            return True
        if not self._io.is_alive:
            return False
        self._io.call(self._begin_close)
        try:
            self._settled.result(timeout)
            settled = True
        except (FutureTimeoutError, BrokerError):
            settled = False
        self._io.call(partial(self._disconnect, at_once=not settled))
        self._io.end()
        return settled

    def _is_settled(self, epoch: int, delivery: Delivery) -> bool:
        """Settle a delivery by a run of it that has outlasted its channel, if there was one."""
        tag, id, _ = delivery
        result = self._late.take(id)
        if result is None:
            return False
        _log.info("request %d was processed before its channel was lost: settled now", id)
        if isinstance(result, Failure):
            self.fail(epoch, tag, id, result)
        else:
            self.finish(epoch, tag, id, result)
        return True

    def _await(self, future: Future[None], link: Link, seconds: float) -> None:
        try:
            future.result(seconds)
        except FutureTimeoutError:
            raise link.unavailable(self._open_timeout) from None

    def _new_link(self, purpose: str, listener: LinkListener) -> Link:
        return Link(
            self._io.loop,
            self._server,
            name=f"{self._service} {purpose}",
            purpose=purpose,
            listener=listener,
            on_refused=self._on_refused,
            on_closed=self._on_link_closed,
        )

    # All that follows runs on the I/O thread.

    def _connect(self) -> None:
        self._consumer.link.connect()
        self._publisher.link.connect()
        self._watch.start()

    def _mend(self, error: ValueError) -> bool:
        # pika raises it into the loop when a peer is gone again as soon as it has accepted.
        links = (self._consumer.link, self._publisher.link)
        return any([link.give_up_connecting(error) for link in links])

    def _on_death(self, error: BaseException) -> None:
        reason = BrokerError(f"the I/O thread has died: {error!r}")
        _refuse(reason, self._opened, self._sent, self._started, self._settled)
        self._inbox.close()
        self._on_failure(error)

    def _on_refused(self, error: BrokerError) -> None:
        # Once the service runs, who is refused may be let in again; until then it is a mistake.
        if not self._started.done():
            _refuse(error, self._opened, self._sent, self._started)

    def _on_link_closed(self) -> None:
        self._open_links -= 1
        if not self._open_links:
            self._io.loop.stop()

    def _check_opened(self) -> None:
        if self._consumer.is_declared and self._publisher.is_ready:
            _fulfil(self._opened)

    on_declared = _check_opened

    def on_consuming(self) -> None:
        """RabbitMQ has confirmed the consumer; see `ConsumerEvents`."""
        _fulfil(self._started)

    def on_stopped(self) -> None:
        """Nothing more is on its way to us; see `ConsumerEvents`."""
        self._check_settled()

    def on_queue_error(self, queue: str, error: BrokerError) -> None:
        """A queue cannot be had; see `ConsumerEvents`."""
        beside = self._queues.beside
        if queue in beside:
            names = " and ".join(map(repr, beside))
            error = BrokerError(
                f"{error}; {names} hold what failed: let the user configure, write and read them, "
                "or turn the option parking off, and what fails goes back to its own queue"
            )
        self._on_refused(error)
        if self._started.done():
            self._consumer.link.restart(str(error))

    def on_unusual(self, raw: RawDelivery) -> int | None:
        """Look at a message more closely; see `ConsumerEvents`."""
        return self._settlement.look_at(raw)

    def runs_alone(self, tag: int) -> bool:
        """Whether a message is to be run beside no other; see `ConsumerEvents`."""
        return self._workers > 1 and self._settlement.is_charged(tag)

    def on_hand_back(self, tag: int) -> bool:
        """A message is given back, and nobody has died; see `ConsumerEvents`."""
        return self._settlement.clear(tag)

    def on_deliveries_lost(self) -> None:
        """The broker gives all deliveries out again; see `ConsumerEvents`."""
        self._publisher.forget_deliveries()
        self._settlement.begin_anew()
        self._check_settled()

    def _publish_now(self, publishes: Sequence[Publish]) -> None:
        self._sending = True
        self._publisher.publish(NO_DELIVERY, publishes)
        self._publisher.flush()

    def _take_finished(self) -> None:
        busy = self._consumer.in_hand.span >= _MANY_IN_HAND
        if busy and time.monotonic() - self._taken_at < _QUICK_SECONDS:
            time.sleep(_GATHER_SECONDS)
        self._taken_at = time.monotonic()
        # Cleared first: what is appended from here on brings its own wake-up.
        self._waking = False
        take = self._finished.popleft
        finished = [take() for _ in range(len(self._finished))]
        publisher = self._publisher
        publisher.publish_finished(finished, self._consumer.epoch)
        publisher.flush()
        self._pauses.relax()
        self._consumer.note_ended(len(finished))
        self._on_answered()

    def _fail_now(self, epoch: int, tag: int, id: int, failure: Failure) -> None:
        self._consumer.note_ended(1)
        if epoch == self._consumer.epoch:
            self._settlement.fail(tag, id, failure)
        else:
            self._late.put(id, failure)

    def _hand_back_now(self, epoch: int, tag: int, id: int) -> None:
        if epoch == self._consumer.epoch:
            self._consumer.hand_back(tag, id)

    def _on_publisher_blocked(self, blocked: bool) -> None:
        if blocked:
            self._consumer.pause(_BLOCKED)
        else:
            self._consumer.resume(_BLOCKED)

    def _on_answered(self) -> None:
        self._consumer.acknowledge()
        self._settlement.forget(self._ledger.oldest_open)
        if self._sending and not self._publisher.waits_for(NO_DELIVERY):
            self._sending = False
            _fulfil(self._sent)
        self._check_settled()

    def _on_given_up(self, tag: int, reason: str, copy: Copy | None) -> None:
        if tag == NO_DELIVERY:
            self._sending = False
            _refuse(BrokerError(f"outputs of startup cannot be sent: {reason}"), self._sent)
        elif copy is not None:
            _log.error("message %d cannot be put aside: %s", copy.stands_for, reason)
            self._settlement.give_back(tag, copy.stands_for)
        else:
            id = self._consumer.in_hand.find(tag)
            _log.error("outputs of request %s cannot be sent: %s", id, reason)
            if id is None:
                self._consumer.link.restart(f"delivery {tag} is not in the books")
            else:
                self._settlement.fail(tag, id, Failure("failed", "BrokerError", reason))

    def _begin_close(self) -> None:
        self._closing = True
        self._check_settled()

    def _check_settled(self) -> None:
        idle = self._publisher.is_idle and not self._finished
        # What was on its way is handed back; lost with the connection it would be a suspect.
        consumes = self._consumer.subscription.state is not SubscriptionState.IDLE
        if self._closing and idle and not consumes:
            _fulfil(self._settled)

    def _disconnect(self, *, at_once: bool) -> None:
        self._consumer.link.close(at_once=at_once)
        self._publisher.link.close(at_once=at_once)


# The first that settles a future is the one that counts.


def _fulfil(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _refuse(error: BrokerError, *futures: Future[None]) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
