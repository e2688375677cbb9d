"""Dramatiq, for its own command line: an actor that sends to another actor's queue, with confirms.

A message is acknowledged when the actor has returned, so when what it has sent is confirmed.
"""

from __future__ import annotations

import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from .keeping import Keeper
from .work import Assignment, burn

_assignment = Assignment.from_environment()
_keeper = Keeper(_assignment) if _assignment.work == "files" else None

dramatiq.set_broker(RabbitmqBroker(url=_assignment.url, confirm_delivery=True))


@dramatiq.actor(queue_name=_assignment.outbound)
def arrive(id: int) -> None:
    """Stand for the next service, which does not run here."""


@dramatiq.actor(queue_name=_assignment.inbound)
def relay(id: int) -> None:
    """Do the work of an id, and send it on."""
    if _keeper is not None:
        _keeper.keep(id)
    elif _assignment.work == "cpu":
        burn(_assignment.seconds)
    else:
        time.sleep(_assignment.seconds)
    arrive.send(id)
