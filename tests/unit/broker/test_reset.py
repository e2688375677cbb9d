"""A peer that resets every connection as soon as it is made."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from slingshot_microservice.broker.amqp import Server
from slingshot_microservice.broker.rabbitmq import RabbitMQBroker
from slingshot_microservice.broker.requeue import RequeuePauses
from slingshot_microservice.errors import BrokerUnavailableError

SECONDS = 3.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ResettingPeer:
    """Accepts, and resets at once."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.resets = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            connection.close()
            self.resets += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def peer() -> Iterator[ResettingPeer]:
    peer = ResettingPeer()
    yield peer
    peer.close()


def test_is_tried_again_and_again(peer: ResettingPeer) -> None:
    failures: list[BaseException] = []
    broker = RabbitMQBroker(
        Server(("127.0.0.1",), peer.port, "user", "secret", 15, 0.005, 0.005),
        service="shout",
        inbound="in",
        outbound=[],
        prefetch=1,
        workers=1,
        open_timeout=SECONDS,
        policy=None,
        pauses=RequeuePauses(1, 1),
        confirm_timeout=60,
        consumer_timeout=1_800,
        on_failure=failures.append,
    )
    with pytest.raises(BrokerUnavailableError, match="cannot be reached"):
        broker.open()
    broker.close(0)
    assert not failures, "it goes on for ever"
    assert peer.resets > 2
