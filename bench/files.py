"""What does it cost to read an object and to write one, for every id?"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.progress import Progress

from .broker import RcloneServer, S3Server
from .contestants.objects import (
    ACCESS_VARIABLE,
    BOTO3,
    CLIENTS,
    ENDPOINT_VARIABLE,
    IN_MEMORY,
    OURS_BOTO3,
    OURS_OBSTORE,
    SECRET_VARIABLE,
)
from .pictures import Bars, draw
from .plan import Plan
from .report import Report, Target

__all__ = ["measure"]

_ROOT = Path(__file__).resolve().parent.parent
_PROGRAM = "bench.contestants.objects"
_KIB, _MIB = 1024, 1024 * 1024
_WARM = IN_MEMORY + _MIB  # bytes of the object with which everybody warms up, at most
_TIMEOUT_SECONDS = 1_800.0
_TICKS = os.sysconf("SC_CLK_TCK")
_OURS = (OURS_OBSTORE, OURS_BOTO3)
_THREADS = 8
_WHOLE_FROM = 20  # ids/s

_CPU_LIMIT_MS = 0.6
_CPU_LIMIT_RATIO = 1.1
_RATE_LIMIT_RATIO = 4.0
_MEMORY_LIMIT_MIB = 64.0


@dataclass(frozen=True)
class _Load:
    """What is copied.

    Attributes:
        size: Bytes of an object.
        count: How many objects.
        threads: How many threads copy them.
    """

    size: int
    count: int
    threads: int = 1

    @property
    def name(self) -> str:
        """The size as people say it."""
        unit = "KiB" if self.size < _MIB else "MiB"
        return f"{self.size // (_KIB if unit == 'KiB' else _MIB):,} {unit}"


@dataclass(frozen=True)
class _Run:
    """What one run gave.

    Attributes:
        rate: Ids a second.
        cpu: Milliseconds of the client's CPU time for an id, user and system.
        server_cpu: The same of the server's.
        grown: Bytes of the most memory that was in use, over what was in use before.
    """

    rate: float
    cpu: float
    server_cpu: float
    grown: int


_Runs = dict[tuple[_Load, str], list[_Run]]


class _MemoryServer(RcloneServer):
    """Keeps objects in memory: half of its work on files would be to make and to find them."""

    def _command(self) -> Sequence[str | Path]:
        return self.command(self.port, ":memory:")


def measure(plan: Plan, progress: Progress) -> Report:
    """Answer the question."""
    loads, largest = _loads(plan), _largest(plan)
    steps = len(loads) * plan.file_rounds * len(CLIENTS) + len(_OURS)
    task = progress.add_task("files", total=steps)
    runs: _Runs = {}

    def copy(buckets: _Buckets, load: _Load, client: str) -> None:
        runs.setdefault((load, client), []).append(buckets.copy(client))
        progress.advance(task)

    with _MemoryServer() as server:
        for load in loads:
            with _Buckets(server, load) as buckets:
                for _ in range(plan.file_rounds):
                    for client in CLIENTS:
                        copy(buckets, load, client)
    with RcloneServer() as server, _Buckets(server, largest) as buckets:
        for client in _OURS:
            copy(buckets, largest, client)
    return _report(plan, runs)


def _loads(plan: Plan) -> list[_Load]:
    small, medium, large = plan.file_counts
    return [
        _Load(_KIB, small),
        _Load(_KIB, small, _THREADS),
        _Load(_MIB, medium),
        _Load(100 * _MIB, large),
    ]


def _largest(plan: Plan) -> _Load:
    return _Load(plan.largest_file, 1)


class _Buckets:
    """A bucket with the objects of a load, from which clients copy into buckets of their own.

    Args:
        server: Where the buckets are.
        load: What is copied.
    """

    def __init__(self, server: S3Server, load: _Load) -> None:
        self._server = server
        self._load = load
        self._stem = f"{load.size}-{load.threads}"
        self._inbound = f"in-{self._stem}"
        self._copies = itertools.count()
        # One object more, for everybody to warm up with.
        self._sizes = {str(id): load.size for id in range(load.count)}
        self._sizes[str(load.count)] = min(load.size, _WARM)

    def __enter__(self) -> _Buckets:
        content = os.urandom(max(self._sizes.values()))
        self._server.create_bucket(self._inbound)
        for key, size in self._sizes.items():
            self._server.put(self._inbound, key, content[:size])
        return self

    def __exit__(self, *_: object) -> None:
        self._empty(self._inbound)

    def copy(self, client: str) -> _Run:
        """Let a client copy everything, and see that it did.

        Raises:
            RuntimeError: It failed, or did not do all of its work; the error has its last words.
        """
        outbound = f"out-{self._stem}-{next(self._copies)}"
        self._server.create_bucket(outbound)
        before = _cpu_seconds(self._server.pid)
        figures = self._run(client, outbound)
        # What warming up costs the server is not told apart; it is one object of many.
        server_cpu = _cpu_seconds(self._server.pid) - before
        if self._list(outbound) != self._sizes:
            raise RuntimeError(f"{client} did not copy every object whole")
        self._empty(outbound)
        count = self._load.count
        return _Run(
            rate=count / figures["seconds"],
            cpu=(figures["cpu_user"] + figures["cpu_sys"]) / count * 1e3,
            server_cpu=server_cpu / (count + self._load.threads) * 1e3,
            grown=figures["peak_rss"] - figures["resident"]["0"],
        )

    def _run(self, client: str, outbound: str) -> dict[str, Any]:
        numbers = map(str, (self._load.count, self._load.size, self._load.threads))
        ours = {key: text for key, text in os.environ.items() if not key.startswith("SLINGSHOT_")}
        result = subprocess.run(
            [sys.executable, "-m", _PROGRAM, client, self._inbound, outbound, *numbers],
            cwd=_ROOT,
            env={
                **ours,
                ENDPOINT_VARIABLE: self._server.endpoint,
                ACCESS_VARIABLE: self._server.access_key,
                SECRET_VARIABLE: self._server.secret_key,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
        )
        if result.returncode:
            last_words = "\n".join(result.stderr.splitlines()[-20:])
            raise RuntimeError(f"{client} ended with {result.returncode}:\n{last_words}")
        figures: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return figures

    def _list(self, bucket: str) -> dict[str, int]:
        pages = self._server.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def _empty(self, bucket: str) -> None:
        for key in self._sizes:
            self._server.client().delete_object(Bucket=bucket, Key=key)


def _cpu_seconds(pid: int) -> float:
    """Return what a process has taken so far; nothing where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime, proc(5)


