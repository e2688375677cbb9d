"""Looks whether the package that is installed here is whole, and tests its hot path.

usage: python -I check_wheel.py SOURCES compiled|fallback

SOURCES is an unpacked source distribution, or the repository: it gives the tests, and must not
give the package. Runs in an environment with the wheel, pytest, pytest-timeout and hypothesis.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import slingshot_microservice
from slingshot_microservice import hotpath

__all__ = ["main"]

ONLY_FALLBACK = ("--ignore-glob=*/test_twins*.py", "--ignore-glob=*/test_choice.py", "-k")
"""What has no compiled twin cannot be compared with it."""


def main() -> None:
    """Run as a program."""
    sources, expected = Path(sys.argv[1]).resolve(), sys.argv[2]
    package = Path(slingshot_microservice.__file__).resolve()
    if package.is_relative_to(sources):
        sys.exit(f"{package} is not the installed package")
    if expected != hotpath.IMPLEMENTATION:
        sys.exit(f"the hot path is the {hotpath.IMPLEMENTATION} one ({hotpath.REASON})")
    run("slingshot_microservice", "--version")
    tests = sources / "tests" / "unit"
    run(
        *("pytest", "-q", "-p", "no:cacheprovider"),
        *("-c", str(sources / "pyproject.toml"), "--rootdir", str(sources)),
        # The servers of the other tests, and what they need, are not installed.
        *("--confcutdir", str(tests)),
        *((*ONLY_FALLBACK, "not compiled") if expected == "fallback" else ()),
        *(str(tests / "hotpath"), str(tests / "broker")),
    )


def run(module: str, *arguments: str) -> None:
    """Run a module of this environment; end where it fails."""
    # Isolated, so that neither the working directory nor PYTHONPATH gives anything.
    code = subprocess.run([sys.executable, "-I", "-m", module, *arguments], check=False).returncode
    if code:
        sys.exit(f"{module} failed")


if __name__ == "__main__":
    main()
