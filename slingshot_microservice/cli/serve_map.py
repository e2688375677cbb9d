"""``serve-map``: a sys-map file over HTTP."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .program import port_number

if TYPE_CHECKING:
    from ..sysmap.file import FileSystemMap
    from ..sysmap.server import SystemMapServer

__all__ = ["DESCRIPTION", "EPILOG", "NAME", "SUMMARY", "add_arguments", "run"]

NAME = "serve-map"
SUMMARY = "serve a sys-map file over HTTP, as the configuration service would"
DESCRIPTION = """\
Serve a sys-map file over HTTP, as the configuration service would: GET /NAME, /NAME/KEY,
/rabbitmq, /db and /object-storage. For development and small installations: there is neither TLS
nor access control. The file is read once; restart to see changes. Ctrl-C or SIGTERM stops."""
EPILOG = """\
example:
  slingshot-microservice serve-map sys-map.toml --port 8080
  curl http://127.0.0.1:8080/shout"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the sys-map file")
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=port_number,
        default=8080,
        help="the port to listen on; 0 takes any that is free (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SystemMapFileError: The file cannot be read, or has a mistake.
        UsageError: The address cannot be listened on.
    """
    from ..observe.logs import configure_logging
    from ..signals import StopEvent, stop_on_signals
    from ..sysmap.file import FileSystemMap
    from ..sysmap.server import SystemMapServer

    configure_logging()
    system_map = FileSystemMap(arguments.file)
    server = SystemMapServer(system_map, arguments.host, arguments.port)
    stop = StopEvent()
    with stop_on_signals(stop), server:
        _warn_of_embedded_parts(server)
        _announce(system_map, server)
        stop.wait()
    return 0


def _warn_of_embedded_parts(server: SystemMapServer) -> None:
    if embedded := server.embedded_parts():
        sys.stderr.write(
            f"warning: {', '.join(embedded)} in this file: embedded, which only one process can "
            "use, so whoever asks for it gets 404; name servers to share them\n"
        )


def _announce(system_map: FileSystemMap, server: SystemMapServer) -> None:
    name = next(iter(system_map.service_names), "rabbitmq")
    sys.stdout.write(f"serving {system_map.source} at {server.url}\n")
    sys.stdout.write(f"try: curl {server.url}/{name}\n")
    sys.stdout.flush()