def _report(plan: Plan, runs: _Runs) -> Report:
    return Report(
        name="files",
        title=f"One object read and one written for an id: medians of {plan.file_rounds} "
        "interleaved rounds",
        header=("client", "object", "threads", "ids/s", "CPU ms/id", "server's", "memory MiB"),
        rows=[_row(load, client, of_one) for (load, client), of_one in runs.items()],
        targets=_targets(plan, runs),
        records=[_record(load, client, of_one) for (load, client), of_one in runs.items()],
        draw=lambda path: _draw(path, plan, runs),
        notes=[
            "Limits are compared with the median of every round's own figure or ratio. Memory is "
            "the most that was in use, over what was in use before. The server is rclone's, on the "
            "same cores, which its CPU time shows; that is not in the client's."
        ],
    )


def _row(load: _Load, client: str, runs: Sequence[_Run]) -> list[str]:
    rate = median(run.rate for run in runs)
    return [
        client,
        load.name,
        str(load.threads),
        f"{rate:,.0f}" if rate >= _WHOLE_FROM else f"{rate:.2f}",
        f"{median(run.cpu for run in runs):,.2f}",
        f"{median(run.server_cpu for run in runs):,.2f}",
        f"{median(run.grown for run in runs) / _MIB:,.0f}",
    ]


def _record(load: _Load, client: str, runs: Sequence[_Run]) -> dict[str, object]:
    return {
        "client": client,
        "size": load.size,
        "threads": load.threads,
        "ids": load.count,
        "rounds": len(runs),
        "rate": round(median(run.rate for run in runs), 3),
        "cpu_ms": round(median(run.cpu for run in runs), 4),
        "server_cpu_ms": round(median(run.server_cpu for run in runs), 4),
        "grown_bytes": round(median(run.grown for run in runs)),
    }


def _targets(plan: Plan, runs: _Runs) -> list[Target]:
    alone, together, *_ = _loads(plan)
    one = f"one {alone.name} object read and written"
    cpu = median(run.cpu for run in runs[alone, OURS_OBSTORE])
    of_boto3 = _ratio(runs, alone, OURS_BOTO3, BOTO3, lambda run: run.cpu)
    faster = _ratio(runs, together, OURS_OBSTORE, BOTO3, lambda run: run.rate)
    against = f"{OURS_OBSTORE}, against {BOTO3}"
    targets = [
        Target(f"CPU, {one}, {OURS_OBSTORE}", cpu, _CPU_LIMIT_MS, at_least=False, unit=" ms"),
        Target(f"ids/s, {together.threads} threads, {against}", faster, _RATE_LIMIT_RATIO),
        Target(
            f"CPU, {one}, {OURS_BOTO3}, against {BOTO3}",
            of_boto3,
            _CPU_LIMIT_RATIO,
            at_least=False,
        ),
    ]
    largest = _largest(plan)
    for client in _OURS:
        grown = max(run.grown for run in runs[largest, client]) / _MIB
        what = f"memory over idle, {largest.name} in and out, {client}"
        targets.append(Target(what, grown, _MEMORY_LIMIT_MIB, at_least=False, unit=" MiB"))
    return targets


def _ratio(
    runs: _Runs, load: _Load, one: str, other: str, figure: Callable[[_Run], float]
) -> float:
    pairs = zip(runs[load, one], runs[load, other], strict=True)
    return median(figure(ours) / figure(theirs) for ours, theirs in pairs)


def _draw(path: Path, plan: Plan, runs: _Runs) -> None:
    alone, together, *_ = _loads(plan)
    clients = list(CLIENTS)
    cpu = [median(run.cpu for run in runs[alone, client]) for client in clients]
    rates = {
        f"{load.threads} thread{'s' if load.threads > 1 else ''}": [
            median(run.rate for run in runs[load, client]) for client in clients
        ]
        for load in (alone, together)
    }
    panels = [
        Bars(f"client CPU, ms an id, {alone.name}", clients, {"ms": cpu}, _OURS),
        Bars(f"ids a second, {alone.name}", clients, rates, list(rates)),
    ]
    draw(path, panels)
