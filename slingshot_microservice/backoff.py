"""Growing pauses with jitter, for whatever is tried again.

What comes back is not stampeded, and what is gone is not hammered.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["pauses"]


def pauses(first: float, limit: float) -> Iterator[float]:
    """Yield pauses without end, each drawn from the upper half of a bound that doubles.

    Args:
        first: Seconds that the first bound is.
        limit: Seconds that the bound grows to.

    Yields:
        Seconds to wait before the next attempt.
    """
    bound = min(first, limit)
    while True:
        yield random.uniform(bound / 2, bound)  # noqa: S311  # jitter is no secret
        bound = min(limit, bound * 2)
