from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from servers.command_line import StartCommand

from slingshot_microservice import __version__, cli, errors
from slingshot_microservice.cli import dev, main

_COMMANDS = ("run", "dev", "serve-map", "demo", "bench", "dead")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"slingshot-microservice {__version__}\n"


def test_the_installed_program_is_the_module(run_command: StartCommand) -> None:
    program = Path(sys.executable).with_name("slingshot-microservice")
    installed = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)

    module = run_command("--help")

    assert module.output == installed.stdout.splitlines()
    assert all(any(command in line for line in module.output) for command in _COMMANDS)


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"  slingshot-microservice {command}" in capsys.readouterr().out.split("example")[1]


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
from slingshot_microservice.cli import main
try:
    main(["dev", "--help"])
except SystemExit:
    heavy = {"boto3", "obstore", "pika", "psycopg2", "requests", "rich", "sqlalchemy"}
    heavy &= set(sys.modules)
    sys.exit(" ".join(heavy) or 0)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND; see slingshot-microservice --help"),
        (["fly"], "invalid choice: 'fly'"),
        (["dev"], "required: MODULE; see slingshot-microservice dev --help"),
        (["dev", "x", "--fly"], "unrecognized arguments: --fly"),
        (["dev", "x", "--port", "65536"], "'65536' is no port"),
        (["serve-map", "x", "--port", "-1"], "'-1' is no port"),
        (["demo", "--files", "0"], "--files is 0"),
        (["run"], "required: MODULE[:NAME]; see slingshot-microservice run --help"),
        (["run", "x", "--processes", "0"], "'0' is no number from 1 on"),
        (["run", "x", "--prefetch", "some"], "'some' is no number from 1 on"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("slingshot-microservice: error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (errors.SlingshotError("of two\nlines"), 1),
        (errors.UsageError("of two\nlines"), 2),
        (errors.BrokerError("of two\nlines"), 3),
        (errors.ConfigurationError("of two\nlines", source=""), 4),
        (errors.DatabaseError("of two\nlines"), 5),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    error: errors.SlingshotError,
    exit_code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _have_dev_raise(monkeypatch, error)
    assert main(["dev", "module"]) == exit_code
    assert capsys.readouterr() == ("", "slingshot-microservice: error: of two lines\n")


def test_an_interrupt_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _have_dev_raise(monkeypatch, KeyboardInterrupt())
    assert main(["dev", "module"]) == 130
    assert capsys.readouterr() == ("", "")


def test_every_command_has_a_file_of_its_own() -> None:
    modules = {command.__name__ for command in cli._COMMANDS}
    assert modules == {f"{cli.__name__}.{name.replace('-', '_')}" for name in _COMMANDS}


def _have_dev_raise(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(arguments: object) -> int:
        raise error

    monkeypatch.setattr(dev, "run", run)
