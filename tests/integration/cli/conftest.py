from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from servers.parked import ParkedService
from servers.rabbitmq import RabbitMQNode


@pytest.fixture
def shout(
    rabbitmq: RabbitMQNode,
    queue_name: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> ParkedService:
    """A service with both of its queues, which are empty."""
    service = ParkedService(rabbitmq, queue_name("shout"), tmp_path)
    service.declare()
    monkeypatch.setenv("SLINGSHOT_SECRETS_DIR", str(tmp_path))
    return service
