"""Drives both implementations of the frame reader with streams that lie, and compares.

usage: python tests/fuzz.py [--streams N] [--seed N] [--processes N]
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import Counter
from functools import partial
from multiprocessing import get_context
from random import Random
from typing import Any

import streams
from twins import compiled, fallback

from slingshot_microservice.hotpath import FrameError, Received

__all__ = ["compare", "main", "run"]

_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")
_BATCH = 1_000  # streams that a process takes on at a time


def compare(pieces: list[bytes]) -> Counter[str]:
    """Feed ``pieces`` to both readers.

    Returns:
        What was found in them, by kind: "deliveries" and so on, and the error, if any.

    Raises:
        AssertionError: The two differ.
    """
    counts: Counter[str] = Counter(streams=1)
    readers = fallback.FrameReader(streams.CHANNEL), compiled.FrameReader(streams.CHANNEL)
    for piece in pieces:
        expected, found = (_feed(reader, piece) for reader in readers)
        # Their looks, because True is equal to 1.
        assert repr(found) == repr(expected), f"{pieces!r}: {found!r}, not {expected!r}"
        if isinstance(expected, FrameError):
            counts["error: " + _NUMBERS.sub("N", str(expected))] += 1
            break
        for kind in ("deliveries", "raw", "confirms", "returns"):
            counts[kind] += len(getattr(expected, kind))
        counts["bytes of other frames"] += len(expected.other)
    return counts


def _feed(reader: Any, piece: bytes) -> Received | FrameError:
    try:
        received: Received = reader.feed(piece)
    except FrameError as error:
        return error
    return received


def _one(random: Random) -> list[bytes]:
    data = streams.stream(random, random.randrange(1, 8))
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        data = streams.lie(random, data)
    return streams.cut(random, data, random.choice((1, 1, 2, 3, 8)))


def run(seed: str, count: int) -> Counter[str]:
    """Compare the readers on ``count`` streams that ``seed`` stands for."""
    random = Random(seed)
    total: Counter[str] = Counter()
    for _ in range(count):
        total.update(compare(_one(random)))
    return total


def _batch(seed: int, total: int, number: int) -> Counter[str]:
    return run(f"{seed}/{number}", min(_BATCH, total - number * _BATCH))


def main(arguments: list[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Compares both frame readers.")
    parser.add_argument("--streams", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    total: Counter[str] = Counter()
    work = partial(_batch, options.seed, options.streams)
    with get_context("spawn").Pool(options.processes) as pool:
        for counts in pool.imap_unordered(work, range(-(-options.streams // _BATCH))):
            total.update(counts)
    _report(total, time.monotonic() - begun)
    return 0


def _report(total: Counter[str], seconds: float) -> None:
    errors = sum(count for kind, count in total.items() if kind.startswith("error: "))
    print(f"{total['streams']:>12,} streams fed to both twins, which never differed")
    for kind in ("deliveries", "raw", "confirms", "returns", "bytes of other frames"):
        print(f"{total[kind]:>12,} {kind}")
    print(f"{errors:>12,} streams were refused:")
    for kind, count in total.most_common():
        if kind.startswith("error: "):
            print(f"{count:>16,} {kind.removeprefix('error: ')}")
    print(f"{seconds:>12.1f} s")


if __name__ == "__main__":
    sys.exit(main())
