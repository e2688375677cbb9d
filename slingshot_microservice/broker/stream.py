"""What rests on names that pika keeps to itself: its byte stream, read and written past it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import cast

import pika
from pika.adapters.select_connection import IOLoop
from pika.connection import Connection
from pika.exceptions import StreamLostError

from ..errors import BrokerError
from ..hotpath import FrameError, FrameReader, Received
from .silence import SilenceWatch

__all__ = ["PRIVATE_NAMES", "SUPPORTED_PIKA", "StreamConnection"]

SUPPORTED_PIKA = ">=1.3,<1.5"
"""The versions of pika whose private names are known to fit; pyproject.toml says the same."""

PRIVATE_NAMES = ("_on_data_available", "_output_marshaled_frames", "_terminate_stream")
"""All of pika's own names that the package rests on."""

# Some more, which may be missing: then it reads in smaller pieces, and sends when the loop lets it.
_TRANSPORT, _SOCKET = "_transport", "_sock"
_READ_SIZE, _READ_LIMIT = "_MAX_RECV_BYTES", "_MAX_CONSUME_BYTES"

_READ_BYTES = 65_536


def _check_pika() -> None:
    """Raise `BrokerError` unless pika has what `StreamConnection` rests on."""
    for name in PRIVATE_NAMES:
        if not hasattr(pika.SelectConnection, name):
            raise BrokerError(
                f"pika {pika.__version__} is installed and has no SelectConnection.{name}; "
                f"supported is pika {SUPPORTED_PIKA}: pip install 'pika{SUPPORTED_PIKA}'"
            )


# Here, because a method that pika no longer calls would not fail: nothing would ever come in.
_check_pika()


class StreamConnection(pika.SelectConnection):
    """A pika connection whose stream is read and written past pika.

    All `PRIVATE_NAMES` are used in here and nowhere else.

    Args:
        parameters: Where and as whom to connect.
        loop: The I/O thread's loop.
        reader: Reads what comes in.
        on_open: Called when the connection is open.
        on_failed: Called with the reason when it cannot be opened, or is gone.
        on_received: Called with what is ours to read. A `FrameError` of it ends the connection.
    """

    def __init__(
        self,
        parameters: pika.ConnectionParameters,
        loop: IOLoop,
        reader: FrameReader,
        *,
        on_open: Callable[[Connection], None],
        on_failed: Callable[[Connection, BaseException], None],
        on_received: Callable[[Received], None],
    ) -> None:
        self._loop = loop
        self._reader = reader
        self._report_open = on_open
        self._report_failure = on_failed
        self._on_received = on_received
        self._silence: SilenceWatch | None = None
        self._socket: socket.socket | None = None  # where it may be written to past pika
        self._unsent_bytes: Callable[[], int] = int
        super().__init__(
            parameters,
            on_open_callback=self._note_open,
            on_open_error_callback=self._note_failure,
            on_close_callback=self._note_failure,
            custom_ioloop=loop,
        )

    def _note_open(self, connection: Connection) -> None:
        self._tune(getattr(self, _TRANSPORT, None))
        heartbeat = cast(int, self.params.heartbeat)  # a number by now: both sides have agreed
        self._silence = SilenceWatch(
            self._loop, heartbeat, lambda: int(self.bytes_received), self._give_up
        )
        self._report_open(connection)

    def _tune(self, transport: object) -> None:
        # pika reads 4 KiB at a time, and each piece is answered: larger ones make fewer answers.
        # After each it would read again, mostly in vain: the loop says when there is more.
        for name, size in ((_READ_SIZE, _READ_BYTES), (_READ_LIMIT, 1)):
            if hasattr(transport, name):
                setattr(transport, name, size)
        plain = getattr(transport, _SOCKET, None)
        unsent_bytes = getattr(transport, "get_write_buffer_size", None)
        if type(plain) is socket.socket and unsent_bytes is not None:  # and no TLS
            self._socket, self._unsent_bytes = plain, unsent_bytes

    def _note_failure(self, connection: Connection, reason: BaseException) -> None:
        if self._silence is not None:
            self._silence.stop()
        self._socket = None
        self._report_failure(connection, reason)

    def _give_up(self) -> None:
        self.abandon("nothing came in for one and a half heartbeats")

    def _on_data_available(self, data_in: bytes) -> None:
        try:
            received = self._reader.feed(data_in)
            # pika's heartbeat goes by this count, and adds what it is handed below by itself.
            self.bytes_received += len(data_in) - len(received.other)
            self._on_received(received)
        except FrameError as error:
            self._terminate_stream(StreamLostError(f"what came in is not AMQP: {error}"))
            return
        if received.other:
            super()._on_data_available(received.other)

    def send(self, data: bytes) -> None:
        """Send whole frames: at once what the socket takes, and the rest when it takes more."""
        sent = self._send_at_once(data)
        if sent < len(data):
            self._output_marshaled_frames([data[sent:]])

    def _send_at_once(self, data: bytes) -> int:
        """Send what the socket takes now; return how many bytes that are.

        pika would do so in the next round of its loop, and have the system say first that it may.
        """
        if self._socket is None or self._unsent_bytes():
            return 0
        try:
            sent = self._socket.send(data)
        except OSError:  # it is full, or broken: pika finds out by itself
            return 0
        self.bytes_sent += sent
        return sent

    def abandon(self, reason: str) -> None:
        """Drop the connection without another word to the broker."""
        self._terminate_stream(StreamLostError(reason))
