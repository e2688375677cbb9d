"""``run``: what it refuses before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from servers.command_line import StartCommand
from servers.ports import LOOPBACK

SERVICE = """
from slingshot_microservice import Microservice

service = Microservice("shout", "nowhere.invalid", lambda *_: None, health_port=8081)
"""


def test_a_port_for_probes_in_code_is_nothing_that_a_parent_sees(
    run_command: StartCommand, tmp_path: Path
) -> None:
    (tmp_path / "shout.py").write_text(SERVICE)
    command = run_command("run", tmp_path / "shout.py", "--processes", 2)
    assert command.wait() == 2
    (line,) = (line for line in command.errors if "error:" in line)
    assert "set SLINGSHOT_HEALTH_PORT instead" in line


def test_a_port_for_probes_that_is_taken_is_one_line(
    run_command: StartCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shout.py").write_text(SERVICE)
    monkeypatch.setenv("SLINGSHOT_HEALTH_HOST", LOOPBACK)
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("SLINGSHOT_HEALTH_PORT", str(port))
        command = run_command("run", tmp_path / "shout.py", "--processes", 2)
    assert command.wait() == 2
    (line,) = command.errors
    assert f"error: cannot listen on {LOOPBACK} port {port} for probes" in line
