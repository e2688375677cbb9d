"""Who may know whom: the rooms of the package, and the libraries behind their doors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "slingshot_microservice"

# What every room may use: leaves that know nobody.
LEAVES = {"_version", "backoff", "errors", "options", "typing"}

# A room, and the rooms that it may import besides the leaves.
MAY_KNOW: dict[str, set[str]] = {
    "_version": set(),
    "backoff": set(),
    "errors": set(),
    "typing": set(),
    "options": {"errors"},
    "signals": set(),
    "hotpath": set(),
    "observe": set(),
    "processes": set(),
    "sysmap": set(),
    "files": set(),
    "embedded_postgresql": set(),
    "database": {"embedded_postgresql"},
    "broker": {"hotpath"},
    "parked": {"broker", "hotpath"},
    "runtime": {"hotpath", "sysmap", "files", "database", "broker", "observe"},
    "wiring": {"hotpath", "sysmap", "files", "database", "broker", "observe", "runtime"},
    "microservice": {"broker", "observe", "runtime", "signals", "sysmap", "wiring"},
    "pipeline": {"broker", "microservice", "runtime", "sysmap", "wiring"},
    "demo": {"", "sysmap"},
    "cli": {
        "",
        "broker",
        "demo",
        "hotpath",
        "microservice",
        "observe",
        "parked",
        "pipeline",
        "processes",
        "signals",
        "sysmap",
    },
    "__main__": {"cli"},
    "": {"microservice"},
}

# Heavy libraries, and the modules that may import each. The demo's services are user code.
IMPORTERS = {
    "pika": {
        "broker/amqp.py",
        "broker/properties.py",
        "broker/stream.py",
        "broker/waiting.py",
    },
    "requests": {"sysmap/client.py"},
    "boto3": {"files/s3.py"},
    "botocore": {"files/s3.py"},
    "sqlalchemy": {f"database/{name}.py" for name in ("database", "engines", "errors", "session")},
    "psycopg2": {f"database/{name}.py" for name in ("engines", "errors", "session")},
    "obstore": {"files/s3_obstore.py"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(path: Path) -> Iterator[str]:
    """Yield the absolute names of what a module imports, wherever in it, but for types."""
    package = ["slingshot_microservice", *path.relative_to(PACKAGE).parts[:-1]]
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from runtime_nodes(node)


def rooms_known_by(path: Path) -> set[str]:
    known = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "slingshot_microservice":
            inner = parts[1] if len(parts) > 1 else ""
            is_room = (PACKAGE / inner).is_dir() or (PACKAGE / f"{inner}.py").is_file()
            known.add(inner if is_room else "")
    return known - {room_of(path)}


def test_every_room_is_in_the_table() -> None:
    assert {room_of(path) for path in modules()} == set(MAY_KNOW)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_knows_only_whom_it_may(path: Path) -> None:
    room = room_of(path)
    allowed = MAY_KNOW[room] | (set() if room in {"hotpath", "errors", "typing"} else LEAVES)
    assert rooms_known_by(path) <= allowed


def test_there_are_no_circles() -> None:
    knows: dict[str, set[str]] = {room: set() for room in MAY_KNOW}
    for path in modules():
        # The demo's services and the command line import the package as a user would.
        knows[room_of(path)] |= rooms_known_by(path) - {""}
    done: set[str] = set()
    while left := set(knows) - done:
        free = {room for room in left if knows[room] <= done}
        assert free, f"these import each other in a circle: {sorted(left)}"
        done |= free


@pytest.mark.parametrize("library", IMPORTERS)
def test_a_library_is_imported_where_it_may_be(library: str) -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules()
        if any(name.split(".")[0] == library for name in imports(path)) and room_of(path) != "demo"
    }
    assert importers == IMPORTERS[library]
