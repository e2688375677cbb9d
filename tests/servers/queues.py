"""What a test does with queues, through a pika connection of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker

from .ports import listens, wait_for

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

__all__ = ["QueueClient", "counts"]

_WAITS = (100, 200, 500, 1_000, 2_000, 5_000)  # milliseconds, of the tries that tests wait for
_NOT_FOUND = 404
_MAX_PREFETCH = 65_535  # AMQP carries it in 16 bits
_TIMES_NOTHING = 3  # that it has to be said to be believed
_NOTHING_PAUSE_SECONDS = 0.05


class QueueClient:
    """Publishes and takes messages on the broker behind a URL.

    Attributes:
        url: ``amqp://user:password@host:port/vhost``, percent-encoded.
        host: The host name or address.
        port: The TCP port.
        username: The user to log in as.
        password: The user's password.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parameters = pika.URLParameters(url)
        credentials = parameters.credentials
        assert isinstance(credentials, pika.PlainCredentials)
        self.host: str = parameters.host
        self.port: int = parameters.port
        self.username = str(credentials.username)
        self.password = str(credentials.password)

    @contextmanager
    def channel(self) -> Iterator[BlockingChannel]:
        """Open a connection with one channel, and close it in the end."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def answers(self) -> bool:
        """Whether the broker lets us log in now."""
        # pika writes a page of errors to the log for every attempt that fails.
        if not listens(self.host, self.port):
            return False
        try:
            with self.channel():
                return True
        except (AMQPError, OSError):
            return False

    def declare(
        self, queue: str, durable: bool = True, arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Make a queue."""
        with self.channel() as channel:
            channel.queue_declare(queue, durable=durable, arguments=dict(arguments or {}))

    def delete(self, queue: str) -> None:
        """Remove a queue, and those that lie beside it, with what is in them; it need not exist."""
        with self.channel() as channel:
            for name in (queue, f"{queue}.dead", *self.beside(queue)):
                channel.queue_delete(name)

    def publish(self, queue: str, bodies: Iterable[bytes], **properties: Any) -> None:
        """Put messages into a queue; when this returns, they are safe there.

        Args:
            queue: The queue's name; it must exist.
            bodies: One message each.
            properties: Of ``pika.BasicProperties``; the messages are persistent by default.
        """
        make: Callable[..., pika.BasicProperties] = pika.BasicProperties  # it has no annotations
        message = make(**{"delivery_mode": 2, **properties})
        returned: list[bytes] = []
        with self.channel() as channel:
            channel.add_on_return_callback(lambda *event: returned.append(event[-1]))
            channel.tx_select()  # one commit for all is much quicker than a confirm for each
            for body in bodies:
                channel.basic_publish("", queue, body, message, mandatory=True)
            channel.tx_commit()
            channel.connection.process_data_events(0)
        assert not returned, f"RabbitMQ has no queue {queue} for {len(returned)} messages"

    def drain(self, queue: str, count: int, timeout: float = 30.0) -> list[bytes]:
        """Take exactly ``count`` messages out of a queue, which may still have to be made.

        Raises:
            AssertionError: Fewer came in ``timeout`` seconds; the error shows what came. These
                are back in the queue.
        """
        wait_for(lambda: self.exists(queue), timeout, f"queue {queue}")
        bodies: list[bytes] = []
        with self.channel() as channel:
            while len(bodies) < count:
                wanted = min(count - len(bodies), _MAX_PREFETCH)
                came = _take(channel, queue, wanted, timeout)
                bodies += came
                assert len(came) == wanted, (
                    f"{len(bodies)} of {count} messages came from {queue}: {bodies[:20]!r}"
                )
                channel.basic_ack(0, multiple=True)
        return bodies

    def beside(self, queue: str) -> list[str]:
        """Return the names of the queues beside one in which its messages may wait."""
        return [f"{queue}.suspect", *(f"{queue}.retry.{wait}" for wait in _WAITS)]

    def exists(self, queue: str) -> bool:
        """Whether there is such a queue."""
        try:
            with self.channel() as channel:
                channel.queue_declare(queue, passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            return False
        return True

    def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue; those being worked on do not count."""
        with self.channel() as channel:
            return counts(channel, queue)[0]

    def consumers(self, queue: str) -> int:
        """Return how many consumers a queue has."""
        with self.channel() as channel:
            return counts(channel, queue)[1]


def counts(channel: BlockingChannel, queue: str) -> tuple[int, int]:
    """Return how many messages wait in a queue, and how many consumers it has.

    Raises:
        ChannelClosedByBroker: There is no such queue.
    """
    messages = consumers = 0
    # Of a quorum queue that does not say so in a quarter of a second, RabbitMQ answers that it has
    # nothing at all.
    for asked in range(_TIMES_NOTHING):
        if asked:
            channel.connection.sleep(_NOTHING_PAUSE_SECONDS)
        method = channel.queue_declare(queue, passive=True).method
        messages, consumers = method.message_count, method.consumer_count
        if messages or consumers:
            break
    return messages, consumers


def _take(channel: BlockingChannel, queue: str, count: int, timeout: float) -> list[bytes]:
    """Receive up to ``count`` messages without acknowledging any, so that no more are sent."""
    channel.basic_qos(prefetch_count=count)
    bodies: list[bytes] = []
    for _method, _properties, body in channel.consume(queue, inactivity_timeout=timeout):
        if body is None:
            break
        bodies.append(body)
        if len(bodies) == count:
            break
    return bodies
