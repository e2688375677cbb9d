from __future__ import annotations

import json
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from servers.command_line import Command, StartCommand
from servers.ports import LOOPBACK, wait_for

_EXAMPLE = Path(__file__).parents[3] / "examples" / "shout"
_TEXTS = {1: "the quick brown fox\n", 2: "jumps over\n", 3: "the lazy dog\n"}
_SERVER = 'rabbitmq = { host = "127.0.0.1", port = 1, username = "me", pass = "mq/me" }'


@pytest.fixture(autouse=True)
def example(tmp_path: Path) -> Path:
    """The example in a folder of its own, without what earlier runs of it have left."""
    for name in ("shout.py", "sys-map.toml"):
        shutil.copy(_EXAMPLE / name, tmp_path)
    shutil.copytree(_EXAMPLE / "objects" / "texts", tmp_path / "objects" / "texts")
    return tmp_path


def test_a_burst_works_off_what_was_sent(run_command: StartCommand, example: Path) -> None:
    command = run_command("dev", "shout.py", "--send", "shout=1,2-3", "--burst")

    assert command.wait() == 0
    assert _shouted(example) == {id: text.upper() for id, text in _TEXTS.items()}
    assert _table(command) == {"shout-inbound": ("shout", 0), "shouted": ("-", 3)}
    assert command.errors == []


def test_a_queue_can_be_sent_to_and_waits_if_nobody_consumes_it(run_command: StartCommand) -> None:
    sent = ("--send", "shouted=7", "--send", "shout-inbound=1")
    command = run_command("dev", "shout", *sent, "--burst")

    assert command.wait() == 0
    assert _table(command) == {"shout-inbound": ("shout", 0), "shouted": ("-", 2)}


def test_a_burst_can_be_stopped_and_says_so(start_command: StartCommand, example: Path) -> None:
    command = start_command("dev", "shout.py", "--send", "shout=1,404", "--burst")
    assert "bucket 'texts' has no object 404" in command.wait_for_line("request 404 failed")
    command.signal(signal.SIGTERM)

    assert command.wait() == 1
    assert _table(command)["shout-inbound"] == ("shout", 1)
    assert command.errors[-1] == "stopped before all queues were worked off"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(number: signal.Signals, start_command: StartCommand) -> None:
    command = start_command("dev", "shout.py")
    command.wait_for_line("running shout")
    command.signal(number)

    assert command.wait() == 0
    assert command.errors == []


def test_lines_on_standard_input_send_ids(start_command: StartCommand, example: Path) -> None:
    command = start_command("dev", "shout.py")
    command.wait_for_line("to send ids")
    command.enter("shout x", "", "shot 1", "shout", "shout 1 2-3")
    command.wait_for_line("sent 3 ids to queue shout-inbound")
    wait_for(lambda: len(_shouted(example)) == 3)
    command.end_input()
    command.signal(signal.SIGTERM)

    assert command.wait() == 0
    assert [line.partition(";")[0] for line in command.errors] == [
        "'x' is no id",
        "there is no service or queue 'shot' in the sys-map",
        "'shout' names no ids",
    ]


def test_it_goes_on_without_standard_input(start_command: StartCommand) -> None:
    command = start_command("dev", "shout.py")
    command.end_input()
    url = command.wait_for_line("is served at").split()[-1]
    command.wait_for_line("to send ids")
    assert _get(f"{url}/shout/in") == "texts"
    command.signal(signal.SIGTERM)
    assert command.wait() == 0


def test_the_sys_map_is_served_meanwhile(start_command: StartCommand) -> None:
    command = start_command("dev", "shout.py")
    url = command.wait_for_line("is served at").split()[-1]

    assert json.loads(_get(f"{url}/shout")) == {
        "in": "shout-inbound",
        "out": [{"case": True, "queues": ["shouted"]}],
    }


