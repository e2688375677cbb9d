"""What the configuration may say, and what an error tells about what it may not."""

from __future__ import annotations

import logging

import pytest

from slingshot_microservice.errors import ConfigurationError, UsageError
from slingshot_microservice.sysmap.models import Route, ServiceSettings
from slingshot_microservice.sysmap.place import FieldPath, Place, field_name, shorten
from slingshot_microservice.sysmap.validate import (
    clean_key,
    read_bucket,
    read_postgresql,
    read_rabbitmq,
    read_s3,
    read_service,
    require_service_name,
)


class Url:
    """The simplest source: it has no lines, and lets unknown fields pass."""

    strict = False
    mapping_noun = "an object"

    def where(self, path: FieldPath) -> str:
        return "http://map/x"

    def error(
        self, path: FieldPath, problem: str, *, expected: str = "", found: str = ""
    ) -> ConfigurationError:
        return ConfigurationError(
            f"{self.where(path)}: {problem}",
            source=self.where(path),
            field=field_name(path),
            expected=expected,
            found=found,
        )


RABBITMQ = {"host": ["mq1"], "port": [5672], "username": ["me"], "pass": ["mq/me"]}
DATABASE = {**RABBITMQ, "database": ["shop"]}
STORAGE = {"host": ["s3"], "pass:access-key": ["s3/a"], "pass:secret-key": ["s3/s"]}


def place(value: object) -> Place:
    return Place(Url(), value)


def service(out: object) -> ServiceSettings:
    return read_service(place({"in": "inbound", "out": out}))


def each(field: str, *values: object) -> list[tuple[str, object]]:
    return [(field, value) for value in values]


def test_the_type_of_a_case_counts() -> None:
    cases = [True, 1, "1", False, 0, -(2**63), 2**64 - 1, ""]
    settings = service([{"case": case, "queues": [f"q{i}"]} for i, case in enumerate(cases)])
    assert [(type(r.case), r.case) for r in settings.routes] == [(type(c), c) for c in cases]
    assert [r.queues for r in settings.routes] == [(f"q{i}",) for i in range(len(cases))]


def test_of_two_entries_for_one_case_the_last_wins_and_a_warning_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        settings = service(
            [
                {"case": 1, "queues": ["first"]},
                {"case": True, "queues": ["other"]},
                {"case": 1, "queues": ["second", "third"]},
            ]
        )
    assert settings.routes == (Route(1, ("second", "third")), Route(True, ("other",)))
    assert [record.getMessage() for record in caplog.records] == [
        "http://map/x: case 1 is listed more than once; the last one wins"
    ]


def test_no_outputs_and_unknown_fields_are_fine() -> None:
    answer = {"in": "inbound", "out": [{"case": 1, "queues": [], "new": 1}], "newer": {}}
    assert read_service(place(answer)) == ServiceSettings("inbound", (Route(1, ()),))
    assert service([]).routes == ()


