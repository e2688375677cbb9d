"""``make faults``: runs every scenario at its full size, and keeps the table of what happened."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.machine import describe

from .rows import markdown, merge, put_between_markers, read, write
from .sizes import ROWS_VARIABLE, SIZE_VARIABLE, SOAK_VARIABLE

_ROOT = Path(__file__).parents[2]
_RESULTS = Path(__file__).with_name("results.csv")
_PAGE = _ROOT / "docs" / "reliability.md"
_SECONDS = 4 * 3600  # for one scenario
_HOT_PATHS = {
    "compiled": {"SLINGSHOT_REQUIRE_EXTENSIONS": "1", "SLINGSHOT_NO_EXTENSIONS": ""},
    "fallback": {"SLINGSHOT_REQUIRE_EXTENSIONS": "", "SLINGSHOT_NO_EXTENSIONS": "1"},
}


def main() -> int:
    """Run what the command line asks for; return 0 if all of it held."""
    arguments = _arguments()
    failed = 0
    conditions = describe()  # before the runs, because the tree may change meanwhile
    for implementation in arguments.implementations:
        with tempfile.TemporaryDirectory(prefix="slingshot-faults-") as folder:
            rows = Path(folder) / "rows.csv"
            failed += _run(implementation, arguments, rows) != 0
            if not arguments.dry_run:
                _keep(rows, conditions)
    return min(failed, 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults FAULTS_ARGS=…", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="pytest's -k: some scenarios")
    parser.add_argument("--size", choices=["small", "full"], default="full")
    parser.add_argument(
        "--implementations", nargs="+", choices=[*_HOT_PATHS], default=[*_HOT_PATHS]
    )
    parser.add_argument("--soak-minutes", metavar="N", help="how long the soak takes")
    parser.add_argument("--dry-run", action="store_true", help="do not keep the results")
    return parser.parse_args()


def _run(implementation: str, arguments: argparse.Namespace, rows: Path) -> int:
    environment = {
        **os.environ,
        **_HOT_PATHS[implementation],
        SIZE_VARIABLE: arguments.size,
        SOAK_VARIABLE: arguments.soak_minutes or "",
        ROWS_VARIABLE: str(rows),
    }
    command = [
        *(sys.executable, "-m", "pytest", "tests/faults", "-k", arguments.only),
        *("-v", "-o", f"timeout={_SECONDS}"),
    ]
    return subprocess.run(command, cwd=_ROOT, env=environment).returncode


def _keep(rows: Path, conditions: Mapping[str, str]) -> None:
    """Put the rows of a run in the place of older ones, and show all of them on the page."""
    records = merge(read(_RESULTS), read(rows), conditions)
    if not records:
        return
    write(_RESULTS, records)
    put_between_markers(_PAGE, markdown(records))


if __name__ == "__main__":
    sys.exit(main())
