"""Makes the distributions, and tests every wheel on every Python that it is for.

usage: python scripts/dist.py [--only X.Y]

Leaves in dist/: the source distribution; made from that, a wheel for this platform for every
CPython from 3.10 on that is found, and the wheel for all others, which is pure Python. Each wheel
is tested in an environment of its own, outside of the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

__all__ = ["Python", "main", "pythons"]

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
OLDEST = (3, 10)
WORKERS = os.cpu_count() or 1
FREE_THREADED_LACKS = "orjson and psycopg2-binary"
QUESTION = """
import json, platform, sys, sysconfig
from importlib.util import find_spec
print(json.dumps({
    "cpython": platform.python_implementation() == "CPython",
    "version": list(sys.version_info[:3]),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "complete": None not in (find_spec("ensurepip"), find_spec("venv")),
}))
"""
TOOLS = ("Cython>=3.1", "hypothesis>=6.100", "pytest>=8.2", "pytest-timeout>=2.3")


class Python(NamedTuple):
    """An interpreter.

    Attributes:
        version: Major, minor and micro version.
        path: The program.
    """

    version: tuple[int, ...]
    path: Path

    @property
    def name(self) -> str:
        """The version as people say it."""
        return ".".join(map(str, self.version))


def pythons() -> list[Python]:
    """Find every CPython that we are for: of each minor version the newest, the oldest first."""
    found: dict[tuple[int, ...], Python] = {}
    for path in candidates():
        python = interrogate(path)
        if python and python.version > found.get(python.version[:2], ((0,), path))[0]:
            found[python.version[:2]] = python
    return sorted(found.values())


def candidates() -> Iterator[Path]:
    """Name the programs that may be such a Python, pyenv's among them."""
    yield Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from pyenv.glob("versions/*/bin/python")
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield from Path(folder).glob("python3")
        yield from Path(folder).glob("python3.[0-9]*")


def interrogate(path: Path) -> Python | None:
    """Return the Python at ``path`` if it is one that we are for."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", QUESTION], capture_output=True, check=True, timeout=30
        )
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # a shim that leads nowhere, a python3.11-config, a Python 2
    version = tuple(answer["version"])
    if not (answer["cpython"] and answer["complete"]) or version < OLDEST:
        return None
    if answer["free_threaded"]:
        print(f"{path}: not tested, because {FREE_THREADED_LACKS} are not to be had for it")
        return None
    return Python(version, path)


def run(
    *command: str | Path, cwd: Path | None = None, settings: Mapping[str, str] | None = None
) -> str:
    """Run a program, with ``settings`` in its environment; return what it printed.

    Raises:
        SystemExit: The program failed; what it printed is in it.
    """
    inherited = {name: value for name, value in os.environ.items() if name[:10] != "SLINGSHOT_"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(settings or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{' '.join(map(str, command))} failed")
    return done.stdout


def make_sdist(folder: Path) -> tuple[Path, Path]:
    """Make the source distribution; return it, and where in ``folder`` it is unpacked."""
    run(sys.executable, "-m", "build", "--sdist", "--outdir", DIST, ROOT)
    (sdist,) = DIST.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        if sys.version_info >= (3, 12):
            archive.extractall(folder, filter="data")
        else:
            archive.extractall(folder)
    expect(sdist, any(name.endswith("_compiled.pyx") for name in names), "it has no .pyx")
    expect(sdist, not any(name.endswith(("_compiled.c", ".so")) for name in names), "it has C")
    return sdist, folder / sdist.name.removesuffix(".tar.gz")


def make_wheel(python: Python, sdist: Path, folder: Path, *settings: str) -> Path:
    """Make a wheel from ``sdist`` in ``folder``, with each of ``settings`` set to 1."""
    pip = (python.path, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir")
    run(*pip, "--wheel-dir", folder, sdist, settings=dict.fromkeys(settings, "1"))
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_compiled(python: Python, sdist: Path, folder: Path) -> Path:
    """Make the wheel for this platform, one that runs on other machines too."""
    settings = ("SLINGSHOT_REQUIRE_EXTENSIONS", "SLINGSHOT_WARNINGS_ARE_ERRORS")
    wheel = make_wheel(python, sdist, folder / f"built-{python.name}", *settings)
    if sys.platform == "linux":
        wheel = repair(wheel, folder / f"repaired-{python.name}")
    check_contents(wheel, extensions=1)
    return Path(shutil.copy2(wheel, DIST))


def repair(wheel: Path, folder: Path) -> Path:
    """Have auditwheel find out on which systems ``wheel`` runs, and name it so."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = (sys.executable, "-m", "auditwheel", "repair", "--strip", "--wheel-dir", folder)
    run(*command, wheel, settings={"PATH": path})
    (repaired,) = folder.glob("*.whl")
    expect(repaired, "manylinux" in repaired.name or "musllinux" in repaired.name, "wrong tag")
    return repaired


