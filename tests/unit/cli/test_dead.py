from __future__ import annotations

import pytest

from slingshot_microservice.cli import main

_ACTIONS = ("list", "show", "replay", "drop")


@pytest.mark.parametrize("action", _ACTIONS)
def test_every_action_has_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dead", action, "--help"])
    assert ended.value.code == 0
    assert f"usage: slingshot-microservice dead {action}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: ACTION; see slingshot-microservice dead --help"),
        (["bury"], "invalid choice: 'bury'"),
        (["list"], "required: SERVICE; see slingshot-microservice dead list --help"),
        (["show", "x"], "required: ID|@N"),
        (["show", "x", "one"], "'one' is no id; expected a number from 0 on"),
        (["show", "x", "@0"], "'0' is no number of the list; expected a number from 1 on"),
        (["list", "x", "--id", "-1"], "'-1' is no id"),
        (["list", "x", "--id", str(2**64)], "'18446744073709551616' is no id"),
        (["list", "x", "--id", "٣"], "'٣' is no id"),
        (["list", "x", "--id", "9" * 5000], "is no id"),
        (["drop", "x", "--limit", "0"], "'0' is no number of messages"),
        (["replay", "x", "--reason", "failed,tired"], "there is no reason 'tired'; there are fail"),
        (["replay", "x", "--yes"], "unrecognized arguments: --yes"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dead", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
