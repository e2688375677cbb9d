"""Our side of pika; beside it only the stream imports it.

pika connects, authenticates, negotiates, keeps the heartbeat and reports what goes wrong. The
byte stream of deliveries, confirms and publishes goes past it, through the hot path.

Everything here runs on the I/O thread, in pika's loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from pika.connection import Connection
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from .._version import __version__
from ..backoff import pauses
from ..errors import BrokerAuthenticationError, BrokerError, BrokerUnavailableError
from ..hotpath import FrameReader, Received
from .protocol import shorten_utf8
from .stream import StreamConnection

if TYPE_CHECKING:
    from pika.adapters.select_connection import _Timeout

__all__ = [
    "Channel",
    "ChannelClosedByBroker",
    "Connection",
    "IOLoop",
    "Link",
    "LinkListener",
    "Server",
    "Timer",
    "describe",
    "read_past_pika",
]

_log = logging.getLogger(__name__)

Timer: TypeAlias = "_Timeout"
_CONNECT_SECONDS = 5  # with TCP, login and all
_ACCESS_REFUSED = 403
_CONNECTION_FORCED = 320
_CLOSE_SECONDS = 5.0  # for RabbitMQ to answer a close
_NOT_ALLOWED = 530  # such as a virtual host that does not exist


@dataclass(frozen=True)
class Server:
    """How to log in, and where.

    Attributes:
        hosts: The nodes of one cluster, tried in turn.
        port: TCP port.
        username: The user to log in as.
        password: In the clear; never part of a ``repr``.
        heartbeat: Seconds; a dead wire is noticed within two of them, from 2 s on.
        reconnect_pause: Seconds before the second attempt; doubles.
        reconnect_pause_limit: Seconds that it grows to.
    """

    hosts: tuple[str, ...]
    port: int
    username: str
    password: str = field(repr=False)
    heartbeat: int
    reconnect_pause: float
    reconnect_pause_limit: float

    def parameters(self, host: str, name: str) -> pika.ConnectionParameters:
        """Return what pika needs to connect to ``host``; every wait of it is bounded."""
        return pika.ConnectionParameters(
            host=host,
            port=self.port,
            virtual_host="/",
            credentials=pika.PlainCredentials(self.username, self.password, erase_on_connect=False),
            # RabbitMQ takes two to three of what it is offered until it misses us.
            heartbeat=max(1, self.heartbeat * 2 // 3),
            blocked_connection_timeout=None,  # an alarm ends when the operator ends it
            socket_timeout=_CONNECT_SECONDS - 1,
            # A node that is mute must not keep us from those that are well.
            stack_timeout=_CONNECT_SECONDS if len(self.hosts) > 1 else 3 * _CONNECT_SECONDS,
            client_properties={
                "product": "slingshot-microservice",
                "version": __version__,
                "connection_name": name,
            },
        )


class LinkListener(Protocol):
    """What a `Link` reports, on the I/O thread."""

    def on_ready(self) -> None:
        """The channel is open, for the first time or again."""
        ...

    def on_lost(self) -> None:
        """A channel that was ready is gone. The link connects again by itself."""
        ...

    def on_received(self, received: Received) -> None:
        """Something came in that is ours to read."""
        ...

    def on_blocked(self) -> None:
        """RabbitMQ reads nothing from this connection for now: it has an alarm."""
        ...

    def on_unblocked(self) -> None:
        """RabbitMQ reads again."""
        ...


class Link:
    """One connection with one channel, made again for as long as it is wanted.

    Args:
        loop: The I/O thread's loop.
        server: Where and as whom.
        name: What the connection is called in RabbitMQ's own listings.
        purpose: What it is for, in a log line.
        listener: Whom to tell.
        on_refused: Called when RabbitMQ refuses what trying again will hardly change.
        on_closed: Called when the connection is gone because `close` asked for it.
    """

    CHANNEL = 1

    def __init__(
        self,
        loop: IOLoop,
        server: Server,
        *,
        name: str,
        purpose: str,
        listener: LinkListener,
        on_refused: Callable[[BrokerError], None],
        on_closed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._server = server
        self._name = name
        self._purpose = purpose
        self._listener = listener
        self._on_refused = on_refused
        self._on_closed = on_closed
        self._connection: StreamConnection | None = None
        self._channel: Channel | None = None
        self._ready = False
        self._ready_since = 0.0
        self._closing = False
        self._attempts = 0
        self._pauses = self._new_pauses()
        self.last_error = "no answer"

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, with or without its channel."""
        return self._connection is not None and self._connection.is_open

    @property
    def is_ready(self) -> bool:
        """Whether the channel is open."""
        return self._ready

    @property
    def trouble(self) -> str | None:
        """What keeps it from being ready, for people; any thread may ask."""
        if self._ready:
            return None
        return f"{self._place}: no connection for {self._purpose}: {self.last_error}"

    @property
    def connection(self) -> Connection:
        """The connection, while the link is ready."""
        assert self._connection is not None
        return self._connection

    @property
    def channel(self) -> Channel:
        """The channel, while the link is ready."""
        assert self._channel is not None
        return self._channel

    def connect(self) -> None:
        """Begin to connect; the listener hears of the rest."""
        if self._closing:
            return
        self._connection = StreamConnection(
            self._server.parameters(self._host, self._name),
            self._loop,
            FrameReader(self.CHANNEL),
            on_open=self._on_connection_open,
            on_failed=self._on_connection_failed,
            on_received=self._on_received,
        )

    def send(self, data: bytes) -> None:
        """Send whole frames, if there are any. Only while the link is ready."""
        if data:
            assert self._connection is not None
            self._connection.send(data)

    def restart(self, reason: str, *, at_once: bool = False) -> None:
        """Give up this connection, for ``reason``, and make a new one.

        Args:
            reason: For the log, here and at RabbitMQ.
            at_once: Do not wait for RabbitMQ, which answers nothing anyway.
        """
        connection = self._connection
        assert connection is not None
        if at_once:
            self._abandon(connection, reason)
        elif not (connection.is_closing or connection.is_closed):
            self.last_error = reason
            connection.close(_CONNECTION_FORCED, shorten_utf8(reason))
            self._loop.call_later(_CLOSE_SECONDS, partial(self._abandon, connection, reason))

    def give_up_connecting(self, error: Exception) -> bool:
        """Make a new connection in place of one that is not open yet; return whether it was so."""
        connection = self._connection
        if connection is None or connection.is_open or connection.is_closed:
            return False
        self._abandon(connection, describe(error))
        return True

    def close(self, *, at_once: bool = False) -> None:
        """Disconnect for good; ``on_closed`` is the end.

        Args:
            at_once: Do not wait for what is still to be sent, nor for the broker's answer.
        """
        self._closing = True
        self._lose()
        connection = self._connection
        if connection is None or connection.is_closed:
            self._loop.add_callback(self._on_closed)
        elif connection.is_open and not at_once:
            connection.close()
        elif at_once or not connection.is_closing:
            # pika cannot close in good order what is still being opened.
            connection.abandon("closed by us")

    @property
    def _host(self) -> str:
        return self._server.hosts[self._attempts % len(self._server.hosts)]

    @property
    def _place(self) -> str:
        return f"RabbitMQ at {self._host}:{self._server.port}"

    def _new_pauses(self) -> Iterator[float]:
        return pauses(self._server.reconnect_pause, self._server.reconnect_pause_limit)

    def _abandon(self, connection: StreamConnection, reason: str) -> None:
        # A broker that waits for another node answers heartbeats, and nothing else.
        if not connection.is_closed:
            connection.abandon(reason)

    def _on_connection_open(self, connection: Connection) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(channel_number=self.CHANNEL, on_open_callback=self._on_channel_open)

    def _on_channel_open(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(self._on_cancelled)
        if self._attempts:
            _log.info("%s: connected again for %s", self._place, self._purpose)
        self._ready = True
        self._ready_since = time.monotonic()
        self._listener.on_ready()

    def _on_received(self, received: Received) -> None:
        # After the first loss of a channel nothing of it counts, even if it still comes in.
        if self._ready:
            self._listener.on_received(received)

    def _on_channel_closed(self, _channel: Channel, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker):
            self._lose()
            self.restart(f"the channel was closed: {describe(reason)}")
            if reason.reply_code == _ACCESS_REFUSED:
                self._on_refused(BrokerError(f"{self._place}: {describe(reason)}"))

    def _on_cancelled(self, _frame: object) -> None:
        self._lose()
        self.restart("the broker cancelled the consumer (was its queue deleted?)")

    def _on_blocked(self, _connection: object, frame: Any) -> None:
        _log.warning("%s blocks publishers: %s", self._place, frame.method.reason)
        self._listener.on_blocked()

    def _on_unblocked(self, _connection: object, _frame: object) -> None:
        _log.info("%s takes messages again", self._place)
        self._listener.on_unblocked()

    def _lose(self) -> None:
        if self._ready:
            self._ready = False
            # A connection that is made and lost in turn must not be made ever faster.
            if time.monotonic() - self._ready_since > self._server.reconnect_pause_limit:
                self._pauses = self._new_pauses()
            self._listener.on_lost()

    def _on_connection_failed(self, _connection: Connection, reason: BaseException) -> None:
        self._lose()
        if self._closing:
            self._on_closed()
            return
        if not isinstance(reason, pika.exceptions.ConnectionClosedByClient):
            self.last_error = describe(reason)
        pause = next(self._pauses)
        _log.warning(
            "%s: no connection for %s: %s; trying again in %.1f s",
            self._place,
            self._purpose,
            self.last_error,
            pause,
        )
        if is_refusal(reason):
            self._on_refused(self.refusal())
        self._attempts += 1
        self._loop.call_later(pause, self.connect)

    def refusal(self) -> BrokerError:
        """Return the error of a user that RabbitMQ does not let in."""
        return BrokerAuthenticationError(
            f"{self._place} refused user {self._server.username!r}: {self.last_error}; "
            "check username and pass of /rabbitmq, and the user's permissions on the vhost /"
        )

    def unavailable(self, seconds: float) -> BrokerError:
        """Return the error of a broker that could not be reached for ``seconds``."""
        return BrokerUnavailableError(
            f"RabbitMQ at {', '.join(self._server.hosts)}, port {self._server.port}, cannot be "
            f"reached: {self.last_error}; gave up after {seconds:.0f} s"
        )


def read_past_pika(*_arguments: object) -> None:
    """Stand in for callbacks that pika asks for and never calls: the reader is before it."""
    raise AssertionError("pika was handed a frame that the frame reader should have taken")


def is_refusal(reason: BaseException) -> bool:
    """Tell whether a connection failed because the user may not come in."""
    if isinstance(reason, ConnectionClosedByBroker):
        return reason.reply_code in (_ACCESS_REFUSED, _NOT_ALLOWED)
    # pika calls any loss while it logs in a probable refusal, and has what it was as text.
    guessed = isinstance(reason, (ProbableAuthenticationError, ProbableAccessDeniedError))
    codes = (f"ConnectionClosedByBroker: ({code})" for code in (_ACCESS_REFUSED, _NOT_ALLOWED))
    return guessed and any(code in str(reason.args) for code in codes)


def describe(reason: BaseException) -> str:
    """Say in a few words what pika means."""
    if isinstance(reason, (ConnectionClosedByBroker, ChannelClosedByBroker)):
        return f"{reason.reply_code} {reason.reply_text}"
    # pika wraps what went wrong: a list of one attempt an address, each with its own cause.
    attempts = getattr(reason, "exceptions", None) or [getattr(reason, "exception", None)]
    cause = attempts[-1] or (reason.args[-1] if reason.args else None)
    if isinstance(cause, Exception):
        return describe(cause)
    if isinstance(reason, AMQPError) and isinstance(cause, str):
        return cause
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