def make_pure(python: Python, sdist: Path, folder: Path) -> Path:
    """Make the wheel without compiled code."""
    wheel = make_wheel(python, sdist, folder / "pure", "SLINGSHOT_NO_EXTENSIONS")
    expect(wheel, wheel.name.endswith("-py3-none-any.whl"), "wrong tag")
    check_contents(wheel, extensions=0)
    return Path(shutil.copy2(wheel, DIST))


def check_contents(wheel: Path, *, extensions: int) -> None:
    """See that a wheel has what it should have, and nothing of how it was made."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    compiled = [name for name in names if name.endswith((".so", ".pyd"))]
    expect(wheel, len(compiled) == extensions, f"its extensions are {compiled}")
    expect(wheel, "slingshot_microservice/py.typed" in names, "it has no py.typed")
    strays = [name for name in names if not name.startswith("slingshot_microservice")]
    strays += [name for name in names if name.endswith((".pyx", ".c"))]
    expect(wheel, not strays, f"it has {strays[:3]} in it")


def expect(path: Path, condition: bool, otherwise: str) -> None:
    """End with ``otherwise`` unless ``condition`` holds for the file at ``path``."""
    if not condition:
        raise SystemExit(f"{path.name}: {otherwise}")


def check(python: Python, wheel: Path, sources: Path, folder: Path) -> str:
    """Install ``wheel`` for ``python`` in an environment of its own, and test it.

    Returns:
        What pytest said in the end.
    """
    expected = "fallback" if "none-any" in wheel.name else "compiled"
    home = folder / f"{python.name}-{expected}"
    run(python.path, "-m", "venv", home)
    program = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(program, "-m", "pip", "install", "--quiet", wheel, *TOOLS)
    script = ROOT / "scripts" / "check_wheel.py"
    lines = run(program, "-I", script, sources, expected, cwd=home).strip().splitlines()
    return lines[-1]


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="dist", description="Makes and tests distributions.")
    parser.add_argument("--only", metavar="X.Y", help="one version of Python alone")
    only = parser.parse_args().only
    chosen = [one for one in pythons() if only is None or one.name.startswith(f"{only}.")]
    if not chosen:
        sys.exit("there is no such CPython here that can make virtual environments")
    print("for", ", ".join(f"CPython {one.name}" for one in chosen), flush=True)
    shutil.rmtree(DIST, ignore_errors=True)
    with (
        TemporaryDirectory(prefix="slingshot-dist-") as folder,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        make_and_check(chosen, Path(folder), pool)


def make_and_check(chosen: list[Python], folder: Path, pool: ThreadPoolExecutor) -> None:
    """Make everything, test all wheels, and say what came of it."""
    sdist, sources = make_sdist(folder)
    pure = make_pure(chosen[-1], sdist, folder)
    compiled = list(pool.map(lambda python: make_compiled(python, sdist, folder), chosen))
    for path in (sdist, pure, *compiled):
        print(f"{path.stat().st_size / 1024:>8.0f} KiB  {path.relative_to(ROOT)}", flush=True)
    jobs = [*zip(chosen, compiled, strict=True), *((python, pure) for python in chosen)]
    results = pool.map(lambda job: check(job[0], job[1], sources, folder), jobs)
    for (python, wheel), result in zip(jobs, results, strict=True):
        print(f"CPython {python.name}, {wheel.name}: {result}", flush=True)


if __name__ == "__main__":
    main()
