"""aiormq on uvloop: its own example of a consumer, with confirms (its default).

Callbacks run as tasks of their own, as many at a time as the prefetch allows.
"""

from __future__ import annotations

import asyncio
from functools import partial

import aiormq
import uvloop
from aiormq.abc import AbstractChannel, DeliveredMessage

from .job import Job, Meter


class _Relay:
    def __init__(self, job: Job, channel: AbstractChannel) -> None:
        self._job = job
        self._channel = channel
        self._publish = partial(
            channel.basic_publish,
            properties=aiormq.spec.Basic.Properties(delivery_mode=2),
            mandatory=True,
        )
        self._taken = self._settled = 0
        self._meter = Meter()
        self.done = asyncio.Event()

    async def on_message(self, message: DeliveredMessage) -> None:
        """Send one id on, and acknowledge it."""
        if not self._taken:
            self._meter.start()
        self._taken += 1
        body = b"%d" % int(message.body)
        for queue in self._job.outbound:
            await self._publish(body, routing_key=queue)
        assert message.delivery_tag is not None
        await self._channel.basic_ack(message.delivery_tag)
        self._settled += 1
        if self._settled == self._job.count:
            self._meter.report(self._settled)
            self.done.set()


async def relay(job: Job) -> None:
    """Consume until every id was relayed, and report."""
    connection = await aiormq.connect(job.url)
    channel = await connection.channel()
    await channel.basic_qos(prefetch_count=job.prefetch)
    consumer = _Relay(job, channel)
    await channel.basic_consume(job.inbound, consumer.on_message)
    await consumer.done.wait()
    await connection.close()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(relay(Job.from_process()))
