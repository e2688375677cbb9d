from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slingshot_microservice.cli.loading import load_service, load_services
from slingshot_microservice.errors import LoadError

_SERVICE = """
from slingshot_microservice import Microservice
def process(request, read_file, write_file, connection):
    yield request, True
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current folder is ``tmp_path``; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("module", ["loud", "loud.py", "./loud.py"])
def test_a_service_that_starts_is_collected_and_does_not_block(module: str) -> None:
    _write("loud.py", _SERVICE + 'Microservice("shout", "host", process).start()\n')
    assert _names(module) == ["shout"]


@pytest.mark.parametrize("module", ["shop.orders", "shop/orders.py"])
def test_a_variable_is_a_service(module: str) -> None:
    _write("shop/__init__.py", "")
    _write("shop/orders.py", _SERVICE + 'orders = Microservice("orders", "host", process)\n')
    assert _names(module) == ["orders"]


def test_a_service_found_in_two_ways_is_one() -> None:
    _write("loud.py", _SERVICE + 'shout = Microservice("shout", "host", process)\nshout.start()\n')
    _write("more.py", "from loud import shout, process\n")
    assert _names("loud", "more", "loud") == ["shout"]


def test_what_lies_beside_a_file_can_be_imported() -> None:
    _write("services/beside.py", 'NAME = "shout"\n')
    _write(
        "services/loud.py",
        "from beside import NAME\n" + _SERVICE + 'Microservice(NAME, "host", process).start()\n',
    )
    assert _names("services/loud.py") == ["shout"]


def test_a_file_named_as_a_module_of_python_hides_nothing() -> None:
    import queue

    _write("queue.py", _SERVICE + 'Microservice("shout", "host", process).start()\n')
    assert _names("./queue.py") == ["shout"]
    assert sys.modules["queue"] is queue


@pytest.mark.parametrize("module", ["absent", "absent.py", "absent/file.py", "absent.deeper"])
def test_a_module_that_is_not_there(module: str) -> None:
    with pytest.raises(LoadError, match=r"no module absent in|there is no such file") as raised:
        load_services([module])
    assert "absent" in str(raised.value)


@pytest.mark.parametrize("module", ["..", "a-b", "", "a..b"])
def test_what_names_no_module(module: str) -> None:
    with pytest.raises(LoadError, match="neither the dotted name of a module nor the path"):
        load_services([module])


@pytest.mark.parametrize("module", ["guarded", "guarded.py"])
def test_no_service_says_what_was_looked_for(module: str) -> None:
    start = 'if __name__ == "__main__":\n    Microservice("shout", "host", process).start()\n'
    _write("guarded.py", _SERVICE + start)
    with pytest.raises(LoadError, match=r"no service in guarded.*\.start\(\).*__main__.*not seen"):
        load_services([module])


@pytest.mark.parametrize("module", ["broken", "broken.py"])
@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("x = 1\ndef f(:\n", 2, "SyntaxError: "),
        ("def f():\n    return 1 / 0\n\nf()\n", 2, "ZeroDivisionError: division by zero"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError: "),
        ("\n\nimport nothere\n", 3, "ModuleNotFoundError: No module named 'nothere'"),
        ("\nimport sys\nsys.exit(3)\n", 3, "SystemExit: 3"),
        (
            "from slingshot_microservice import Microservice\n\nMicroservice('shout', 'host', 5)\n",
            3,
            "process of service 'shout' is 5; expected a function",
        ),
    ],
)
def test_a_mistake_in_a_module_is_placed(
    module: str, content: str, line: int, problem: str, tmp_path: Path
) -> None:
    _write("broken.py", content)
    with pytest.raises(LoadError) as raised:
        load_services([module])
    message = str(raised.value)
    assert message.startswith(f"cannot load {module}: {problem}")
    assert message.endswith(f"({tmp_path / 'broken.py'}:{line})")


def test_a_mistake_is_placed_in_the_file_that_has_it(tmp_path: Path) -> None:
    _write("helper.py", "\n\nraise ValueError('not today')\n")
    _write("loud.py", "import helper\n")
    with pytest.raises(LoadError, match="ValueError: not today") as raised:
        load_services(["loud"])
    assert str(raised.value).endswith(f"({tmp_path / 'helper.py'}:3)")


_TWO = (
    _SERVICE
    + 'one = Microservice("orders", "host", process)\n'
    + 'two = Microservice("invoices", "host", process)\n'
)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("shop:one", "orders"),
        ("shop.py:two", "invoices"),
        ("./shop.py:invoices", "invoices"),
        ("alone", "shout"),
        ("alone.py:shout", "shout"),
    ],
)
def test_one_service_is_found_by_its_variable_or_name(target: str, name: str) -> None:
    _write("shop.py", _TWO)
    _write("alone.py", _SERVICE + 'Microservice("shout", "host", process).start()\n')
    assert load_service(target).name == name


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("shop", "there are 2 services in shop; name one: shop:orders, shop:invoices"),
        ("shop.py:three", "there is no service 'three' in shop.py; there is 'orders', 'invoices'"),
        ("shop:process", "there is no service 'process' in shop; there is 'orders', 'invoices'"),
        ("empty:one", "there is no service in empty: "),
        ("nowhere:one", "there is no module nowhere in "),
    ],
)
def test_a_service_that_cannot_be_told_is_said(target: str, problem: str) -> None:
    _write("shop.py", _TWO)
    _write("empty.py", "")
    with pytest.raises(LoadError) as raised:
        load_service(target)
    assert str(raised.value).startswith(problem)


def _write(name: str, content: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(content)


def _names(*modules: str) -> list[str]:
    return [service.name for service in load_services(modules)]