def test_where_the_sys_map_comes_from(
    run_command: StartCommand, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (example / "sys-map.toml").read_text()
    for name in ("argument", "variable"):
        (example / f"{name}.toml").write_text(text.replace("shouted", f"{name}-end"))
    monkeypatch.setenv("SLINGSHOT_SYS_MAP", "variable.toml")

    from_variable = run_command("dev", "shout.py", "--burst")
    from_argument = run_command("dev", "shout.py", "--burst", "--sys-map", "argument.toml")

    assert "variable-end" in _table(from_variable)
    assert "argument-end" in _table(from_argument)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["absent"], 2, "there is no module absent"),
        (["absent.py"], 2, "cannot load absent.py: there is no such file"),
        (["broken.py"], 2, "cannot load broken.py: SyntaxError: "),
        (["raises.py"], 2, "cannot load raises.py: ValueError: not today"),
        (["wrong.py"], 2, "process of service 'shout' is 5; expected a function"),
        (["json"], 2, "there is no service in json"),
        (["shout", "shout_too"], 2, "2 services are named 'shout'"),
        (["other.py"], 4, 'sys-map.toml:7: there is no service "other"; there are shout'),
        (["shout", "--sys-map", "typo.toml"], 4, 'typo.toml:8: there is no field "inn"'),
        (["shout", "--sys-map", "broken.py"], 4, "broken.py:2: this is not TOML"),
        (["shout", "--sys-map", "."], 4, "the sys-map file cannot be read"),
        (["shout", "--send", "shout=-1"], 2, "'-1' is no id"),
        (["shout", "--send", "shout=18446744073709551616"], 2, "is no id"),
        (["shout", "--send", "1,2"], 2, "expected NAME=IDS"),
        (["shout", "--send", "shot=1"], 2, "did you mean 'shout'"),
        (["shout", "--sys-map", "rabbitmq.toml", "--send", "shout=1"], 2, '--send needs rabbitmq'),
        (["shout", "--sys-map", "rabbitmq.toml", "--burst"], 2, "--burst needs rabbitmq"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    arguments: list[str], exit_code: int, message: str, run_command: StartCommand, example: Path
) -> None:
    _make_mistakes(example)

    command = run_command("dev", *arguments)

    assert command.wait() == exit_code
    (line,) = command.errors
    assert line.startswith("slingshot-microservice: error: ")
    assert message in line


def test_a_port_in_use_is_one_line(run_command: StartCommand, used_port: int) -> None:
    command = run_command("dev", "shout.py", "--port", used_port)

    assert command.wait() == 2
    (line,) = command.errors
    assert f"cannot listen on 127.0.0.1 port {used_port}" in line


def test_without_a_sys_map_there_is_one_to_begin_with(
    run_command: StartCommand, example: Path
) -> None:
    (example / "sys-map.toml").unlink()

    command = run_command("dev", "shout.py")

    assert command.wait() == 4
    line, blank, *sys_map = command.errors
    assert line.startswith("slingshot-microservice: error: there is no sys-map file sys-map.toml")
    assert blank == ""
    (example / "sys-map.toml").write_text("\n".join(sys_map))
    (example / "objects/texts").rename(example / "objects/shout-in")
    again = run_command("dev", "shout.py", "--send", "shout=1-3", "--burst")
    assert again.wait() == 0
    assert _table(again) == {"shout-inbound": ("shout", 0), "shout-outbound": ("-", 3)}


@pytest.fixture
def used_port() -> Iterator[int]:
    """A port of loopback on which somebody else listens."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        yield listener.getsockname()[1]


def _make_mistakes(folder: Path) -> None:
    sys_map = (folder / "sys-map.toml").read_text()
    shout = (folder / "shout.py").read_text()
    files = {
        "broken.py": "x = 1\ndef f(:\n",
        "raises.py": "raise ValueError('not\\ntoday')\n",
        "wrong.py": shout.replace(", process)", ", 5)"),
        "shout_too.py": shout,
        "other.py": shout.replace('Microservice("shout"', 'Microservice("other"'),
        "typo.toml": sys_map.replace('in = "shout-inbound"', 'inn = "shout-inbound"'),
        "rabbitmq.toml": re.sub("^rabbitmq.*", _SERVER, sys_map, flags=re.MULTILINE),
    }
    for name, content in files.items():
        (folder / name).write_text(content)


def _shouted(folder: Path) -> dict[int, str]:
    objects = (folder / "objects" / "shouted-texts").glob("[0-9]*")
    return {int(path.name): path.read_text() for path in objects}


def _table(command: Command) -> dict[str, tuple[str, int]]:
    """Return who consumes each queue, and how many ids are left in it."""
    rows = (re.findall(r"[^\s│|]+", line) for line in command.output)
    return {row[0]: (row[1], int(row[2])) for row in rows if len(row) == 3 and row[2].isdigit()}


def _get(url: str) -> str:
    with urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text
