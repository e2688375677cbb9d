"""Dramatiq: an actor that sends to another actor's queue, with confirms.

The worker is what its command line runs in each of its processes, with its default of 8 threads.
"""

from __future__ import annotations

import threading

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from .job import Job, Meter


class _Settled(dramatiq.Middleware):
    """Notes when messages have been acknowledged."""

    def __init__(self, job: Job) -> None:
        self._count = job.count
        self._lock = threading.Lock()
        self._taken = self._settled = 0
        self._meter = Meter()
        self.done = threading.Event()

    def before_process_message(
        self, broker: dramatiq.Broker, message: dramatiq.MessageProxy
    ) -> None:
        with self._lock:
            if not self._taken:
                self._meter.start()
            self._taken += 1

    def after_ack(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        with self._lock:
            self._settled += 1
            if self._settled == self._count:
                self._meter.report(self._settled)
                self.done.set()


def main(job: Job) -> None:
    """Relay until every id was relayed, and report; or fill the queue."""
    settled = _Settled(job)
    broker = RabbitmqBroker(url=job.url, confirm_delivery=True)
    broker.add_middleware(settled)
    dramatiq.set_broker(broker)

    @dramatiq.actor(queue_name=job.inbound)
    def relay(id: int) -> None:
        for target in targets:
            target.send(id)

    def arrive(id: int) -> None:
        """Stand for the next service, which does not run here."""

    targets = [
        dramatiq.actor(actor_name=f"arrive-{queue}", queue_name=queue)(arrive)
        for queue in job.outbound
    ]
    if job.fill:
        for id in range(job.count):
            relay.send(100_000_000 + id)
        return
    worker = dramatiq.Worker(broker, queues={job.inbound})
    worker.start()
    settled.done.wait()
    worker.stop()


if __name__ == "__main__":
    main(Job.from_process())
