"""Options from code, from the environment and by default; and what is said of wrong ones."""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Literal

import pytest

from slingshot_microservice import Options
from slingshot_microservice.errors import OptionError, UsageError
from slingshot_microservice.options import ObjectStoreClient, OptionArguments

NAMES = [field.name for field in dataclasses.fields(Options)]
WHOLE = [
    "threads",
    "heartbeat",
    "database_connections",
    "attempts",
    "deaths",
    "memory_file_limit",
    "health_port",
]
KINDS: dict[str, object] = dict.fromkeys(WHOLE, int) | {
    "parking": bool,
    "prefetch": int | Literal["auto"],
    "retry_delays": Sequence[float],
    "health_host": str,
    "object_store_client": ObjectStoreClient,
}
NUMBERS = [name for name in NAMES if KINDS.get(name, float) in (int, float)]


def gather(
    arguments: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None
) -> Options:
    return Options.gather(arguments or {}, environment or {})


def refusal(
    arguments: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None
) -> str:
    with pytest.raises(OptionError) as caught:
        gather(arguments, environment)
    assert isinstance(caught.value, UsageError)
    return str(caught.value)


def test_without_anything_the_defaults_hold() -> None:
    assert gather() == Options()


def test_the_drain_ends_before_kubernetes_kills() -> None:
    assert Options().drain_timeout < 30


@pytest.mark.parametrize("name", NUMBERS)
def test_each_has_an_argument_and_a_variable(name: str) -> None:
    variable = f"SLINGSHOT_{name.upper()}"
    beat = {} if name == "heartbeat" else {"heartbeat": 1}
    assert getattr(gather({name: 7, **beat}), name) == 7
    assert getattr(gather(beat, {variable: "8"}), name) == 8
    assert getattr(gather({name: 7, **beat}, {variable: "8"}), name) == 7, "code wins"


@pytest.mark.parametrize("name", NAMES)
def test_each_is_described_and_may_be_given_by_keyword(name: str) -> None:
    assert f"{name}: " in (inspect.getdoc(Options) or "")
    (kind,) = {typing.get_type_hints(one)[name] for one in (Options, OptionArguments)}
    assert kind == KINDS.get(name, float)


@pytest.mark.parametrize(
    ("text", "value"), [("auto", "auto"), (" AUTO ", "auto"), ("17", 17), (" 17", 17)]
)
def test_prefetch_is_a_number_or_found_out(text: str, value: object) -> None:
    assert gather({}, {"SLINGSHOT_PREFETCH": text}).prefetch == value
    assert gather({"prefetch": 5}, {"SLINGSHOT_PREFETCH": text}).prefetch == 5
    assert gather({"prefetch": "auto"}, {"SLINGSHOT_PREFETCH": "5"}).prefetch == "auto"


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("ON", True), ("true", True), ("0", False), ("off", False)]
)
def test_parking_is_a_switch(text: str, value: bool) -> None:
    assert gather({}, {"SLINGSHOT_PARKING": text}).parking is value
    assert gather({"parking": not value}, {"SLINGSHOT_PARKING": text}).parking is not value


def test_probes_are_answered_where_the_environment_says() -> None:
    options = gather({}, {"SLINGSHOT_HEALTH_PORT": "8081", "SLINGSHOT_HEALTH_HOST": "::1"})
    assert (options.health_host, options.health_port) == ("::1", 8081)


@pytest.mark.parametrize("client", ["auto", "boto3", "obstore"])
def test_the_client_of_object_stores_is_one_of_these(client: str) -> None:
    assert gather({}, {"SLINGSHOT_OBJECT_STORE_CLIENT": client}).object_store_client == client
    assert gather({"object_store_client": client}).object_store_client == client


def test_delays_are_a_list() -> None:
    assert gather({}, {"SLINGSHOT_RETRY_DELAYS": "0.5, 2,60"}).retry_delays == (0.5, 2.0, 60.0)
    assert gather({"retry_delays": [7]}).retry_delays == [7]


def test_the_environment_is_the_process_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLINGSHOT_PREFETCH", "17")
    assert Options.gather({}).prefetch == 17


def test_other_variables_do_not_matter() -> None:
    environment = {"SLINGSHOT_SYS_MAP": "x.toml", "SLINGSHOT_NO_SUCH": "1", "PREFETCH": "5"}
    assert gather({}, environment) == Options()


@pytest.mark.parametrize("option", ["statement_timeout", "idle_in_transaction_timeout"])
def test_the_server_has_its_own_say_unless_told(option: str) -> None:
    assert getattr(gather(), f"database_{option}") == 0
    assert getattr(gather({f"database_{option}": 0}), f"database_{option}") == 0
    assert (
        getattr(gather({}, {f"SLINGSHOT_DATABASE_{option.upper()}": "0"}), f"database_{option}")
        == 0
    )


