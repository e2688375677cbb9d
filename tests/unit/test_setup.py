"""Building from source, with a compiler and without, and what is built into what."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOTPATH = Path("slingshot_microservice", "hotpath")
NO, REQUIRE = "SLINGSHOT_NO_EXTENSIONS", "SLINGSHOT_REQUIRE_EXTENSIONS"
ERRORS = "SLINGSHOT_WARNINGS_ARE_ERRORS"
NO_COMPILER = {"CC": "/nonexistent/cc"}

pytestmark = pytest.mark.timeout(600)  # a compiler has much to do


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what a build needs, as it is on a machine that never built it."""
    copy = tmp_path / "sources"
    copy.mkdir()
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    skipped = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
    for name in ("slingshot_microservice", "tests", "docs"):
        shutil.copytree(ROOT / name, copy / name, ignore=skipped)
    return copy


def build(sources: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name[:10] != "SLINGSHOT_"}
    return subprocess.run(
        [sys.executable, "setup.py", *command],
        cwd=sources,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def extensions(sources: Path) -> list[str]:
    return [path.name for path in (sources / "build").rglob("_compiled.*.so")]


def test_with_a_compiler_there_is_an_extension_that_works(sources: Path) -> None:
    done = build(sources, "build", "--build-base", "build", **{REQUIRE: "1", ERRORS: "1"})
    assert done.returncode == 0, done.stderr
    assert len(extensions(sources)) == 1
    (library,) = (sources / "build").glob("lib*")
    code = f"import sys; sys.path.insert(0, {str(library)!r})\n"
    code += "from slingshot_microservice import hotpath as h; print(h.__file__, h.IMPLEMENTATION)"
    said = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env={REQUIRE: "1"},  # not that of this run, which may be one without extensions
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.split() == [str(library / HOTPATH / "__init__.py"), "compiled"]


def test_without_a_compiler_it_is_pure_python_and_says_so(sources: Path) -> None:
    done = build(sources, "build_ext", **NO_COMPILER)
    assert done.returncode == 0, done.stderr
    assert extensions(sources) == []
    assert "slingshot-microservice is installed as pure Python" in done.stdout + done.stderr


def test_without_a_compiler_an_editable_installation_works_too(sources: Path) -> None:
    done = build(sources, "build_ext", "--inplace", **NO_COMPILER)
    assert done.returncode == 0, done.stderr
    assert list((sources / HOTPATH).glob("*.so")) == []
    assert "slingshot-microservice is installed as pure Python" in done.stdout + done.stderr


def test_without_a_compiler_that_is_required_it_fails(sources: Path) -> None:
    done = build(sources, "build_ext", **NO_COMPILER, **{REQUIRE: "1"})
    assert done.returncode != 0
    assert "/nonexistent/cc" in done.stderr


def test_where_no_extension_is_wanted_no_compiler_is_asked(sources: Path) -> None:
    done = build(sources, "bdist_wheel", **NO_COMPILER, **{NO: "1"})
    assert done.returncode == 0, done.stderr
    (wheel,) = (sources / "dist").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "pure Python" not in done.stdout + done.stderr, "which is what was asked for"


def test_both_wishes_at_once_are_an_error(sources: Path) -> None:
    done = build(sources, "build", **{NO: "1", REQUIRE: "1"})
    assert done.returncode != 0
    assert "are both set; unset one" in done.stderr


def test_a_warning_of_the_compiler_is_an_error_where_that_is_asked_for(sources: Path) -> None:
    settings = {REQUIRE: "1", ERRORS: "1", "CFLAGS": "-Wconversion"}
    done = build(sources, "build_ext", **settings)
    assert done.returncode != 0
    assert "-Werror=" in done.stderr


def test_the_source_distribution_has_the_source_and_no_c(sources: Path) -> None:
    (sources / HOTPATH / "_compiled.c").write_text("#error of another Python\n")
    (sources / HOTPATH / "_compiled.so").write_bytes(b"of another machine")
    done = build(sources, "sdist")
    assert done.returncode == 0, done.stderr
    (archive,) = (sources / "dist").iterdir()
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert str(HOTPATH / "_compiled.pyx") in names
    assert "tests/unit/test_setup.py" in names
    assert [name for name in names if name.endswith((".c", ".so", ".pyc"))] == []


def test_every_extension_is_listed() -> None:
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    listed = re.findall(r'"(slingshot_microservice/[\w/]+\.pyx)"', text)
    there = (ROOT / "slingshot_microservice").rglob("*.pyx")
    assert listed == [path.relative_to(ROOT).as_posix() for path in there]
