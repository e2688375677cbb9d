"""Ours, with nothing to do: it takes one id, and then its CPU is looked at for some seconds."""

from __future__ import annotations

import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from slingshot_microservice import Microservice

from .job import Job, Meter
from .slingshot import write_map

_SETTLE_SECONDS = 2.0  # for what follows a start, such as the first garbage collection


def idle(job: Job, path: Path, seconds: float) -> None:
    """Run the service until it has been idle for so long, and report."""
    taken = threading.Event()

    def process(
        request: int, read_file: object, write_file: object, connection: object
    ) -> Iterator[tuple[int, bool]]:
        taken.set()
        yield request, True

    service = Microservice("idle", path, process, prefetch=job.prefetch)

    def measure() -> None:
        taken.wait()
        time.sleep(_SETTLE_SECONDS)
        meter, before = Meter(), _switches()
        meter.start()
        time.sleep(seconds)
        meter.report(job.count, switches=_switches() - before)
        service.stop()

    threading.Thread(target=measure).start()
    service.start()


def _switches() -> int:
    """How often the process has gone to sleep so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def main() -> None:
    """Be idle for as long as the environment says."""
    seconds = float(os.environ["SLINGSHOT_BENCH_IDLE_SECONDS"])
    with tempfile.TemporaryDirectory(prefix="slingshot-bench-") as folder:
        idle(job := Job.from_process(), write_map(job, Path(folder), "idle"), seconds)


if __name__ == "__main__":
    main()
