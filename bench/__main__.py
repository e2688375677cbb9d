"""``python -m bench``: measures, prints tables, and keeps the results.

It needs the extra ``[bench]``, and RabbitMQ on the machine for all but ``operations`` and
``files``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from slingshot_microservice.cli.bench_operations import twins

from . import files, growth, idle, machine, operations, relay
from .broker import RabbitMQNode, version
from .c_client import compile_c_client
from .contestants import Contestant, c_client, others, ours
from .plan import FULL, QUICK, Plan
from .report import Report, keep, show

_QUESTIONS = ("operations", "relay", "growth", "idle", "files")
_WITHOUT_BROKER = {"operations", "files"}
_FILE_COLUMNS = 120  # of what is not printed to a terminal
_RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Answer the questions that the arguments name."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_COLUMNS
    with Surroundings(arguments.questions, console) as surroundings:
        for question in arguments.questions:
            report = surroundings.answer(question, plan)
            show(report, console)
            if not arguments.quick:
                keep(report, surroundings.facts, _RESULTS)
    kept = f"Kept in {_RESULTS} and in README.md." if not arguments.quick else "Nothing was kept."
    console.print(f"\n{kept}", soft_wrap=True)


class Surroundings:
    """What is measured, and with what: a broker of our own, and all who take part.

    Args:
        questions: The questions that will be asked.
        console: Where to say what is missing.

    Attributes:
        facts: What the figures depend on.
    """

    def __init__(self, questions: Sequence[str], console: Console) -> None:
        self._console = console
        self._stack = ExitStack()
        self._node = RabbitMQNode() if set(questions) - _WITHOUT_BROKER else None
        self._c_clients: list[Contestant] = []
        self.facts: dict[str, str] = {}

    def __enter__(self) -> Surroundings:
        if "compiled" not in twins():
            self._console.print("The extension is not installed: the compiled twin is left out.")
        if self._node is None:
            self.facts = machine.describe()
            return self
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        program = compile_c_client(folder)
        if isinstance(program, Path):
            self._c_clients = [c_client(program)]
        else:
            self._console.print(f"The C client is left out: {program}", soft_wrap=True)
        self._console.print("Starting RabbitMQ")
        self._stack.enter_context(self._node)
        self.facts = machine.describe(f"RabbitMQ {version(self._node)}")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def answer(self, question: str, plan: Plan) -> Report:
        """Measure."""
        if question == "operations":
            return operations.measure(plan)
        columns = TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn()
        with Progress(
            *columns, TimeElapsedColumn(), console=self._console, transient=True
        ) as progress:
            if question == "files":
                return files.measure(plan, progress)
            assert self._node is not None
            if question == "relay":
                everybody = [*self._c_clients, *ours(), *others()]
                return relay.measure(plan, self._node, everybody, progress)
            if question == "growth":
                everybody = [*self._c_clients, *ours()]
                return growth.measure(plan, self._node, everybody, progress)
            return idle.measure(plan, self._node, ours(), progress)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and keep it.")
    parser.add_argument(
        "questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(_QUESTIONS)}; default: all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="measure little, in a minute or two, and keep nothing"
    )
    arguments = parser.parse_args()
    unknown = [question for question in arguments.questions if question not in _QUESTIONS]
    if unknown:
        parser.error(f"there is no question {unknown[0]}; there are {', '.join(_QUESTIONS)}")
    arguments.questions = arguments.questions or list(_QUESTIONS)
    return arguments


if __name__ == "__main__":
    main()
