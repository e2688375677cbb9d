"""The package as it is installed: what it names, what it loads, and what it says of itself."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path
from types import ModuleType

import pytest

import slingshot_microservice
from slingshot_microservice import errors, options, typing

ROOT = Path(__file__).parents[2]
PUBLIC_MODULES = [slingshot_microservice, errors, options, typing]


def test_importing_it_loads_no_heavy_library() -> None:
    heavy = ["boto3", "botocore", "obstore", "sqlalchemy", "pika", "requests", "psycopg2"]
    heavy += ["orjson", "rich"]
    program = (
        "import sys, slingshot_microservice, slingshot_microservice.typing; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("module", PUBLIC_MODULES, ids=lambda module: module.__name__)
def test_public_names_are_sorted_there_and_documented(module: ModuleType) -> None:
    names: list[str] = module.__all__
    assert names == sorted(names, key=lambda name: (not name[0].isupper(), name))
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


def test_the_version_is_the_one_that_is_installed_and_described() -> None:
    assert metadata.version("slingshot-microservice") == slingshot_microservice.__version__
    headings = re.findall(
        r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert headings[0] == "Unreleased" or headings[0] == slingshot_microservice.__version__


def test_it_is_typed() -> None:
    assert resources.files("slingshot_microservice").joinpath("py.typed").is_file()


def test_the_metadata_names_every_python() -> None:
    classifiers = metadata.metadata("slingshot-microservice").get_all("Classifier") or []
    for minor in range(10, 15):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers


def test_every_module_can_be_imported() -> None:
    package = Path(slingshot_microservice.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.name != "__main__.py":
            name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            assert importlib.import_module(name)
