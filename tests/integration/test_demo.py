from __future__ import annotations

import ast
import json
import re
import sqlite3
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from servers.command_line import Command
from servers.postgresql import PostgreSQLServer
from sqlalchemy import Connection

from slingshot_microservice import Microservice
from slingshot_microservice.cli import demo, main
from slingshot_microservice.demo import check, gather, measure
from slingshot_microservice.demo.results import count_gathered, read_results
from slingshot_microservice.demo.workspace import Workspace, find_sources, make_workspace
from slingshot_microservice.pipeline import Pipeline
from slingshot_microservice.sysmap.file import FileSystemMap
from slingshot_microservice.typing import ReadFileFn, WriteFileFn

_FILES = 40
_BOUND_SECONDS = 60.0
_LIBRARY = Path(sysconfig.get_path("stdlib"))
_MEASURE = "SELECT lines, functions, classes, longest_function, size FROM measures WHERE id = ?"

# By what happens when they are parsed; none of them may be lost, or tried again and again.
_HOSTILE = {
    "no Python": b"def f(:\n",
    "null bytes": b"x = 1\0\n",
    "not UTF-8": b"x = '\xff'\n",
    "an unknown encoding": b"# coding: klingon\nx = 1\n",
    "too deep": b"(" * 100_000,
    "much too deep": b"-" * 200_000 + b"1\n",
    "Python 2": b"print 'hello'\n",
}
_HARMLESS = {
    "empty": b"",
    "another encoding": "# coding: latin-1\nx = 'é'\n".encode("latin-1"),
    "a byte order mark": b"\xef\xbb\xbfx = 1\n",
    "a warning": b"x = '\\d'\ny = 1if x else 2\n",
    "other line ends": b"x = 1\r\ndef f():\r\n    pass\r\n",
}


