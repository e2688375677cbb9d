"""A process that kills itself with SIGKILL right after a certain step of a certain request.

The parts of the package are wrapped from outside; they know nothing of this. The steps at the
broker are exact with a prefetch of 1 only: then whatever is sent or confirmed is of that request.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from slingshot_microservice.broker.amqp import Link
from slingshot_microservice.broker.publisher import Publisher
from slingshot_microservice.broker.rabbitmq import RabbitMQBroker
from slingshot_microservice.database import DatabaseSession
from slingshot_microservice.files import RequestFiles

from .journal import NO_ID, Journal, JournalWriter

__all__ = ["STEPS", "Deaths"]

STEPS = ("read", "upload", "commit", "publish", "confirm", "before-ack")
"""Where a process can be told to die.

``publish``: the outputs are on the wire. ``confirm``: the confirm has come in, and nothing has
been made of it yet. ``before-ack``: the acknowledgement is the next thing to be sent.
"""


class Deaths:
    """Kills this process when the request that is to bring it about has passed its step.

    Args:
        path: The journal; an id that has brought a death about already does not do so again.
        journal: Where to note a death.
    """

    def __init__(self, path: Path, journal: JournalWriter) -> None:
        self._done = {event.id for event in Journal(path).read() if event.kind == "die"}
        self._journal = journal
        self._request = NO_ID
        self._step = ""
        self._finished = False

    def watch(self) -> None:
        """Wrap the parts of the package that take the steps."""
        _follow(RequestFiles, "upload", lambda *_: self.passed("upload"))
        _follow(DatabaseSession, "commit", lambda *_: self.passed("commit"))
        _precede(RabbitMQBroker, "finish", self._finish)
        _follow(Link, "send", self._sent)
        _precede(Publisher, "on_received", self._answered)
        _precede(Link, "send", self._sends)

    def expect(self, request: int, step: str) -> None:
        """Die when ``request``, which begins now, has passed ``step``; empty means never."""
        self._finished = False
        self._request, self._step = request, "" if request in self._done else step

    def passed(self, step: str) -> None:
        """The step has been taken by the request that is at work."""
        if self._step == step:
            self._journal.write("die", self._request, step)
            os.kill(os.getpid(), signal.SIGKILL)

    def _finish(self, *_: object) -> None:
        self._finished = True

    def _sent(self, link: Any, data: bytes) -> None:
        if self._finished and data and link._purpose == "publishing":
            # pika writes what it was handed in the loop's next round, and then comes to this.
            link._loop.add_callback(lambda: self.passed("publish"))

    def _sends(self, link: Any, data: bytes) -> None:
        if self._finished and data and link._purpose == "consuming":
            self.passed("before-ack")

    def _answered(self, _publisher: object, received: Any) -> None:
        if self._finished and received.confirms:
            self.passed("confirm")


def _follow(kind: type, name: str, then: Callable[..., None]) -> None:
    original = getattr(kind, name)

    @wraps(original)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        result = original(*arguments, **keywords)
        then(*arguments)
        return result

    setattr(kind, name, wrapped)


def _precede(kind: type, name: str, first: Callable[..., None]) -> None:
    original = getattr(kind, name)

    @wraps(original)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        first(*arguments)
        return original(*arguments, **keywords)

    setattr(kind, name, wrapped)
