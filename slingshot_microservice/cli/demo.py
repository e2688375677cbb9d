"""``demo``: three services look through Python's own standard library."""

from __future__ import annotations

import argparse
import logging
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SlingshotError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from ..demo.workspace import Workspace
    from ..pipeline import Pipeline
    from .demo_summary import Run

__all__ = ["DESCRIPTION", "EPILOG", "NAME", "SUMMARY", "add_arguments", "run"]

NAME = "demo"
SUMMARY = "see a pipeline of three services do real work, with nothing to install"
DESCRIPTION = """\
Run three services in a chain on embedded parts (queues in memory, a folder for objects, SQLite).
Their input is the source files of this Python's own standard library: `check` tells what parses,
`measure` measures that and writes a report of each file, `gather` adds everything up. What they
left is shown at the end and stays in a folder, to look at."""
EPILOG = """\
examples:
  slingshot-microservice demo
  slingshot-microservice demo --folder ~/slingshot-demo --files 200"""

_DEFAULT_FILES = 800
_LOOK_SECONDS = 0.1  # between two looks at how far the services are
_STALLED_SECONDS = 60.0  # without a file gathered: no file takes that long, so something is wrong


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "--folder",
        type=Path,
        help="where to put everything, a folder that is new or empty (default: a temporary one)",
    )
    parser.add_argument(
        "--files",
        type=int,
        default=_DEFAULT_FILES,
        metavar="N",
        help="how many source files at most (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; return 0 if every file has come to the end of the chain.

    Raises:
        UsageError: The folder cannot be used, or ``--files`` is no number of files.
        SlingshotError: A service cannot be started, or files are missing in the end.
    """
    if arguments.files < 1:
        raise UsageError(f"--files is {arguments.files}; expected a number from 1 on")
    from rich.console import Console

    from ..demo.results import read_results
    from ..demo.workspace import make_workspace
    from .demo_summary import show_missing, show_results, show_whereabouts

    output, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    _log_to(errors)
    workspace = make_workspace(arguments.folder, arguments.files)
    output.print(
        f"Three services look through {len(workspace.ids)} files of Python "
        f"{platform.python_version()}'s standard library.\n",
        soft_wrap=True,
    )
    finished = _run(workspace, errors)
    results = read_results(workspace)
    show_results(output, results, finished)
    show_whereabouts(output, workspace, results)
    if results.missing:
        show_missing(output, results)
        raise SlingshotError(
            f"{len(results.missing)} of {len(workspace.ids)} files did not come to the end of the "
            "chain"
        )
    return 0


def _log_to(console: Console) -> None:
    """Have warnings appear above the progress bar instead of tearing it."""
    from rich.logging import RichHandler

    handler = RichHandler(console=console, show_time=False, show_path=False)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[handler])


def _run(workspace: Workspace, console: Console) -> Run:
    from ..demo import check, gather, measure
    from ..pipeline import Pipeline
    from ..sysmap.file import FileSystemMap
    from .demo_summary import Run

    services = [module.microservice for module in (check, measure, gather)]
    with Pipeline(services, FileSystemMap(workspace.sys_map)) as pipeline:
        started = time.monotonic()
        pipeline.queues.publish("check-inbound", (b"%d" % id for id in workspace.ids))
        _watch(pipeline, workspace, console)
        return Run(time.monotonic() - started, pipeline.queues.depths())


def _watch(pipeline: Pipeline, workspace: Workspace, console: Console) -> None:
    """Show how far the services are; return when they are done, or get nowhere any more."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from ..demo.results import count_gathered

    columns = TextColumn("gathered"), BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("gathered", total=len(workspace.ids))
        gathered, since = 0, time.monotonic()
        while not pipeline.wait_until_idle(_LOOK_SECONDS):
            before, gathered = gathered, count_gathered(workspace)
            progress.update(task, completed=gathered)
            if gathered > before:
                since = time.monotonic()
            elif time.monotonic() - since > _STALLED_SECONDS:
                return
        progress.update(task, completed=count_gathered(workspace))