def test_the_demo_shows_what_happened(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with Command("demo", "--files", _FILES, "--folder", folder, folder=tmp_path) as command:
        command.end_input()
        assert command.wait() == 0
        output = "\n".join(command.output)

    assert command.errors == []
    expected = _measure_independently(folder)
    sizes = Counter(measures[-1] for measures in expected.values() if measures)
    assert _numbers("True", output) == [sum(sizes.values())]
    assert _numbers("False", output) == [_FILES - sum(sizes.values())]
    for size in ("small", "medium", "large"):
        assert _numbers(f'"{size}"', output) == [sizes[size]]
    assert f" {sizes['large']} " in _line("wait in the queue review", output)
    assert _query(folder, "SELECT count(*) FROM gathered") == [(_FILES,)]
    totals = [
        sum(column) for column in list(zip(*filter(None, expected.values()), strict=True))[:3]
    ]
    assert _query(folder, "SELECT * FROM totals") == [(1, _FILES, *totals)]
    assert _numbers("files gathered", output) == [_FILES, *totals]
    _check_largest(expected, output)
    for path in (folder / "sys-map.toml", folder / "demo.sqlite", folder / "objects/reports"):
        assert str(path) in output
        assert path.exists()


def test_the_printed_command_runs_the_same_by_hand(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with Command("demo", "--files", 5, "--folder", folder, folder=tmp_path) as command:
        assert command.wait() == 0
    before = _query(folder, "SELECT * FROM totals")
    arguments = command.output[-1].split()

    with Command(*arguments[arguments.index("dev") :], folder=tmp_path) as again:
        assert again.wait() == 0

    assert any("review" in line for line in again.output)
    assert _query(folder, "SELECT * FROM totals") == before


def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def process(
        request: int, read_file: ReadFileFn, write_file: WriteFileFn, connection: Connection
    ) -> None:
        if request > 3:
            raise OSError("no space left")
        gather.process(request, read_file, write_file, connection)

    failing = Microservice("gather", "not asked", gather.startup, process)
    monkeypatch.setattr(gather, "microservice", failing)
    monkeypatch.setattr(demo, "_STALLED_SECONDS", 5.0)

    assert main(["demo", "--files", "5", "--folder", str(tmp_path)]) == 1

    printed = capsys.readouterr()
    paths = [path for (path,) in _query(tmp_path, "SELECT path FROM sources WHERE id > 3")]
    assert len(paths) == 2
    assert all(f"\n  {path}\n" in printed.out for path in paths)
    assert printed.err.endswith("error: 2 of 5 files did not come to the end of the chain\n")


def test_the_folder_must_be_empty(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with Command("demo", "--folder", ".", folder=tmp_path) as command:
        assert command.wait() == 2
    assert command.errors == [
        "slingshot-microservice: error: the folder . is not empty; name one that is new or empty"
    ]


def test_no_file_is_lost_or_tried_for_ever(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    contents = [*_HOSTILE.values(), *_HARMLESS.values()]
    workspace = _workspace_of(contents, tmp_path)

    _run(workspace)

    results = read_results(workspace)
    assert results.missing == []
    assert (results.parsed, results.unparsed) == (len(_HARMLESS), len(_HOSTILE))
    assert "Warning" not in "".join(capfd.readouterr())


def test_an_id_that_comes_twice_counts_once(tmp_path: Path) -> None:
    workspace = _workspace_of([b"def f():\n    pass\n", b"class C: pass\n", b"("], tmp_path)
    _run(workspace)
    before = read_results(workspace)

    _run(workspace)

    assert read_results(workspace) == before
    assert before.totals == (3, 3, 1, 1)
    assert count_gathered(workspace) == 3


def test_the_services_run_on_postgresql_too(
    tmp_path: Path, postgresql: PostgreSQLServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = _workspace_of([b"x = 1\n" * 2000, b"class C: pass\n", b"("], tmp_path / "demo")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "db").write_text(postgresql.password)
    monkeypatch.setenv("SLINGSHOT_SECRETS_DIR", str(tmp_path / "secrets"))
    server = (
        f'db = {{ host = "{postgresql.host}", port = {postgresql.port}, pass = "db", '
        f'username = "{postgresql.username}", database = "{postgresql.database}" }}'
    )
    text = workspace.sys_map.read_text(encoding="utf-8")
    workspace.sys_map.write_text(re.sub("^db = .*", server, text, flags=re.MULTILINE))

    for _ in range(2):
        _run(workspace)

    with closing(_connect(postgresql)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT files, lines, functions, classes FROM totals")
        assert cursor.fetchall() == [(3, 2001, 0, 1)]
        cursor.execute("SELECT id, size FROM measures ORDER BY id")
        assert cursor.fetchall() == [(1, "large"), (2, "small")]
        cursor.execute("DROP TABLE measures, gathered, totals")
        connection.commit()


def test_sources_are_spread_over_the_whole_library() -> None:
    every = find_sources(1_000_000)
    some = find_sources(10)

    assert len(every) > 300
    assert not any({"site-packages", "dist-packages"} & set(path.parts) for path in every)
    assert all((_LIBRARY / path).is_file() for path in every)
    gaps = {b - a for a, b in zip(map(every.index, some), map(every.index, some[1:]), strict=False)}
    assert len(some) == 10
    assert every.index(some[-1]) >= len(every) * 0.9 - 1
    assert max(gaps) - min(gaps) <= 1


def _measure_independently(folder: Path) -> dict[int, tuple[Any, ...] | None]:
    """Measure the sources again, and see that objects, reports and rows agree with that."""
    expected = {}
    index = _query(folder, "SELECT id, path FROM sources")
    assert sorted(id for id, _ in index) == list(range(1, _FILES + 1))
    for id, path in index:
        source = (_LIBRARY / path).read_bytes()
        assert (folder / f"objects/sources/{id}").read_bytes() == source
        expected[id] = measures = _measures(source)
        assert _query(folder, _MEASURE, id) == [measures] * (measures is not None)
        report = folder / f"objects/reports/{id}"
        assert report.exists() == (measures is not None)
        if measures is not None:
            assert tuple(json.loads(report.read_text()).values()) == measures[:-1]
    return expected


def _measures(source: bytes) -> tuple[Any, ...] | None:
    lines = len(re.findall(rb"\r\n|\r|\n|[^\r\n]\Z", source))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return None
    kinds = Counter(type(node).__name__ for node in ast.walk(tree))
    functions = [n for n in ast.walk(tree) if type(n).__name__.endswith("FunctionDef")]
    longest = max((n.end_lineno - n.lineno + 1 for n in functions), default=0)  # type: ignore[attr-defined]
    size = ["small", "medium", "large"][(lines >= 200) + (lines >= 1000)]
    return lines, len(functions), kinds["ClassDef"], longest, size


def _check_largest(expected: dict[int, tuple[Any, ...] | None], output: str) -> None:
    rows = re.findall(r"^ +(\d+) +([\d,]+) +\S+\.py *$", output, flags=re.MULTILINE)
    shown = [(int(id), int(lines.replace(",", ""))) for id, lines in rows]
    largest = sorted((measures[0] for measures in expected.values() if measures), reverse=True)[:5]
    assert [lines for _, lines in shown] == largest
    for id, lines in shown:
        measures = expected[id]
        assert measures is not None
        assert measures[0] == lines


def _workspace_of(contents: Iterable[bytes], folder: Path) -> Workspace:
    """Make a workspace of these sources instead of the library's."""
    contents = list(contents)
    workspace = make_workspace(folder, len(contents))
    for id, content in zip(workspace.ids, contents, strict=True):
        (workspace.sources / str(id)).write_bytes(content)
    return workspace


def _run(workspace: Workspace) -> None:
    services = [module.microservice for module in (check, measure, gather)]
    with Pipeline(services, FileSystemMap(workspace.sys_map)) as pipeline:
        pipeline.queues.publish("check-inbound", [b"%d" % id for id in workspace.ids])
        assert pipeline.wait_until_idle(_BOUND_SECONDS)


def _line(part: str, output: str) -> str:
    return next(line for line in output.splitlines() if part in line)


def _numbers(part: str, output: str) -> list[int]:
    found = re.findall(r"\d[\d,]*", _line(part, output))
    return [int(number.replace(",", "")) for number in found]


def _query(folder: Path, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "demo.sqlite")) as connection:
        return connection.execute(statement, parameters).fetchall()


def _connect(server: PostgreSQLServer) -> Any:
    return psycopg2.connect(
        host=server.host,
        port=server.port,
        user=server.username,
        password=server.password,
        dbname=server.database,
    )
