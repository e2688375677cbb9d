"""What rests on names that pika keeps to itself: its byte stream, read and written past it."""

from __future__ import annotations

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

# Two more, which may be missing: then it reads in smaller pieces.
_TRANSPORT, _READ_SIZE = "_transport", "_MAX_RECV_BYTES"


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
        super().__init__(
            parameters,
            on_open_callback=self._note_open,
            on_open_error_callback=self._note_failure,
            on_close_callback=self._note_failure,
            custom_ioloop=loop,
        )

    def _note_open(self, connection: Connection) -> None:
        # pika reads 4 KiB at a time, and each piece is answered: larger ones make fewer answers.
        transport = getattr(self, _TRANSPORT, None)
        if hasattr(transport, _READ_SIZE):
            setattr(transport, _READ_SIZE, _READ_BYTES)
        heartbeat = cast(int, self.params.heartbeat)  # a number by now: both sides have agreed
        self._silence = SilenceWatch(
            self._loop, heartbeat, lambda: int(self.bytes_received), self._give_up
        )
        self._report_open(connection)

    def _note_failure(self, connection: Connection, reason: BaseException) -> None:
        if self._silence is not None:
            self._silence.stop()
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
        """Send whole frames."""
        self._output_marshaled_frames([data])

    def abandon(self, reason: str) -> None:
        """Drop the connection without another word to the broker."""
        self._terminate_stream(StreamLostError(reason))