@pytest.mark.parametrize("text", ["2.5", " 2.5 ", "25e-1"])
def test_seconds_may_be_a_fraction(text: str) -> None:
    assert gather({}, {"SLINGSHOT_HTTP_TIMEOUT": text}).http_timeout == 2.5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prefech", "there is no option 'prefech'; did you mean 'prefetch'?"),
        ("drain_timout", "there is no option 'drain_timout'; did you mean 'drain_timeout'?"),
        ("Prefetch", "there is no option 'Prefetch'; did you mean 'prefetch'?"),
        ("colour", f"there is no option 'colour'; there are {', '.join(NAMES)}"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, message: str) -> None:
    assert refusal({name: 1}) == message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("prefetch", 0, "1 to 65,535"),
        ("prefetch", 65_536, "1 to 65,535"),
        ("prefetch", 10**400, "1 to 65,535"),
        ("prefetch", 10.0, "a whole number"),
        ("prefetch", "10", 'a whole number or "auto"'),
        ("prefetch", "Auto", 'a whole number or "auto"'),
        ("prefetch", True, "a whole number"),
        ("prefetch", None, "a whole number"),
        ("threads", 0, "1 to 1,000"),
        ("threads", 1_001, "1 to 1,000"),
        ("heartbeat", 0, "1 to 3,600"),
        ("memory_file_limit", -1, "0 to 2,147,483,648"),
        ("drain_timeout", 0, "0.001 to 86,400.0"),
        ("drain_timeout", -1.5, "0.001 to 86,400.0"),
        ("drain_timeout", math.inf, "0.001 to 86,400.0"),
        ("drain_timeout", math.nan, "0.001 to 86,400.0"),
        ("drain_timeout", "5", "a number of seconds"),
        ("drain_timeout", False, "a number of seconds"),
        ("database_connections", -1, "0 to 10,000"),
        ("database_connections", 2.5, "a whole number"),
        ("database_pool_timeout", 0, "0.001 to 86,400.0"),
        ("database_connect_timeout", 0, "0.001 to 86,400.0"),
        ("database_statement_timeout", -1, "0.0 to 86,400.0"),
        ("database_idle_in_transaction_timeout", math.inf, "0.0 to 86,400.0"),
        ("attempts", 0, "1 to 1,000,000"),
        ("health_port", 65_536, "0 to 65,535"),
        ("health_host", "", "an address to listen on"),
        ("health_host", 5, "an address to listen on"),
        ("parking", 1, "True or False"),
        ("retry_delays", 5, "a list of seconds, not empty"),
        ("retry_delays", [], "a list of seconds, not empty"),
        ("object_store_client", "minio", "auto or boto3 or obstore"),
        ("object_store_client", None, "auto or boto3 or obstore"),
    ],
)
def test_a_wrong_value_is_refused_and_named(name: str, value: object, expected: str) -> None:
    message = f"option {name} is {value!r}; expected {expected}"
    assert refusal({name: value}) == message
    with pytest.raises(OptionError):
        Options(**{name: value})  # type: ignore[arg-type]  # what the user did


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "SLINGSHOT_PREFETCH",
            "abc",
            '''SLINGSHOT_PREFETCH is 'abc'; expected a whole number or "auto"''',
        ),
        (
            "SLINGSHOT_PREFETCH",
            "",
            '''SLINGSHOT_PREFETCH is ''; expected a whole number or "auto"''',
        ),
        (
            "SLINGSHOT_PREFETCH",
            "1.0",
            '''SLINGSHOT_PREFETCH is '1.0'; expected a whole number or "auto"''',
        ),
        ("SLINGSHOT_PREFETCH", "0", "SLINGSHOT_PREFETCH is 0; expected 1 to 65,535"),
        ("SLINGSHOT_PARKING", "perhaps", "SLINGSHOT_PARKING is 'perhaps'; expected 1 or 0"),
        (
            "SLINGSHOT_RETRY_DELAYS",
            "1;5",
            "SLINGSHOT_RETRY_DELAYS is '1;5'; expected numbers of seconds, separated by commas",
        ),
        (
            "SLINGSHOT_RETRY_DELAYS",
            "1,0",
            "SLINGSHOT_RETRY_DELAYS, number 2, is 0.0; expected 0.001 to 86,400.0",
        ),
        (
            "SLINGSHOT_OBJECT_STORE_CLIENT",
            "Boto3",
            "SLINGSHOT_OBJECT_STORE_CLIENT is 'Boto3'; expected auto or boto3 or obstore",
        ),
        ("SLINGSHOT_DRAIN_TIMEOUT", "soon", "SLINGSHOT_DRAIN_TIMEOUT is 'soon'; expected a number"),
        (
            "SLINGSHOT_DRAIN_TIMEOUT",
            "nan",
            "SLINGSHOT_DRAIN_TIMEOUT is nan; expected 0.001 to 86,400.0",
        ),
    ],
)
def test_a_wrong_variable_is_refused_and_named(variable: str, text: str, message: str) -> None:
    assert refusal({}, {variable: text}) == message


def test_confirms_are_waited_for_longer_than_heartbeats() -> None:
    assert refusal({"confirm_timeout": 15, "heartbeat": 15}) == (
        "option confirm_timeout is 15; expected more than the heartbeat, which is 15"
    )


def test_options_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        gather().prefetch = 5  # type: ignore[misc]  # what the user did
