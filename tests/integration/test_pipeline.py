from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from servers.command_line import Command
from servers.rabbitmq import RabbitMQNode

_IDS = 200

_SERVICES = """
from slingshot_microservice import Microservice

def process(request, read_file, write_file, connection):
    yield request, True

Microservice("first", "not asked", process).start()
Microservice("second", "not asked", process).start()
"""


def test_dev_runs_a_chain_on_a_real_broker(
    tmp_path: Path,
    rabbitmq: RabbitMQNode,
    queue_name: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two, end = (queue_name(stem) for stem in ("one", "two", "end"))
    (tmp_path / "services.py").write_text(_SERVICES)
    (tmp_path / "mq").write_text(rabbitmq.password)
    (tmp_path / "sys-map.toml").write_text(f"""
object-storage = {{ directory = "objects" }}
db = {{ sqlite = "test.sqlite" }}
rabbitmq.host = "{rabbitmq.host}"
rabbitmq.port = {rabbitmq.port}
rabbitmq.username = "{rabbitmq.username}"
rabbitmq.pass = "mq"
services.first = {{ in = "{one}", out = [{{ case = true, queues = ["{two}"] }}] }}
services.second = {{ in = "{two}", out = [{{ case = true, queues = ["{end}"] }}] }}
""")
    monkeypatch.setenv("SLINGSHOT_SECRETS_DIR", str(tmp_path))

    with Command("dev", "services.py", folder=tmp_path) as command:
        command.wait_for_line("running first, second")
        rabbitmq.publish(one, [b"%d" % id for id in range(_IDS)])
        bodies = rabbitmq.drain(end, _IDS)
        command.signal(signal.SIGTERM)
        exit_code = command.wait()

    assert sorted(map(int, bodies)) == list(range(_IDS))
    assert (exit_code, command.errors) == (0, [])
    assert rabbitmq.depth(one) == rabbitmq.depth(two) == 0
