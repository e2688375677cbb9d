"""``dev``: services in one process, on one sys-map file."""

from __future__ import annotations

import argparse
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SystemMapFileError, UsageError
from .program import port_number, print_error
from .sending import Request, known_queues, parse_send, read_lines

if TYPE_CHECKING:
    from ..microservice import Microservice
    from ..pipeline import Pipeline
    from ..sysmap.file import FileSystemMap

__all__ = ["DESCRIPTION", "EPILOG", "NAME", "SUMMARY", "add_arguments", "run"]

NAME = "dev"
SUMMARY = "run services in one process, on a sys-map file"
DESCRIPTION = """\
Run all services that are found in the modules, together in this process, on one sys-map file,
whatever configuration host they name themselves. The same file is served over HTTP for others to
ask. While this runs, a line such as `shout 1 2 5-9` on standard input sends ids (if the file's
broker is "memory"). Ctrl-C or SIGTERM stops.

A service is found if its module, when it is imported, calls .start() or has the Microservice as a
variable. What stands under `if __name__ == "__main__":` is not seen."""
EPILOG = """\
examples:
  slingshot-microservice dev shout.py
  slingshot-microservice dev shop.orders shop.invoices --sys-map dev.toml --send orders=1-100
  slingshot-microservice dev shout.py --send shout=1,2,5-9 --burst"""

_VARIABLE = "SLINGSHOT_SYS_MAP"
_DEFAULT = "sys-map.toml"
_LOOK_SECONDS = 0.2  # how soon a signal is noticed while queues are worked off

_EXAMPLE_HEAD = """\
rabbitmq = "memory"
object-storage = { directory = "objects" }
db = { sqlite = "dev.sqlite" }
"""
_EXAMPLE_SERVICE = """
[services.NAME]
in = "NAME-inbound"
out = [{ case = true, queues = ["NAME-outbound"] }]
buckets = { in = "NAME-in", out = "NAME-out" }
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "modules", nargs="+", metavar="MODULE", help="a dotted name, or the path of a .py file"
    )
    parser.add_argument(
        "--sys-map",
        type=Path,
        metavar="FILE",
        help=f"the sys-map file (default: {_DEFAULT}, or ${_VARIABLE})",
    )
    parser.add_argument(
        "--send",
        action="append",
        default=[],
        metavar="NAME=IDS",
        help="put ids into the queue of service NAME, or into the queue NAME; may be repeated",
    )
    parser.add_argument(
        "--burst",
        action="store_true",
        help="stop when all queues have been worked off, and show what is left in which queue",
    )
    parser.add_argument(
        "--port",
        type=port_number,
        default=0,
        help="the port to serve the sys-map on (default: any that is free)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the services until they are stopped, or idle with ``--burst``.

    Raises:
        LoadError: A module or a service in it cannot be found.
        ConfigurationError: The sys-map cannot be used.
        UsageError: What is to be sent cannot be, or the port cannot be listened on.
        SlingshotError: A service cannot be started, or failed.
    """
    from ..observe.logs import configure_logging
    from ..sysmap.file import FileSystemMap
    from ..sysmap.server import SystemMapServer
    from .loading import load_services

    configure_logging()
    services = load_services(arguments.modules)
    path = _sys_map_path(arguments.sys_map)
    if not path.exists():
        return _show_example(path, services)
    system_map = FileSystemMap(path)
    requests = _requests(arguments, system_map)
    with SystemMapServer(system_map, port=arguments.port) as server:
        _say(f"sys-map {path} is served at {server.url}")
        return _run(services, system_map, requests, burst=arguments.burst)


def _sys_map_path(argument: Path | None) -> Path:
    return argument or Path(os.environ.get(_VARIABLE) or _DEFAULT)


def _show_example(path: Path, services: Sequence[Microservice]) -> int:
    """Say that there is no sys-map file, and what one could look like for these services."""
    problem = (
        f"there is no sys-map file {path} (--sys-map, else ${_VARIABLE}, else "
        f"{_DEFAULT}); to begin with, write this into it:"
    )
    error = SystemMapFileError(problem, path=path, line=None)
    print_error(error)
    sys.stderr.write("\n" + _EXAMPLE_HEAD + "".join(_example(s.name) for s in services))
    return error.exit_code


def _example(name: str) -> str:
    quoted = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'
    return _EXAMPLE_SERVICE.replace("[services.NAME]", f"[services.{quoted}]").replace("NAME", name)


def _requests(arguments: argparse.Namespace, system_map: FileSystemMap) -> list[Request]:
    for option, given in (("--send", arguments.send), ("--burst", arguments.burst)):
        if given and not _is_in_memory(system_map):
            raise UsageError(
                f'{option} needs rabbitmq = "memory" in {system_map.source}, which names a '
                "RabbitMQ server"
            )
    queues = known_queues(system_map)
    return [parse_send(argument, queues) for argument in arguments.send]


def _is_in_memory(system_map: FileSystemMap) -> bool:
    from ..sysmap.models import MemoryBrokerSettings

    return isinstance(system_map.broker(), MemoryBrokerSettings)


def _run(
    services: Sequence[Microservice],
    system_map: FileSystemMap,
    requests: Sequence[Request],
    *,
    burst: bool,
) -> int:
    from ..pipeline import Pipeline
    from ..signals import StopEvent, stop_on_signals

    pipeline = Pipeline(services, system_map)
    # Until all is open nothing is in hand, so that a signal may simply end the program.
    pipeline.open()
    stop = StopEvent()
    with stop_on_signals(stop), pipeline:
        for request in requests:
            request.send(pipeline.queues)
        names = [service.name for service in services]
        _say(f"running {', '.join(names)}; Ctrl-C stops")
        if burst:
            return _finish_burst(pipeline, stop, _consumers(services, system_map))
        if _is_in_memory(system_map):
            _say(f"to send ids, enter a line such as: {names[0]} 1 2 5-9")
            read_lines(known_queues(system_map), partial(_send, pipeline), _complain)
        pipeline.run(stop)
    return 0


def _send(pipeline: Pipeline, request: Request) -> None:
    request.send(pipeline.queues)
    _say(f"sent {request.count:,} ids to queue {request.queue}")


def _consumers(services: Sequence[Microservice], system_map: FileSystemMap) -> dict[str, str]:
    """Return who consumes which queue."""
    return {system_map.service(service.name).inbound: service.name for service in services}


def _finish_burst(pipeline: Pipeline, stop: threading.Event, consumers: Mapping[str, str]) -> int:
    while not pipeline.wait_until_idle(_LOOK_SECONDS):
        if stop.is_set():
            pipeline.stop()
            _show_queues(pipeline, consumers)
            _complain("stopped before all queues were worked off")
            return 1
    pipeline.stop()
    _show_queues(pipeline, consumers)
    return 0


def _show_queues(pipeline: Pipeline, consumers: Mapping[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("queue", "consumed by", title_justify="left")
    table.add_column("left in it", justify="right")
    for queue, depth in pipeline.queues.depths().items():
        table.add_row(queue, consumers.get(queue, "-"), f"{depth:,}")
    Console(markup=False, highlight=False).print(table)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _complain(line: str) -> None:
    sys.stderr.write(f"{line}\n")
