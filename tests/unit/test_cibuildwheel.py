"""What cibuildwheel makes of cibuildwheel.toml: the wheels of a release, all and no others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = ("--config-file", "cibuildwheel.toml")
VERSIONS = ["cp310", "cp311", "cp312", "cp313", "cp314"]
PLATFORMS = {
    "linux": [
        f"{library}_{machine}"
        for library in ("manylinux", "musllinux")
        for machine in ("x86_64", "aarch64")
    ],
    "macos": ["macosx_x86_64", "macosx_arm64"],
    "windows": ["win_amd64"],
}
WORKFLOWS = ROOT / ".github" / "workflows"


def identifiers(platform: str, *arguments: str) -> set[str]:
    """Ask cibuildwheel what it would build for ``platform``."""
    command = [sys.executable, "-m", "cibuildwheel", "--platform", platform, *arguments]
    done = subprocess.run(
        [*command, "--print-build-identifiers", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


# Where it does not hold, every other version of Python has run it.
@pytest.mark.skipif(sys.version_info < (3, 11), reason="cibuildwheel itself needs Python 3.11")
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_wheel_of_a_release(platform: str) -> None:
    expected = {f"{version}-{tag}" for version in VERSIONS for tag in PLATFORMS[platform]}
    assert identifiers(platform, *CONFIGURATION) == expected


@pytest.mark.skipif(sys.version_info < (3, 11), reason="cibuildwheel itself needs Python 3.11")
def test_the_file_must_be_named() -> None:
    """Or nothing of it holds, and nobody is told."""
    assert identifiers("linux") != identifiers("linux", *CONFIGURATION)


def test_whoever_runs_cibuildwheel_names_the_file() -> None:
    calls = [
        line.strip()
        for workflow in WORKFLOWS.glob("*.yml")
        for line in workflow.read_text(encoding="utf-8").splitlines()
        if re.search(r"python -m cibuildwheel|pypa/cibuildwheel", line)
    ]
    assert calls
    assert all(" ".join(CONFIGURATION) in call for call in calls), calls


def test_the_versions_are_those_of_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r"Programming Language :: Python :: 3\.(\d+)", text)
    assert [f"cp3{minor}" for minor in named] == VERSIONS


@pytest.mark.parametrize("workflow", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_no_job_can_hang_and_no_action_can_change(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert text.count("runs-on:") == text.count("timeout-minutes:")
    actions = re.findall(r"uses: (\S+)", text)
    assert actions
    assert [one for one in actions if not re.fullmatch(r"[\w./-]+@v\d+\.\d+\.\d+", one)] == []
