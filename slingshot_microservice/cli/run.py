"""``run``: one service for production, in one process or several."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..options import Options

if TYPE_CHECKING:
    from ..microservice import Microservice
    from ..typing import Output, ProcessFn

__all__ = ["DESCRIPTION", "EPILOG", "NAME", "SUMMARY", "add_arguments", "run"]

NAME = "run"
SUMMARY = "run a service, in one process or several"
DESCRIPTION = """\
Run a service as its program does that calls start(), with as many processes and threads as are
wanted. What stands under `if __name__ == "__main__":` is not run.

With several processes a parent starts them, starts those again that die, after a pause that grows,
and ends after the last of them. It holds no connection itself. SIGTERM or SIGINT stops all in good
order, a second one at once; SIGUSR1 has every process show its threads' stacks."""
EPILOG = """\
Every option of a service has a variable, too: SLINGSHOT_THREADS=8, SLINGSHOT_PREFETCH=auto.

examples:
  slingshot-microservice run shout.py
  slingshot-microservice run shop.orders:service --processes 4 --threads 8
  slingshot-microservice run shout.py --processes 2 --max-requests 100000 --max-memory 512

exit codes, beside those of every command: 1 also when a process did not stop in good order"""

_MIB = 1024 * 1024
_LINK = "--link"  # from a parent to its child, and not for people


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "target",
        metavar="MODULE[:NAME]",
        help="a dotted name, or the path of a .py file; NAME is a variable in it, if it has several"
        " services",
    )
    parser.add_argument(
        "-p", "--processes", type=_at_least_one, default=1, metavar="N", help="default: 1"
    )
    parser.add_argument(
        "-t",
        "--threads",
        type=_at_least_one,
        metavar="N",
        help="requests that each process runs at the same time (default: what the service says)",
    )
    parser.add_argument(
        "--prefetch",
        type=_prefetch,
        metavar="N|auto",
        help="messages that each process holds (default: what the service says)",
    )
    parser.add_argument(
        "--max-requests",
        type=_at_least_one,
        metavar="N",
        help="requests after which a process makes room for a new one, in good order",
    )
    parser.add_argument(
        "--max-memory",
        type=_at_least_one,
        metavar="MIB",
        help="memory in use above which a process makes room for a new one (Linux)",
    )
    parser.add_argument(_LINK, type=int, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run the service until it is stopped.

    Raises:
        LoadError: The module or the service in it cannot be found.
        OptionError: Probes cannot be answered where the environment says.
        UsageError: Several processes are not to be had on this system.
        SlingshotError: The service cannot be started, or failed.
    """
    recycled = arguments.max_requests or arguments.max_memory
    if arguments.link is not None:
        _run_child(arguments)
    elif arguments.processes > 1 or recycled:
        return _run_parent(arguments)
    else:
        _service(arguments).start()
    return 0


def _run_parent(arguments: argparse.Namespace) -> int:
    from ..observe.logs import configure_logging
    from ..processes.parent import Parent

    if os.name != "posix":
        raise UsageError("several processes, or ones that are replaced, need Linux or another Unix")
    if arguments.max_memory and not os.path.exists("/proc/self/status"):
        raise UsageError("--max-memory needs Linux, which says how much memory a process uses")
    configure_logging()
    memory_limit = (arguments.max_memory or 0) * _MIB
    parent = Parent(_child_command, arguments.processes, memory_limit=memory_limit)
    options = Options.gather({})
    with contextlib.ExitStack() as probes:
        if options.health_port:
            from ..observe.health import HealthServer

            probes.enter_context(
                HealthServer(options.health_host, options.health_port, lambda: None, parent.trouble)
            )
        return parent.run()


def _child_command(descriptor: int) -> list[str]:
    """Return our own command line, with the child's end of its link."""
    program = [sys.executable, "-m", "slingshot_microservice"]
    return [*program, *sys.argv[1:], _LINK, str(descriptor)]


def _run_child(arguments: argparse.Namespace) -> None:
    from ..observe.logs import configure_logging
    from ..processes.link import DRAIN, RECYCLING, RUNNING, ChildLink

    configure_logging(with_process=True)
    # Before anything of the user's runs, which may start processes of its own.
    link = ChildLink(arguments.link)
    service = _service(arguments)
    if service.definition.options.health_port != Options.gather({}).health_port:
        raise UsageError(
            "the parent of several processes answers probes, and does not see health_port in code: "
            "set SLINGSHOT_HEALTH_PORT instead"
        )
    service = service.variant(health_port=0)
    if arguments.max_requests:

        def recycle() -> None:
            link.say(RECYCLING)
            service.stop()

        process = service.definition.process
        service = service.variant(process=_counted(process, arguments.max_requests, recycle))
    link.watch(service.stop, service.trouble)
    link.say(DRAIN, service.definition.options.drain_timeout)
    service.start(on_running=lambda: link.say(RUNNING))


def _service(arguments: argparse.Namespace) -> Microservice:
    from .loading import load_service

    service = load_service(arguments.target)
    options: dict[str, Any] = {}
    for name in ("threads", "prefetch"):
        if getattr(arguments, name) is not None:
            options[name] = getattr(arguments, name)
    return service.variant(**options) if options else service


def _counted(process: ProcessFn, limit: int, on_limit: Callable[[], None]) -> ProcessFn:
    """Return ``process``, which calls ``on_limit`` when it has been called so many times."""
    numbers = itertools.count(1)  # threads may share it

    def counted(request: int, *rest: Any) -> Iterable[Output] | None:
        if next(numbers) == limit:
            on_limit()
        return process(request, *rest)

    return counted


def _at_least_one(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")


def _prefetch(text: str) -> int | str:
    return text if text == "auto" else _at_least_one(text)
