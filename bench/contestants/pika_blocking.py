"""Plain pika: a `BlockingConnection` with a callback, as in its documentation.

With ``SLINGSHOT_BENCH_PIKA_CONFIRMS=1`` every publish waits for its confirm, which is how this
connection does it; otherwise there are no confirms.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pika

from .job import Job, Meter

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel


def relay(job: Job, *, confirms: bool) -> None:
    """Consume until every id was relayed, and report."""
    connection = pika.BlockingConnection(pika.URLParameters(job.url))
    channel = connection.channel()
    if confirms:
        channel.confirm_delivery()
    channel.basic_qos(prefetch_count=job.prefetch)
    make_properties: Any = pika.BasicProperties  # it has no annotations
    meter, seen = Meter(), 0

    def on_message(channel: BlockingChannel, method: Any, properties: object, body: bytes) -> None:
        nonlocal seen
        if not seen:
            meter.start()
        seen += 1
        persistent = make_properties(delivery_mode=pika.DeliveryMode.Persistent)
        for queue in job.outbound:
            channel.basic_publish("", queue, b"%d" % int(body), persistent, mandatory=True)
        channel.basic_ack(method.delivery_tag)
        if seen == job.count:
            channel.stop_consuming()

    channel.basic_consume(job.inbound, on_message)
    channel.start_consuming()
    meter.report(seen)
    connection.close()


if __name__ == "__main__":
    relay(Job.from_process(), confirms=bool(os.environ.get("SLINGSHOT_BENCH_PIKA_CONFIRMS")))
