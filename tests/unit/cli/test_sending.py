from __future__ import annotations

from pathlib import Path

import pytest

from slingshot_microservice.broker.memory import MemoryQueues
from slingshot_microservice.cli.sending import known_queues, parse_ids, parse_line, parse_send
from slingshot_microservice.errors import UsageError
from slingshot_microservice.sysmap.file import FileSystemMap

_LARGEST = 2**64 - 1
_QUEUES = {"shout": "shout-in", "shout-in": "shout-in", "a=b": "a=b"}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("0", [0]),
        ("1,2,5-9", [1, 2, 5, 6, 7, 8, 9]),
        (" 3 1  1 ", [3, 1, 1]),
        ("1, 2", [1, 2]),
        ("007", [7]),
        ("4-4", [4]),
        (f"{_LARGEST - 1}-{_LARGEST}", [_LARGEST - 1, _LARGEST]),
    ],
)
def test_ids(text: str, ids: list[int]) -> None:
    assert [id for run in parse_ids(text) for id in run] == ids


@pytest.mark.parametrize(
    "text",
    ["", "x", "1,", "-1", "+1", "1_000", "1.0", "0x1", "٣", "5-", "9-5", str(_LARGEST + 1)],
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(UsageError, match="is no id; expected a whole number from 0 to 1844674407"):
        parse_ids(text)


@pytest.mark.parametrize("text", [f"0-{_LARGEST}", "1-6000000,1-6000000"])
def test_too_many_ids_for_memory(text: str) -> None:
    with pytest.raises(UsageError, match="more than 10,000,000 ids"):
        parse_ids(text)


@pytest.mark.parametrize("argument", ["shout=1,3-4", "shout-in=1,3-4"])
def test_services_and_queues_can_be_sent_to(argument: str) -> None:
    queues = MemoryQueues()
    request = parse_send(argument, _QUEUES)
    request.send(queues)
    assert queues.bodies("shout-in") == [b"1", b"3", b"4"]
    assert (request.queue, request.count) == ("shout-in", 3)


def test_names_may_hold_an_equals_sign() -> None:
    assert parse_send("a=b=1", _QUEUES).queue == "a=b"


def test_a_line() -> None:
    queues = MemoryQueues()
    parse_line("  shout 1 2 5-6\n", _QUEUES).send(queues)
    assert queues.bodies("shout-in") == [b"1", b"2", b"5", b"6"]


@pytest.mark.parametrize("argument", ["shout", "shout "])
def test_ids_are_not_optional(argument: str) -> None:
    with pytest.raises(UsageError, match=r"'shout ?' names no ids"):
        parse_send(argument, _QUEUES)
    with pytest.raises(UsageError, match="'shout' names no ids"):
        parse_line(argument, _QUEUES)


def test_an_unknown_name_is_met_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'shot' in the sys-map; did you mean 'shout'"):
        parse_send("shot=1", _QUEUES)
    with pytest.raises(UsageError, match="there are shout, shout-in, a=b"):
        parse_send("whisper=1", _QUEUES)


def test_a_service_comes_before_a_queue_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "sys-map.toml"
    path.write_text("""
rabbitmq = "memory"
object-storage = { directory = "objects" }
db = { sqlite = "test.sqlite" }
services.one = { in = "two", out = [{ case = 1, queues = ["end"] }] }
services.two = { in = "one", out = [] }
""")
    assert known_queues(FileSystemMap(path)) == {"one": "two", "two": "one", "end": "end"}
