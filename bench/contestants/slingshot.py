"""Ours: the program that a user would write, on a sys-map file.

What is measured ends when ``start()`` returns: everything is settled, and disconnected.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from slingshot_microservice import Microservice

from .job import Job, Meter

_MARKS = (1, 10_000, 100_000, 1_000_000)  # messages after which the memory in use is noted
_MAP = """\
rabbitmq = {{ host = {host}, port = {port}, username = {username}, pass = "broker" }}
object-storage = {{ directory = "objects" }}
db = {{ sqlite = "relay.sqlite" }}

[services.{service}]
in = {inbound}
out = [{{ case = true, queues = {outbound} }}]
"""


def write_map(job: Job, folder: Path, service: str) -> Path:
    """Write a sys-map file that leads ``service`` to the broker, and the secret that it names."""
    url = urlsplit(job.url)
    (folder / "broker").write_text(unquote(url.password or ""))
    os.environ["SLINGSHOT_SECRETS_DIR"] = str(folder)
    path = folder / "sys-map.toml"
    path.write_text(
        _MAP.format(
            host=json.dumps(url.hostname),
            port=url.port,
            username=json.dumps(unquote(url.username or "")),
            service=service,
            inbound=json.dumps(job.inbound),
            outbound=json.dumps(job.outbound),
        )
    )
    return path


def relay(job: Job, path: Path) -> None:
    """Run the service until it has seen every id, and report."""
    meter = Meter()
    seen = 0
    first = 0.0

    def process(
        request: int, read_file: object, write_file: object, connection: object
    ) -> Iterator[tuple[int, bool]]:
        nonlocal seen, first
        if not seen:
            first = time.perf_counter()
            meter.start()
        seen += 1
        if seen in _MARKS:
            meter.mark(seen)
        if seen == job.count:
            service.stop()
        yield request, True

    service = Microservice("relay", path, process, prefetch=job.prefetch)
    begun = time.perf_counter()
    service.start()
    meter.report(seen, to_first_message=first - begun)


def main() -> None:
    """Do the job that the arguments describe."""
    with tempfile.TemporaryDirectory(prefix="slingshot-bench-") as folder:
        relay(job := Job.from_process(), write_map(job, Path(folder), "relay"))


if __name__ == "__main__":
    main()
