from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.command_line import Command, StartCommand


@pytest.fixture
def start_command(tmp_path: Path) -> Iterator[StartCommand]:
    """Starts the command line in the folder ``tmp_path``."""
    commands: list[Command] = []

    def start(*arguments: object) -> Command:
        commands.append(Command(*arguments, folder=tmp_path))
        return commands[-1]

    yield start
    for command in commands:
        command.close()


@pytest.fixture
def run_command(start_command: StartCommand) -> StartCommand:
    """Runs the command line there, without input, to its end."""

    def run(*arguments: object) -> Command:
        command = start_command(*arguments)
        command.end_input()
        command.wait()
        return command

    return run
