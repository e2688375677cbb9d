"""How large a scenario is: seconds in ``make test``, as large as it takes in ``make faults``."""

from __future__ import annotations

import os
from typing import TypeVar

__all__ = ["FULL", "ROWS_VARIABLE", "SIZE_VARIABLE", "SOAK_VARIABLE", "sized"]

SIZE_VARIABLE = "SLINGSHOT_TEST_FAULTS"
ROWS_VARIABLE = "SLINGSHOT_TEST_FAULTS_ROWS"
"""The CSV file that rows are appended to; without it they are only printed."""
SOAK_VARIABLE = "SLINGSHOT_TEST_FAULTS_SOAK_MINUTES"
"""How long the soak takes, where that is not left to the size."""

FULL = os.environ.get(SIZE_VARIABLE) == "full"

T = TypeVar("T")


def sized(*, small: T, full: T) -> T:
    """Return what this run's size is."""
    return full if FULL else small
