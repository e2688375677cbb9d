from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from slingshot_microservice import cli, hotpath
from slingshot_microservice.cli import bench
from slingshot_microservice.cli.bench_operations import (
    IDS,
    MESSAGES,
    OPERATIONS,
    PIECES,
    HotPath,
    best_nanoseconds,
    twins,
)
from slingshot_microservice.cli.bench_relay import relay

_COMPILED = find_spec("slingshot_microservice.hotpath._compiled") is not None


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_ROUNDS", 1)
    monkeypatch.setattr(bench, "_RELAY_ROUNDS", 1)
    monkeypatch.setattr(bench, "_RELAY_WINDOWS", 2)


def test_every_twin_has_a_column_and_every_operation_a_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["bench"]) == 0

    printed = capsys.readouterr().out
    assert f"active: {hotpath.IMPLEMENTATION} ({hotpath.REASON})" in printed
    number = r" +[\d,]+"
    columns = number * (2 if _COMPILED else 1)
    for name in (*OPERATIONS, "loop-back relay, all of it", "loop-back relay, messages/s"):
        assert re.search(rf"{re.escape(name)}{columns}", printed), name


def test_without_the_extension_it_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "slingshot_microservice.cli.bench_operations.find_spec",
        lambda module: None if module.endswith("._compiled") else object(),
    )
    assert cli.main(["bench"]) == 0
    assert "has no compiled hot path: install a wheel" in capsys.readouterr().out


@pytest.mark.parametrize("twin", twins().values(), ids=list(twins()))
def test_the_stream_that_is_read_holds_the_ids(twin: HotPath) -> None:
    reader = twin.FrameReader(1)
    received = [reader.feed(piece) for piece in PIECES]
    assert [id for one in received for _, id, _ in one.deliveries] == list(IDS)
    assert not any(one.raw or one.other for one in received)


@pytest.mark.parametrize("twin", twins().values(), ids=list(twins()))
def test_every_message_is_read_and_settled(twin: HotPath) -> None:
    assert OPERATIONS["read frames"](twin)() == MESSAGES
    assert OPERATIONS["deliver, publish, confirm, ack"](twin)() == MESSAGES


@pytest.mark.parametrize("twin", twins().values(), ids=list(twins()))
def test_a_relay_comes_to_its_end(twin: HotPath) -> None:
    figures = relay(twin, 3)
    assert figures.rate > 0
    assert figures.nanoseconds > 0


def test_operations_take_turns() -> None:
    turns: list[str] = []
    best_nanoseconds([lambda: turns.append("a"), lambda: turns.append("b")], rounds=2)
    assert turns == ["a", "b", "a", "b"]
