"""``slingshot-microservice dead`` on a real broker, as a program of its own."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import pytest
from servers.command_line import PROGRAM, Command
from servers.parked import ParkedService
from servers.terminal import TerminalCommand

_COLUMNS = ("reason", "runs", "first", "last", "service", "error")
_HARMFUL = (b"", b"\x00", b"18446744073709551616", b"\xff\xfe\x80", b"\x1b[2J", b"9" * 100_000)


def _ids(command: Command) -> list[str]:
    return [json.loads(line)["id"] for line in command.output]


def test_list_is_a_table_and_leaves_everything_in_its_place(shout: ParkedService) -> None:
    shout.park(b"18446744073709551615")
    shout.park(*_HARMFUL, headers={"slingshot-reason": "malformed-id"})

    command = shout.run("list", "shout")

    assert (command.wait(), command.errors) == (0, [])
    header, first, second, third, *_, last = command.output
    assert header.split() == ["id", "or", "body", *_COLUMNS]
    assert first.split() == [
        "@1",
        "18446744073709551615",
        "failed",
        "5",
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:23:20Z",
        "shout",
        *("ValueError:", "the", "text", "is", "empty"),
    ]
    assert second.split()[:3] == ["@2", "b''", "malformed-id"]
    assert third.split()[:3] == ["@3", r"b'\x00'", "malformed-id"]
    assert last == f"7 of 7 messages parked in '{shout.dead}' listed"
    assert shout.bodies(shout.dead) == [b"18446744073709551615", *_HARMFUL]


def test_a_long_list_has_its_header_once_and_is_in_line(shout: ParkedService) -> None:
    shout.park(*(b"%d" % id for id in range(350)))
    command = shout.run("list", "shout")
    header, *rows, _summary = command.output
    assert [row.split()[1] for row in rows] == [str(id) for id in range(350)]
    assert {row.index("failed") for row in rows} == {header.index("reason")}


def test_list_as_json_has_every_byte(shout: ParkedService) -> None:
    shout.park(b"18446744073709551615", *_HARMFUL)

    command = shout.run("list", "shout", "--json")

    objects = [json.loads(line) for line in command.output]
    assert [base64.b64decode(one["body"]) for one in objects] == shout.bodies(shout.dead)
    assert [one["position"] for one in objects] == list(range(1, 8))
    assert {name: objects[0][name] for name in objects[0] if name != "body"} == {
        "position": 1,
        "id": "18446744073709551615",
        "reason": "failed",
        "error_type": "ValueError",
        "error": "the text is empty",
        "traceback": "Traceback (most recent call last):\n  here\nValueError: empty",
        "attempts": 5,
        "deaths": None,
        "first_time": "2023-11-14T22:13:20Z",
        "last_time": "2023-11-14T22:23:20Z",
        "service": "shout",
        "host": "worker-7",
        "version": "1.2.3",
    }
    assert objects[2]["id"] is None


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--reason", "failed"], ["1", "4"]),
        (["--reason", "rejected,worker-died"], ["2", "3"]),
        (["--reason", "unknown"], ["5", "6"]),
        (["--id", 4, "--id", 2, "--id", 77], ["2", "4"]),
        (["--limit", 2], ["1", "2"]),
        (["--reason", "failed,rejected", "--id", 4, "--id", 3], ["4"]),
        (["--reason", "failed", "--limit", 1], ["1"]),
    ],
)
def test_filters(filters: list[object], ids: list[str], shout: ParkedService) -> None:
    reasons = ("failed", "rejected", "worker-died", "failed", "of the future", 17)
    for id, reason in enumerate(reasons, 1):
        shout.park(b"%d" % id, headers={"slingshot-reason": reason})

    assert _ids(shout.run("list", "shout", "--json", *filters)) == ids
    replayed = shout.run("replay", "shout", *filters)

    assert replayed.output == [f"{len(ids)} of 6 messages parked in '{shout.dead}' replayed"]
    assert shout.bodies(shout.inbound) == [id.encode() for id in ids]
    left = [b"%d" % id for id in range(1, 7) if str(id) not in ids]
    assert shout.bodies(shout.dead) == left


@pytest.mark.parametrize("action", ["list", "replay", "drop --yes"])
def test_nothing_parked_is_no_error(action: str, shout: ParkedService) -> None:
    name, *options = action.split()
    for _ in ("an empty queue", "no queue"):
        command = shout.run(name, "shout", *options)
        assert (command.wait(), command.errors) == (0, [])
        assert command.output == [f"nothing is parked in '{shout.dead}'"]
        shout.remove(shout.dead)
    assert not shout.rabbitmq.exists(shout.dead)
    assert shout.run("list", "shout", "--json").output == []


def test_show_says_all_that_is_known(shout: ParkedService) -> None:
    shout.park(b"7")
    shout.park(b"8", headers={"their-own": "header"}, content_type="text/plain")
    shout.park(b"7", headers={"slingshot-error": "the second"})

    eight = shout.run("show", "shout", 8)
    assert eight.wait() == 0
    text = "\n".join(eight.output)
    for part in (
        f"@2 of {shout.dead}\n",
        "  id          8\n",
        "  reason      failed\n",
        "  error type  ValueError\n",
        "  attempts    5\n",
        "  deaths      -\n",
        "  first time  2023-11-14T22:13:20Z\n",
        "  host        worker-7\n",
        "  content_type = text/plain\n",
        "  header their-own = header\n",
        "  body, 1 bytes:\n    00000000  38 ",
        "  traceback:\n    Traceback (most recent call last):\n      here\n    ValueError: empty",
    ):
        assert part in f"{text}\n"

    both = shout.run("show", "shout", 7)
    heads = [line for line in both.output if line.startswith("@")]
    assert heads == [f"@1 of {shout.dead}", f"@3 of {shout.dead}"]
    assert shout.bodies(shout.dead) == [b"7", b"8", b"7"]


def test_show_finds_by_position_what_has_no_id(shout: ParkedService) -> None:
    shout.park(b"1", b"\x00\x1b[2J\xff" + b"x" * 2000)
    command = shout.run("show", "shout", "@2")
    body = command.output.index("  body, 2,006 bytes:")
    line = "    00000000  00 1b 5b 32 4a ff 78 78 78 78 78 78 78 78 78 78  ..[2J.xxxxxxxxxx"
    assert command.output[body + 1] == line
    assert "982 more" in "\n".join(command.output)


@pytest.mark.parametrize("which", [8, "@2"])
def test_show_of_what_is_not_there(which: object, shout: ParkedService) -> None:
    shout.park(b"1")
    command = shout.run("show", "shout", which)
    assert command.wait() == 1
    (line,) = command.errors
    assert f"among the 1 in '{shout.dead}'" in line


def test_what_is_parked_cannot_write_to_the_terminal(shout: ParkedService) -> None:
    evil = "\x1b]0;owned\x07\nnot a row \u202e"
    headers = {name: evil for name in ("slingshot-error", "slingshot-service", "slingshot-host")}
    headers |= {"slingshot-traceback": evil, "slingshot-error-type": evil, "theirs": evil}
    shout.park(b"\x1b[2J", headers=headers)
    for arguments in (["list", "shout"], ["show", "shout", "@1"], ["list", "shout", "--json"]):
        text = "\n".join(shout.run(*arguments).output)
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        assert r"\x1b]0;owned" in text or r"\u001b]0;owned" in text


def test_a_replayed_message_is_what_it_was(shout: ParkedService) -> None:
    shout.park(
        b"5",
        headers={
            "theirs": "kept",
            "count": 2**40,
            "x-death": [{"count": 3, "queue": "q"}],
            "x-first-death-queue": "q",
            "x-last-death-queue": "q",
            "CC": ["elsewhere"],
            "BCC": ["elsewhere"],
        },
        content_type="text/plain",
        message_id="m-1",
        priority=3,
        delivery_mode=1,
    )

    command = shout.run("replay", "shout")

    assert (command.wait(), command.errors) == (0, [])
    (stored,) = shout.stored(shout.inbound)
    properties = {k: v for k, v in vars(stored.properties).items() if v is not None}
    assert stored.body == b"5"
    assert properties == {
        "headers": {"theirs": "kept", "count": 2**40},
        "content_type": "text/plain",
        "message_id": "m-1",
        "priority": 3,
        "delivery_mode": 2,
    }
    assert shout.bodies(shout.dead) == []


def test_a_replayed_bare_message_has_no_headers(shout: ParkedService) -> None:
    shout.park(*_HARMFUL)
    assert shout.run("replay", "shout").wait() == 0
    assert [stored.properties.headers for stored in shout.stored(shout.inbound)] == [None] * 6
    assert shout.bodies(shout.inbound) == list(_HARMFUL)


@pytest.mark.parametrize("action", ["replay", "drop"])
def test_a_dry_run_says_what_would_be_done(action: str, shout: ParkedService) -> None:
    shout.park(b"1", b"2")
    shout.park(b"3", headers={"slingshot-reason": "rejected"})
    command = shout.run(action, "shout", "--dry-run")
    done = "dropped" if action == "drop" else f"replayed to '{shout.inbound}'"
    assert command.output == [
        f"3 of 3 messages parked in '{shout.dead}' would be {done}: 2 failed, 1 rejected"
    ]
    assert shout.bodies(shout.dead) == [b"1", b"2", b"3"]
    assert shout.bodies(shout.inbound) == []


def test_nothing_is_replayed_to_a_queue_that_is_not_there(shout: ParkedService) -> None:
    shout.park(*(b"%d" % id for id in range(30)))
    shout.remove(shout.inbound)
    command = shout.run("replay", "shout")
    assert command.wait() == 3
    (line,) = command.errors
    assert (
        f"queue '{shout.inbound}' took no message (NO_ROUTE); if it does not exist, start" in line
    )
    assert "0 messages were replayed before; all others stay parked" in line
    assert shout.bodies(shout.dead) == [b"%d" % id for id in range(30)]


def test_what_a_full_queue_refuses_stays_parked(shout: ParkedService) -> None:
    shout.remove(shout.inbound)
    full = {"x-max-length": 5, "x-overflow": "reject-publish"}
    shout.rabbitmq.declare(shout.inbound, arguments=full)
    shout.park(*(b"%d" % id for id in range(40)))

    command = shout.run("replay", "shout")

    assert command.wait() == 3
    assert "is their queue full?" in command.errors[0]
    sent, kept = shout.bodies(shout.inbound), shout.bodies(shout.dead)
    assert len(sent) >= 5
    assert [*sent, *kept] == [b"%d" % id for id in range(40)]
    assert f"{len(sent)} messages were replayed before" in command.errors[0]


def test_drop_removes_what_is_meant(shout: ParkedService) -> None:
    shout.park(b"1", b"2", b"1", b"3")
    command = shout.run("drop", "shout", "--id", 1, "--yes")
    assert command.output == [f"2 of 4 messages parked in '{shout.dead}' dropped"]
    assert shout.bodies(shout.dead) == [b"2", b"3"]


def test_drop_asks_nobody_on_a_pipe(shout: ParkedService) -> None:
    shout.park(b"1")
    command = shout.run("drop", "shout")
    assert command.wait() == 2
    assert "give --yes" in command.errors[0]
    assert shout.bodies(shout.dead) == [b"1"]


@pytest.mark.parametrize(("answer", "left"), [("y", [b"2", b"9"]), ("", [b"1", b"2", b"1", b"9"])])
def test_drop_asks_on_a_terminal(answer: str, left: list[bytes], shout: ParkedService) -> None:
    shout.park(b"1", b"2", b"1")
    with TerminalCommand("dead", "drop", "shout", "--id", 1, folder=shout.folder) as command:
        command.wait_for(f"Drop 2 of the 3 messages parked in '{shout.dead}', for good? [y/N]")
        shout.park(b"9")
        command.enter(answer)
        assert command.wait() == 0
    assert shout.bodies(shout.dead) == left


def test_what_is_parked_while_drop_asks_is_not_dropped(shout: ParkedService) -> None:
    shout.park(b"1", b"2")
    with TerminalCommand("dead", "drop", "shout", folder=shout.folder) as command:
        command.wait_for("for good? [y/N]")
        shout.park(b"3")
        command.enter("yes")
        assert command.wait() == 0
    assert shout.bodies(shout.dead) == [b"3"]


def test_many_have_a_progress_bar_on_a_terminal(shout: ParkedService) -> None:
    shout.park(*(b"%d" % id for id in range(400)))
    with TerminalCommand("dead", "replay", "shout", folder=shout.folder) as command:
        assert command.wait() == 0
    assert "400/400" in command.screen
    assert shout.rabbitmq.depth(shout.inbound) == 400


def test_whoever_reads_the_list_may_stop_early(shout: ParkedService) -> None:
    shout.park(*(b"%d" % id for id in range(3000)))
    list_all = subprocess.Popen(
        [*PROGRAM, "dead", "list", "shout", "--json"],
        cwd=shout.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with list_all:
        assert list_all.stdout
        assert list_all.stderr
        assert json.loads(list_all.stdout.readline())["id"] == "0"
        list_all.stdout.close()
        assert list_all.stderr.read() == b""
    assert list_all.returncode == 0
    assert shout.rabbitmq.depth(shout.dead) == 3000


def test_the_configuration_may_be_named_or_come_from_the_environment(
    shout: ParkedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    shout.park(b"1")
    there = shout.folder / "elsewhere.toml"
    (shout.folder / "sys-map.toml").rename(there)

    nowhere = shout.run("list", "shout", "--json")
    assert nowhere.wait() == 2
    assert "say where the configuration is: --config HOST" in nowhere.errors[0]
    assert _ids(shout.run("list", "shout", "--json", "--config", there)) == ["1"]
    monkeypatch.setenv("SLINGSHOT_SYS_MAP", str(there))
    assert _ids(shout.run("list", "shout", "--json")) == ["1"]
    monkeypatch.setenv("SLINGSHOT_SYS_MAP", "nowhere.toml")
    assert _ids(shout.run("list", "shout", "--json", "--config", there)) == ["1"]


def test_a_refused_login_is_one_line_without_the_password(shout: ParkedService) -> None:
    (shout.folder / "mq").write_text("wr0ng-s3cret")
    command = shout.run("list", "shout")
    assert command.wait() == 3
    (line,) = command.errors
    assert f"refused user '{shout.rabbitmq.username}'" in line
    assert "wr0ng-s3cret" not in line


def test_a_broker_that_is_not_there_is_one_line(shout: ParkedService) -> None:
    path = shout.folder / "sys-map.toml"
    path.write_text(path.read_text().replace(f"port = {shout.rabbitmq.port}", "port = 1"))
    command = shout.run("list", "shout")
    assert command.wait() == 3
    (line,) = command.errors
    assert "port 1, cannot be reached" in line


def test_queues_in_memory_are_gone(shout: ParkedService) -> None:
    path = shout.folder / "sys-map.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("rabbitmq")]
    path.write_text("\n".join(['rabbitmq = "memory"', *lines]))
    command = shout.run("list", "shout")
    assert command.wait() == 2
    assert "queues in memory are gone with their process" in command.errors[0]


@pytest.mark.parametrize("header", [2**62, -(2**62), "yesterday", None, b"\xff", [1], {"a": 1}])
def test_headers_may_be_of_any_kind(header: Any, shout: ParkedService) -> None:
    names = ("reason", "error", "attempts", "deaths", "first-time", "last-time", "traceback")
    shout.park(b"1", headers={f"slingshot-{name}": header for name in names})
    for arguments in (["list", "shout"], ["list", "shout", "--json"], ["show", "shout", 1]):
        assert (shout.run(*arguments).wait(), shout.run(*arguments).errors) == (0, [])
