"""FastStream on uvloop: a subscriber whose result a publisher sends on, as in its documentation.

Confirms are its default. A message is acknowledged when the handler has returned and its result
is published.
"""

from __future__ import annotations

import asyncio
import logging

import uvloop
from faststream import BaseMiddleware, FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from .job import Job, Meter


def application(job: Job) -> FastStream:
    """Return an application that relays until every id was relayed, and reports."""
    broker = RabbitBroker(
        job.url, default_channel=Channel(prefetch_count=job.prefetch), log_level=logging.DEBUG
    )
    app = FastStream(broker)
    meter, taken, settled = Meter(), 0, 0

    class Settled(BaseMiddleware):
        async def after_processed(self, *error: object) -> bool | None:
            nonlocal settled
            settled += 1
            if settled == job.count:
                meter.report(settled)
                app.exit()
            return await super().after_processed(*error)  # type: ignore[arg-type]

    broker.add_middleware(Settled)

    async def relay(id: int) -> int:
        nonlocal taken
        if not taken:
            meter.start()
        taken += 1
        return id

    for queue in job.outbound:
        relay = broker.publisher(RabbitQueue(queue, durable=True), persist=True)(relay)
    broker.subscriber(RabbitQueue(job.inbound, durable=True))(relay)
    return app


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(application(Job.from_process()).run(log_level=logging.ERROR))
