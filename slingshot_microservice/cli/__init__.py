"""The command line: ``slingshot-microservice COMMAND``, one file a command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from .._version import __version__
from ..errors import SlingshotError, UsageError
from . import bench, dead, demo, dev, run, serve_map
from .program import PROGRAM, print_error

__all__ = ["main"]

_COMMANDS = (run, dev, serve_map, demo, bench, dead)
_HELP_COLUMN = 26
_INTERRUPTED = 130  # what shells use for Ctrl-C

_DESCRIPTION = """\
Microservices that take ids from a queue and send ids to others.

A service itself needs no command line: it is a Python program that calls start(). These commands
are for running it in several processes, for developing it, and for what it has parked."""

_EPILOG = """\
examples:
  slingshot-microservice demo
  slingshot-microservice run shout.py --processes 4 --threads 8
  slingshot-microservice dev shout.py --send shout=1-3 --burst
  slingshot-microservice serve-map sys-map.toml
  slingshot-microservice bench
  slingshot-microservice dead list shout

exit codes: 0 done, 1 failed, 2 a mistake in the command or the code, 3 RabbitMQ,
4 the configuration, 5 PostgreSQL or the object store, 130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What follows the program's name; that of this process by default.

    Returns:
        What to exit with: 0, or the ``exit_code`` of the error that was printed.
    """
    try:
        parsed = _parser().parse_args(arguments)
        exit_code: int = parsed.run(parsed)
    except SlingshotError as error:
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    return exit_code


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    formatter = partial(argparse.RawDescriptionHelpFormatter, max_help_position=_HELP_COLUMN)
    parser = _Parser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        subparser = commands.add_parser(
            command.NAME,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=command.EPILOG,
            formatter_class=formatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser
