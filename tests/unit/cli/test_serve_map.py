from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from servers.command_line import StartCommand
from servers.ports import LOOPBACK

_SERVERS = """
rabbitmq = { host = ["mq1", "mq2"], port = 5672, username = "me", pass = "mq/me" }
object-storage = { host = "s3.example.com", "pass:access-key" = "a", "pass:secret-key" = "s" }
db = { host = "pg", port = 5432, username = "you", database = "shop", pass = "db/you" }
"""
_EMBEDDED = """
rabbitmq = "memory"
object-storage = { directory = "objects" }
db = { sqlite = "test.sqlite" }
"""
_SERVICE = """
[services.shout]
in = "shout-inbound"
out = [{ case = true, queues = ["a", "b"] }, { case = 1, queues = [] }]
buckets = { in = "texts" }
"""


@pytest.fixture
def sys_map(tmp_path: Path) -> Path:
    path = tmp_path / "sys-map.toml"
    path.write_text(_SERVERS + _SERVICE)
    return path


def test_it_answers_as_the_configuration_service_would(
    start_command: StartCommand, sys_map: Path
) -> None:
    command = start_command("serve-map", "sys-map.toml", "--port", 0)
    url = command.wait_for_line("serving sys-map.toml at").split()[-1]
    assert command.wait_for_line("try: ") == f"try: curl {url}/shout"

    assert json.loads(_get(f"{url}/shout")) == {
        "in": "shout-inbound",
        "out": [{"case": True, "queues": ["a", "b"]}, {"case": 1, "queues": []}],
    }
    assert _get(f"{url}/shout/in").strip() == "texts"
    assert json.loads(_get(f"{url}/rabbitmq")) == {
        "host": ["mq1", "mq2"],
        "port": [5672],
        "username": ["me"],
        "pass": ["mq/me"],
    }
    assert json.loads(_get(f"{url}/db")) == {
        "host": ["pg"],
        "port": [5432],
        "username": ["you"],
        "database": ["shop"],
        "pass": ["db/you"],
    }
    assert json.loads(_get(f"{url}/object-storage")) == {
        "host": ["s3.example.com"],
        "pass:access-key": ["a"],
        "pass:secret-key": ["s"],
    }
    with pytest.raises(HTTPError) as raised:
        _get(f"{url}/whisper")
    with raised.value:
        assert raised.value.code == 404
    assert command.errors == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(
    number: signal.Signals, start_command: StartCommand, sys_map: Path
) -> None:
    command = start_command("serve-map", sys_map, "--port", 0)
    command.wait_for_line("try: curl")
    command.signal(number)
    assert command.wait() == 0


def test_it_warns_of_what_cannot_be_shared(start_command: StartCommand, sys_map: Path) -> None:
    sys_map.write_text(_EMBEDDED + _SERVICE)
    command = start_command("serve-map", sys_map, "--port", 0)
    assert "rabbitmq, object-storage, db" in command.wait_for_line("warning: ")


def test_a_port_in_use_is_one_line(run_command: StartCommand, sys_map: Path) -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        port = listener.getsockname()[1]
        command = run_command("serve-map", sys_map, "--port", port)
    assert command.wait() == 2
    (line,) = command.errors
    assert f"error: cannot listen on 127.0.0.1 port {port}" in line


def test_a_mistake_in_the_file_is_one_line(run_command: StartCommand, sys_map: Path) -> None:
    sys_map.write_text(_EMBEDDED + _SERVICE.replace("queues", "queue"))
    command = run_command("serve-map", sys_map)
    assert command.wait() == 4
    (line,) = command.errors
    assert f"{sys_map}:8: " in line
    assert '"queue"' in line


def _get(url: str) -> str:
    with urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text
