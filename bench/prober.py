"""``python -m bench.prober``: sends one id at a time, and measures when its output is here.

Plain pika, the same for everybody whose latency is measured. It reads what to do from standard
input, a line of JSON, and prints the seconds that each id took, a list for every block.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pika

from .contestants.job import URL_VARIABLE

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

__all__: list[str] = []

_FIRST_SECONDS = 60.0  # in which a service must have started
_ID_SECONDS = 10.0


class Prober:
    """One client, with one channel, that knows when its last id came back.

    Args:
        url: The broker's.
        pause: Seconds of rest before each id, so that what follows the one before it is over.
    """

    def __init__(self, url: str, pause: float) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        make_properties: Any = pika.BasicProperties  # it has no annotations
        self._persistent = make_properties(delivery_mode=pika.DeliveryMode.Persistent)
        self._pause = pause
        self._arrived: tuple[bytes, float] = b"", 0.0

    def listen(self, queue: str) -> None:
        """Take what comes out of a queue."""
        self._channel.basic_consume(queue, self._on_message, auto_ack=True)

    def probe(self, queue: str, id: int, patience: float = _ID_SECONDS) -> float:
        """Send an id to a queue, and return after how many seconds it came out of another.

        Raises:
            TimeoutError: It did not.
        """
        body = b"%d" % id
        time.sleep(self._pause)
        sent = time.perf_counter()
        self._channel.basic_publish("", queue, body, self._persistent)
        while self._arrived[0] != body:
            if time.perf_counter() - sent > patience:
                raise TimeoutError(f"id {id} of queue {queue} did not come back")
            self._connection.process_data_events(1.0)
        return self._arrived[1] - sent

    def _on_message(
        self, channel: BlockingChannel, method: object, properties: object, body: bytes
    ) -> None:
        self._arrived = body, time.perf_counter()


def main() -> None:
    """Probe every pair of queues, in turn, as standard input says."""
    task = json.loads(sys.stdin.readline())
    pairs: list[tuple[str, str]] = task["pairs"]
    prober = Prober(os.environ[URL_VARIABLE], task["pause"])
    id = 0
    for inbound, outbound in pairs:
        prober.listen(outbound)
        for number in range(task["trial"]):
            id += 1
            prober.probe(inbound, id, _ID_SECONDS if number else _FIRST_SECONDS)
    gc.disable()
    blocks: list[list[list[float]]] = [[] for _ in pairs]
    for number in range(task["rounds"]):
        # Each begins a round in turn, so that nobody always comes after the same one.
        for place in range(len(pairs)):
            pair = (place + number) % len(pairs)
            taken = []
            for _ in range(task["ids"]):
                id += 1
                taken.append(prober.probe(pairs[pair][0], id))
            blocks[pair].append(taken)
    print(json.dumps(blocks))


if __name__ == "__main__":
    main()