@pytest.mark.parametrize(
    ("case", "found"),
    [
        (1.0, "1.0"),
        (None, "null"),
        ([1], "[1]"),
        ({"a": 1}, '{"a": 1}'),
        (2**64, "18446744073709551616"),
        (-(2**63) - 1, "-9223372036854775809"),
    ],
)
def test_what_is_no_case_is_named(case: object, found: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        service([{"case": 1, "queues": []}, {"case": case, "queues": []}])
    assert str(caught.value).startswith(f"http://map/x: out[1].case is {found}; expected ")
    error = caught.value
    assert (error.source, error.field, error.found) == ("http://map/x", "out[1].case", found)
    assert "integer" in error.expected


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ([], ""),
        (None, ""),
        ("text", ""),
        ({}, "in"),
        ({"in": "q"}, "out"),
        ({"in": 7, "out": []}, "in"),
        ({"in": "", "out": []}, "in"),
        ({"in": ["q"], "out": []}, "in"),
        ({"in": "q", "out": {}}, "out"),
        ({"in": "q", "out": [1]}, "out[0]"),
        ({"in": "q", "out": [{"queues": []}]}, "out[0].case"),
        ({"in": "q", "out": [{"case": 1}]}, "out[0].queues"),
        ({"in": "q", "out": [{"case": 1, "queues": "q"}]}, "out[0].queues"),
        ({"in": "q", "out": [{"case": 1, "queues": ["q", None]}]}, "out[0].queues[1]"),
        ({"in": "q", "out": [{"case": 1, "queues": [""]}]}, "out[0].queues[0]"),
    ],
)
def test_a_service_with_a_mistake_is_refused_and_the_field_named(
    answer: object, field: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_service(place(answer))
    assert caught.value.field == field
    assert field in str(caught.value)
    assert caught.value.expected


def test_a_queue_name_is_counted_in_bytes() -> None:
    longest = "ü" * 127 + "x"
    assert service([{"case": 1, "queues": [longest]}]).routes[0].queues == (longest,)
    with pytest.raises(ConfigurationError, match=r"out\[0\]\.queues\[0\].*255 bytes.*256"):
        service([{"case": 1, "queues": ["ü" * 128]}])
    with pytest.raises(ConfigurationError, match=r"in is .*255 bytes"):
        read_service(place({"in": "x" * 256, "out": []}))


def test_rabbitmq_takes_lists_of_one_bare_values_and_several_hosts() -> None:
    settings = read_rabbitmq(place({**RABBITMQ, "port": 5671, "host": ["mq1", "mq2"]}))
    assert settings.hosts == ("mq1", "mq2")
    assert (settings.port, settings.username, settings.password_entry) == (5671, "me", "mq/me")
    assert read_rabbitmq(place({**RABBITMQ, "host": "mq"})).hosts == ("mq",)


def test_postgresql_takes_lists_of_one_and_bare_values() -> None:
    settings = read_postgresql(place({**DATABASE, "database": "shop", "new": [1, 2]}))
    assert (settings.host, settings.port, settings.database) == ("mq1", 5672, "shop")
    assert (settings.username, settings.password_entry) == ("me", "mq/me")


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("s3.example.com", "https://s3.example.com"),
        ("s3.example.com:9000/", "https://s3.example.com:9000"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("https://s3.example.com//", "https://s3.example.com"),
    ],
)
def test_the_object_store_is_asked_over_https_unless_its_host_says_otherwise(
    host: str, endpoint: str
) -> None:
    settings = read_s3(place({**STORAGE, "host": [host]}))
    assert settings.endpoint == endpoint
    assert (settings.access_key_entry, settings.secret_key_entry) == ("s3/a", "s3/s")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *each("port", 0, 65_536, -1, "5672", 5672.0, True, None, [], [1, 2]),
        *each("host", [], "", " ", 7, [""], [7], None, {}),
        *each("username", [], "", ["a", "b"], [7], None),
        *each("pass", "", "-p", "/etc/x", "a/../../b", "a\nb", 7, ["a", "b"]),
    ],
)
def test_wrong_rabbitmq_fields_are_named(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_rabbitmq(place({**RABBITMQ, field: value}))
    assert caught.value.field.partition("[")[0] == field
    assert caught.value.found
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["host", "port", "username", "pass"])
def test_missing_rabbitmq_fields_are_named(field: str) -> None:
    answer = {name: value for name, value in RABBITMQ.items() if name != field}
    with pytest.raises(ConfigurationError, match=f"{field} is missing; expected "):
        read_rabbitmq(place(answer))


@pytest.mark.parametrize("field", list(DATABASE))
def test_postgresql_takes_no_field_longer_than_one(field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{field} is .*exactly one"):
        read_postgresql(place({**DATABASE, field: ["a", "b"]}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *each("host", "", 7, ["a", "b"], [], None, "https://", "/", "http:///"),
        *each("pass:access-key", "", 7, ["a", "b"], [], None, "-x", "../x", "/x"),
        *each("pass:secret-key", "", 7, ["a", "b"], [], None, "-x", "../x", "/x"),
    ],
)
def test_wrong_storage_fields_are_named(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_s3(place({**STORAGE, field: value}))
    assert caught.value.field == field


def test_white_space_around_a_bucket_does_not_count() -> None:
    assert read_bucket(place(" texts-2024.de\r\n")) == "texts-2024.de"


@pytest.mark.parametrize("name", ["", " \n", "a b", "a\nb", "<html>", "..", "a/b", '"a"', "a\0"])
def test_what_is_no_bucket_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="expected the name of a bucket"):
        read_bucket(place(name))


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "rabbitmq", "db", "object-storage", "..", 7, None]
)
def test_what_is_no_service_name_is_refused(name: object) -> None:
    with pytest.raises(UsageError, match="service"):
        require_service_name(name)


def test_slashes_around_a_key_do_not_count() -> None:
    assert clean_key("//in/deep/") == "in/deep"


@pytest.mark.parametrize("key", ["", "/", " ", ".", "..", "a/../b", "/./", None, 7])
def test_what_is_no_key_is_refused(key: object) -> None:
    with pytest.raises(UsageError, match="bucket key"):
        clean_key(key)


def test_what_an_error_shows_is_short_and_on_one_line() -> None:
    assert shorten("a\u2028b\n\x85") == r'"a\u2028b\n\u0085"'
    assert len(shorten("x" * 1_000_000)) == 60
    assert field_name(("services", "a b", "out", 1, "pass:access-key")) == (
        'services."a b".out[1].pass:access-key'
    )
