"""A sys-map file: what it may say, and that each mistake is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from slingshot_microservice.errors import SystemMapFileError, UsageError
from slingshot_microservice.sysmap.file import FileSystemMap
from slingshot_microservice.sysmap.models import (
    DirectorySettings,
    EmbeddedPostgreSQLSettings,
    MemoryBrokerSettings,
    PostgreSQLSettings,
    RabbitMQSettings,
    Route,
    S3Settings,
    ServiceSettings,
    SQLiteSettings,
)

PARTS = """\
rabbitmq = "memory"
object-storage = { directory = "objects" }
db = { sqlite = "pipeline.sqlite" }
"""
SERVICE = """
[services.shout]
in = "shout-inbound"
out = [
  { case = true, queues = ["shouted"] },
  { case = 1, queues = ["one", "two"] },
]
[services.shout.buckets]
in = "texts"
out = "shouted-texts"
"""
REMOTE = """\
rabbitmq = { host = ["mq1", "mq2"], port = 5672, username = "me", pass = "mq/me" }
[object-storage]
host = "http://127.0.0.1:9000"
"pass:access-key" = "s3/a"
"pass:secret-key" = "s3/s"
[db]
host = "pg"
port = 5432
username = "me"
database = "shop"
pass = "db/me"
"""


def load(folder: Path, text: str) -> FileSystemMap:
    path = folder / "sys-map.toml"
    path.write_text(text, encoding="utf-8")
    return FileSystemMap(path)


def mistake(folder: Path, text: str) -> tuple[int | None, str]:
    """Return the line that the error names, and what it says after file and line."""
    with pytest.raises(SystemMapFileError) as caught:
        load(folder, text)
    return said(caught.value, folder)


def said(error: SystemMapFileError, folder: Path) -> tuple[int | None, str]:
    path = folder / "sys-map.toml"
    assert error.path == path
    assert error.source == str(path)
    assert "\n" not in str(error)
    prefix = f"{path}:{error.line}: "
    assert str(error).startswith(prefix)
    return error.line, str(error).removeprefix(prefix)


def test_embedded_parts_lie_beside_the_file(tmp_path: Path) -> None:
    system_map = load(tmp_path, PARTS + SERVICE)
    assert system_map.broker() == MemoryBrokerSettings()
    assert system_map.storage() == DirectorySettings(tmp_path / "objects")
    assert system_map.database() == SQLiteSettings(tmp_path / "pipeline.sqlite")
    assert system_map.source == str(tmp_path / "sys-map.toml")
    system_map.close()


def test_a_relative_file_has_an_absolute_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path, PARTS)
    monkeypatch.chdir(tmp_path)
    system_map = FileSystemMap(Path("sys-map.toml"))
    assert system_map.storage() == DirectorySettings(tmp_path / "objects")
    assert system_map.source == "sys-map.toml"


def test_an_embedded_postgresql_and_an_absolute_path(tmp_path: Path) -> None:
    text = PARTS.replace('sqlite = "pipeline.sqlite"', 'embedded-postgres = "/data/pg"')
    assert load(tmp_path, text).database() == EmbeddedPostgreSQLSettings(Path("/data/pg"))


def test_services_and_buckets(tmp_path: Path) -> None:
    system_map = load(tmp_path, PARTS + SERVICE + '[services.sink]\nin = "x"\nout = []\n')
    assert system_map.service_names == ("shout", "sink")
    assert system_map.service("shout") == ServiceSettings(
        "shout-inbound", (Route(True, ("shouted",)), Route(1, ("one", "two")))
    )
    assert system_map.service("sink") == ServiceSettings("x", ())
    assert system_map.bucket("shout", "/in/") == "texts"
    assert system_map.bucket("shout", "out") == "shouted-texts"


def test_real_servers(tmp_path: Path) -> None:
    system_map = load(tmp_path, REMOTE)
    assert system_map.broker() == RabbitMQSettings(("mq1", "mq2"), 5672, "me", "mq/me")
    assert system_map.storage() == S3Settings("http://127.0.0.1:9000", "s3/a", "s3/s")
    assert system_map.database() == PostgreSQLSettings("pg", 5432, "me", "shop", "db/me")


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    system_map = load(tmp_path, PARTS + SERVICE)
    with pytest.raises(SystemMapFileError) as caught:
        system_map.service("shuot")
    assert said(caught.value, tmp_path) == (5, 'there is no service "shuot"; there are shout')
    with pytest.raises(SystemMapFileError) as caught:
        load(tmp_path, PARTS).bucket("shout", "in")
    expected = 'there is no service "shout"; there are none: add [services.shout]'
    assert said(caught.value, tmp_path) == (1, expected)
    with pytest.raises(UsageError):
        system_map.service("a/b")


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemMapFileError) as caught:
        load(tmp_path, PARTS + SERVICE).bucket("shout", "inn")
    expected = 'service "shout" has no bucket key "inn"; it has in, out'
    assert said(caught.value, tmp_path) == (11, expected)
    with pytest.raises(SystemMapFileError) as caught:
        load(tmp_path, PARTS + '[services.a]\nin = "x"\nout = []').bucket("a", "in")
    assert said(caught.value, tmp_path) == (
        4,
        'service "a" has no bucket key "in"; it has none',
    )


@pytest.mark.parametrize(
    ("right", "wrong", "line", "message"),
    [
        (
            "[services.shout]",
            "[sevices.shout]",
            5,
            'there is no field "sevices"; did you mean "services"?',
        ),
        (
            'queues = ["one"',
            'quues = ["one"',
            9,
            'there is no field "quues" in services.shout.out[1]; did you mean "queues"?',
        ),
        (
            "[services.shout.buckets]",
            "[services.shout.bucket]",
            11,
            'there is no field "bucket" in services.shout; did you mean "buckets"?',
        ),
        (
            "sqlite",
            "sqlight",
            3,
            'there is no field "sqlight" in db; did you mean "sqlite"?',
        ),
        (
            '"memory"',
            '"memroy"',
            1,
            'rabbitmq is "memroy"; expected "memory" or a table',
        ),
        (
            "object-storage",
            "objectstorage",
            2,
            'there is no field "objectstorage"; did you mean "object-storage"?',
        ),
        (
            'in = "shout-inbound"',
            "",
            5,
            "services.shout.in is missing; expected the name of a queue",
        ),
        (
            'case = 1, queues = ["one", "two"]',
            "case = 1",
            9,
            "services.shout.out[1].queues is missing; expected a list of queue names",
        ),
        (
            "case = 1,",
            "",
            9,
            "services.shout.out[1].case is missing; expected a boolean, an integer or a string",
        ),
        (
            "case = 1,",
            "case = 1.0,",
            9,
            "services.shout.out[1].case is 1.0; expected a boolean, an integer or a string",
        ),
        (
            "case = 1,",
            "case = 18446744073709551616,",
            9,
            "services.shout.out[1].case is 18446744073709551616; "
            "expected an integer of -2**63 to 2**64 - 1",
        ),
        (
            "case = 1,",
            "case = 1979-05-27,",
            9,
            'services.shout.out[1].case is "1979-05-27"; '
            "expected a boolean, an integer or a string",
        ),
        (
            '["one", "two"]',
            '["one", 2]',
            9,
            "services.shout.out[1].queues[1] is 2; expected the name of a queue",
        ),
        (
            '"texts"',
            '" "',
            12,
            'services.shout.buckets.in is " "; expected the name of a bucket',
        ),
        (
            '"texts"',
            "7",
            12,
            "services.shout.buckets.in is 7; expected the name of a bucket",
        ),
        (
            '"objects"',
            "7",
            2,
            "object-storage.directory is 7; expected a path",
        ),
        (
            "{ directory",
            '{ host = "x", directory',
            2,
            'object-storage is {"host": "x", "directory": "objects"}; '
            "expected no other field beside directory",
        ),
        (
            'db = { sqlite = "pipeline.sqlite" }',
            "db = {}",
            3,
            "db.host is missing; expected a host name",
        ),
        (
            "[services.shout]",
            "[services.db]\n[services.shout]",
            5,
            '"db" cannot be the name of a service: '
            "the configuration service uses that path for something else",
        ),
    ],
)
def test_each_mistake_is_named_with_its_line(
    right: str, wrong: str, line: int, message: str, tmp_path: Path
) -> None:
    text = PARTS + SERVICE
    assert right in text
    assert mistake(tmp_path, text.replace(right, wrong, 1)) == (line, message)


@pytest.mark.parametrize(
    ("section", "example"),
    [
        ("rabbitmq", 'rabbitmq = "memory"'),
        ("object-storage", 'object-storage = { directory = "objects" }'),
        ("db", 'db = { sqlite = "pipeline.sqlite" }'),
    ],
)
def test_a_section_that_is_missing_comes_with_an_example(
    section: str, example: str, tmp_path: Path
) -> None:
    text = "".join(s for s in PARTS.splitlines(keepends=True) if not s.startswith(section))
    expected = f"{section} is missing; write for example {example}"
    assert mistake(tmp_path, text) == (1, expected)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "field"),
    [
        ("port = 5672", "port = true", 1, "rabbitmq.port"),
        ('pass = "mq/me"', 'pass = "-mq"', 1, "rabbitmq.pass"),
        ('"s3/s"', '"../s"', 5, "object-storage.pass:secret-key"),
        ("port = 5432", 'port = "5432"', 8, "db.port"),
        ('database = "shop"\n', "", 6, "db.database"),
        ('["mq1", "mq2"]', '["mq1", ""]', 1, "rabbitmq.host[1]"),
    ],
)
def test_mistakes_in_real_servers(
    right: str, wrong: str, line: int, field: str, tmp_path: Path
) -> None:
    with pytest.raises(SystemMapFileError) as caught:
        load(tmp_path, REMOTE.replace(right, wrong, 1))
    assert (caught.value.line, caught.value.field) == (line, field)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (PARTS.replace('"memory"', "memory"), 1),
        (PARTS + "\n[services.shout\n", 5),
        (PARTS + PARTS, 4),
    ],
)
def test_what_is_not_toml(text: str, line: int, tmp_path: Path) -> None:
    where, what = mistake(tmp_path, text)
    assert where == line
    assert what.startswith("this is not TOML: ")


def test_what_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "sys-map.toml"
    path.write_bytes(b'# one\n# two\nrabbitmq = "\xff"\n')
    with pytest.raises(SystemMapFileError, match="3: this is not TOML: it is not UTF-8") as caught:
        FileSystemMap(path)
    assert caught.value.line == 3


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SystemMapFileError, match="cannot be read: No such file") as caught:
        FileSystemMap(tmp_path / "none.toml")
    assert caught.value.line is None
    with pytest.raises(SystemMapFileError, match="cannot be read: Is a directory"):
        FileSystemMap(tmp_path)
