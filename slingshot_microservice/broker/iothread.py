"""The thread that all connections to RabbitMQ live on, and no others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from .amqp import IOLoop

__all__ = ["IOThread"]

_log = logging.getLogger(__name__)

_END_SECONDS = 5.0


class IOThread:
    """Runs pika's loop until something on it stops the loop.

    Args:
        name: What it is called.
        begin: Called on it before all else.
        mend: Asked on it, with an error that the loop has raised, whether the loop can go on.
        on_death: Called on it with any other error, which is a bug; it is the last that it does.

    Attributes:
        loop: The loop, which nobody else may touch but through `call`.
    """

    def __init__(
        self,
        name: str,
        *,
        begin: Callable[[], None],
        mend: Callable[[ValueError], bool],
        on_death: Callable[[BaseException], None],
    ) -> None:
        self.loop = IOLoop()
        self._begin = begin
        self._mend = mend
        self._on_death = on_death
        self._begun = False  # the thread has an ident a little before it is alive
        # A daemon, so that a peer that never answers cannot keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def has_begun(self) -> bool:
        """Whether it was started."""
        return self._begun

    @property
    def is_alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._begun = True

    def call(self, callback: Callable[[], None]) -> None:
        """Have something called on it as soon as possible. Any thread may do so."""
        # A worker that outlives the drain may come here when nobody listens any more.
        if self._thread.is_alive():
            self.loop.add_callback_threadsafe(callback)

    def end(self) -> None:
        """Wait for the end, which was prepared; if that takes too long, stop the loop.

        One that never began only lets go of its loop.
        """
        if not self.has_begun:
            self.loop.close()
            return
        self._thread.join(_END_SECONDS)
        if self._thread.is_alive():  # the peer does not even answer a close
            self.call(self.loop.stop)
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        try:
            self._begin()
            while not self._run_loop():
                pass
        except BaseException as error:  # noqa: BLE001  # reported: a silent thread is worse
            _log.critical("the I/O thread has died: %r", error, exc_info=True)
            self._on_death(error)
        finally:
            self.loop.close()

    def _run_loop(self) -> bool:
        """Run the loop; return whether that has ended, and is not to be run again."""
        try:
            self.loop.start()
        except ValueError as error:
            if not self._mend(error):
                raise
            return False
        return True
