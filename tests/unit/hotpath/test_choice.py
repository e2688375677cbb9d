"""Which implementation callers get, why, and that a broken one is never passed over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hotpaths import IMPLEMENTATIONS, load

import slingshot_microservice
from slingshot_microservice import hotpath

PACKAGE = Path(slingshot_microservice.__file__).parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
SAY = "from slingshot_microservice import hotpath as h; print(h.IMPLEMENTATION, h.REASON, sep=': ')"
NEUTRAL = {name: value for name, value in os.environ.items() if "SLINGSHOT" not in name}
NO, REQUIRE = "SLINGSHOT_NO_EXTENSIONS", "SLINGSHOT_REQUIRE_EXTENSIONS"


def choose(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Let a Python of its own import the package that lies in ``folder``, and say what it took."""
    # Isolated from this run: it sees that folder, and no installation of the package.
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); {SAY}"
    return subprocess.run(
        [sys.executable, "-I", "-B", "-c", code],
        env={**NEUTRAL, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def said(folder: Path, **environment: str) -> str:
    run = choose(folder, **environment)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def refused(folder: Path, **environment: str) -> str:
    """Return the last line of the error; it is that of an import."""
    run = choose(folder, **environment)
    assert run.returncode != 0, run.stdout
    return run.stderr.strip().splitlines()[-1]


@pytest.fixture
def without_extension(tmp_path: Path) -> Path:
    """A folder with the package as it is installed without a compiler."""
    skipped = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=skipped)
    return tmp_path


@pytest.fixture
def with_broken_extension(without_extension: Path) -> Path:
    extension = without_extension / PACKAGE.name / "hotpath" / f"_compiled{SUFFIX}"
    extension.write_bytes(b"this is no shared library")
    return without_extension


@pytest.mark.parametrize("value", [None, "", "0"])
def test_the_extension_is_taken_where_there_is_one(value: str | None) -> None:
    environment = {} if value is None else {NO: value, REQUIRE: value}
    assert said(PACKAGE.parent, **environment) == "compiled: the extension is installed"


@pytest.mark.parametrize("value", ["1", "yes"])
def test_the_fallback_is_taken_where_it_is_asked_for(value: str) -> None:
    taken = said(PACKAGE.parent, **{NO: value})
    assert taken == "fallback: SLINGSHOT_NO_EXTENSIONS is set"


def test_an_extension_that_is_required_and_there_is_taken() -> None:
    assert said(PACKAGE.parent, **{REQUIRE: "1"}) == "compiled: the extension is installed"


@pytest.mark.parametrize("value", [None, "", "0"])
def test_without_an_extension_the_fallback_is_taken(
    without_extension: Path, value: str | None
) -> None:
    environment = {} if value is None else {REQUIRE: value}
    taken = said(without_extension, **environment)
    assert taken == "fallback: the extension is not installed"


def test_a_missing_extension_that_is_required_is_an_error(without_extension: Path) -> None:
    assert refused(without_extension, **{REQUIRE: "1"}) == (
        "ImportError: SLINGSHOT_REQUIRE_EXTENSIONS is set, and this installation has no compiled "
        "hot path; install a wheel for this platform, or a compiler and the package from source"
    )


@pytest.mark.parametrize("environment", [{}, {REQUIRE: "1"}], ids=["plain", "required"])
def test_a_broken_extension_is_an_error(
    with_broken_extension: Path, environment: dict[str, str]
) -> None:
    error = refused(with_broken_extension, **environment)
    assert error.startswith("ImportError: ")
    assert "_compiled" in error


def test_a_broken_extension_does_not_matter_to_who_wants_none(with_broken_extension: Path) -> None:
    assert said(with_broken_extension, **{NO: "1"}).startswith("fallback: ")


def test_an_extension_that_fails_while_it_is_imported_is_an_error(without_extension: Path) -> None:
    """Such as one that was built from sources of another version."""
    module = without_extension / PACKAGE.name / "hotpath" / "_compiled.py"
    module.write_text("from ._common import of_another_version\n")
    error = refused(without_extension)
    assert error.startswith("ImportError: cannot import name 'of_another_version'")


def test_both_wishes_at_once_are_an_error() -> None:
    assert refused(PACKAGE.parent, **{NO: "1", REQUIRE: "1"}) == (
        "ImportError: SLINGSHOT_NO_EXTENSIONS and SLINGSHOT_REQUIRE_EXTENSIONS are both set; "
        "unset one"
    )


def test_callers_get_the_implementation_that_is_named() -> None:
    chosen = load(f"_{hotpath.IMPLEMENTATION}")
    for name in ("FrameReader", "FrameWriter", "Ledger", "RoutingTable", "decode_id"):
        assert getattr(hotpath, name) is getattr(chosen, name)


def test_every_implementation_is_tested() -> None:
    """The parts of the fallback are tested through it."""
    folder = Path(__file__).parents[3] / "slingshot_microservice" / "hotpath"
    sources = {path.stem for suffix in ("py", "pyx") for path in folder.glob(f"*.{suffix}")}
    parts = {name for name in sources if name.startswith("_fallback_")}
    assert sources - parts - {"__init__", "_common"} == set(IMPLEMENTATIONS)
