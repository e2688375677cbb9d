"""Celery: a task that calls another queue's task, with confirms, acknowledged late.

Set up as its guide on optimizing says for many short tasks: a high prefetch, no results; and with
the solo pool, which is the cheapest there is for one service in one process.
"""

from __future__ import annotations

import signal
from typing import Any

import celery
import celery.signals
import kombu.entity

from .job import Job, Meter

# They have no annotations.
_Celery: Any = celery.Celery
_Queue: Any = kombu.entity.Queue
_signals: Any = celery.signals

_WORKER = (
    "worker --pool solo --loglevel ERROR --without-gossip --without-mingle --without-heartbeat"
)


def application(job: Job) -> Any:
    """Return a Celery application for the job's queues."""
    app = _Celery("relay", broker=job.url)
    app.conf.update(
        broker_transport_options={"confirm_publish": True},
        broker_connection_retry_on_startup=True,
        task_acks_late=True,
        task_create_missing_queues=False,
        task_default_queue=job.inbound,
        task_ignore_result=True,
        task_queues=[_Queue(name, durable=True) for name in (job.inbound, *job.outbound)],
        worker_prefetch_multiplier=job.prefetch,
        worker_redirect_stdouts=False,
    )
    return app


def main(job: Job) -> None:
    """Relay until every id was relayed, and report; or fill the queue."""
    app = application(job)

    @app.task(name="arrive")  # type: ignore[untyped-decorator]
    def arrive(id: int) -> None:
        """Stand for the next service, which does not run here."""

    @app.task(name="relay")  # type: ignore[untyped-decorator]
    def relay(id: int) -> None:
        for queue in job.outbound:
            arrive.apply_async((id,), queue=queue)

    if job.fill:
        for id in range(job.count):
            relay.delay(100_000_000 + id)
        return
    _measure(job)
    app.worker_main([*_WORKER.split(), "--queues", job.inbound])


def _measure(job: Job) -> None:
    meter, taken, settled = Meter(), 0, 0

    def on_begin(**_: object) -> None:
        nonlocal taken
        if not taken:
            meter.start()
        taken += 1

    def on_end(**_: object) -> None:
        nonlocal settled
        settled += 1
        if settled == job.count:
            meter.report(settled)
            signal.raise_signal(signal.SIGTERM)  # finish what runs, and end

    _signals.task_prerun.connect(on_begin, weak=False)
    _signals.task_postrun.connect(on_end, weak=False)


if __name__ == "__main__":
    main(Job.from_process())
