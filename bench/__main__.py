"""``python -m bench``: measures, prints tables, and keeps the results.

It needs the extra ``[bench]``, and RabbitMQ on the machine for all but ``operations``, ``database``
and ``files``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from slingshot_microservice.cli.bench_operations import twins

from . import (
    database,
    files,
    growth,
    idle,
    latency,
    machine,
    operations,
    prefetch,
    relay,
    scaling,
)
from .broker import PostgreSQLServer, RabbitMQNode, version
from .c_client import compile_c_client
from .contestants import PIKA_CONFIRMS, RELAYS, Contestant, c_client, others, ours
from .plan import FULL, QUICK, Plan
from .report import Report, keep, show

_QUESTIONS = (
    "operations",
    "relay",
    "growth",
    "idle",
    "latency",
    "database",
    "files",
    "scaling",
    "prefetch",
)
_WITHOUT_RABBITMQ = {"operations", "database", "files"}
_FILE_COLUMNS = 120  # of what is not printed to a terminal
_RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Answer the questions that the arguments name."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_COLUMNS
    kept = not (arguments.quick or arguments.clients)
    with Surroundings(arguments.questions, console, arguments.clients) as surroundings:
        for question in arguments.questions:
            report = surroundings.answer(question, plan)
            show(report, console)
            if kept:
                keep(report, surroundings.facts, _RESULTS)
    where = f"Kept in {_RESULTS} and in README.md." if kept else "Nothing was kept."
    console.print(f"\n{where}", soft_wrap=True)


class Surroundings:
    """What is measured, and with what: a broker of our own, and all who take part.

    Args:
        questions: The questions that will be asked.
        console: Where to say what is missing.
        clients: Words; of the relay's clients only those with one of them in their names take
            part. Without any, all do.

    Attributes:
        facts: What the figures depend on.
    """

    def __init__(
        self, questions: Sequence[str], console: Console, clients: Sequence[str] = ()
    ) -> None:
        self._console = console
        self._words = clients
        self._stack = ExitStack()
        self._node = RabbitMQNode() if set(questions) - _WITHOUT_RABBITMQ else None
        self._postgresql = PostgreSQLServer() if "database" in questions else None
        self._c_clients: list[Contestant] = []
        self.facts: dict[str, str] = {}

    def __enter__(self) -> Surroundings:
        if "compiled" not in twins():
            self._console.print("The extension is not installed: the compiled twin is left out.")
        servers = []
        if self._postgresql is not None:
            self._console.print("Starting PostgreSQL")
            self._stack.enter_context(self._postgresql)
            servers.append(f"PostgreSQL {self._postgresql.version}")
        if self._node is not None:
            self._start_rabbitmq(self._node)
            servers.append(f"RabbitMQ {version(self._node)}")
        self.facts = machine.describe(*servers)
        return self

    def _start_rabbitmq(self, node: RabbitMQNode) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        program = compile_c_client(folder)
        if isinstance(program, Path):
            self._c_clients = [c_client(program)]
        else:
            self._console.print(f"The C client is left out: {program}", soft_wrap=True)
        self._console.print("Starting RabbitMQ")
        self._stack.enter_context(node)

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
            return self._measures(plan, progress)[question]()

    def _measures(self, plan: Plan, progress: Progress) -> dict[str, Callable[[], Report]]:
        """Return how each question is answered, if the servers that it needs were started."""
        answers: dict[str, Callable[[], Report]] = {"files": lambda: files.measure(plan, progress)}
        postgresql, node = self._postgresql, self._node
        if postgresql is not None:
            answers["database"] = lambda: database.measure(plan, postgresql, progress)
        if node is not None:
            known, others_known = [*self._c_clients, *ours()], others()
            pika = [each for each in others_known if each.name == PIKA_CONFIRMS]
            everybody = self._wanted([*known, *others_known])
            answers |= {
                "relay": lambda: relay.measure(plan, node, everybody, progress),
                "growth": lambda: growth.measure(plan, node, known, progress),
                "idle": lambda: idle.measure(plan, node, ours(), progress),
                "latency": lambda: latency.measure(plan, node, [*pika, *ours()], progress),
                "scaling": lambda: scaling.measure(plan, node, progress),
                "prefetch": lambda: prefetch.measure(plan, node, progress),
            }
        return answers

    def _wanted(self, known: Sequence[Contestant]) -> list[Contestant]:
        words = self._words or [""]
        return [each for each in known if any(_is_meant(each.name, word) for word in words)]


def _is_meant(name: str, word: str) -> bool:
    return word.casefold() in name.casefold()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and keep it.")
    parser.add_argument(
        "questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(_QUESTIONS)}; default: all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="measure little, in a minute or two, and keep nothing"
    )
    parser.add_argument(
        "--clients",
        nargs="+",
        default=[],
        metavar="WORD",
        help="of the relay, only those with one of these words in their names; keep nothing",
    )
    arguments = parser.parse_args()
    unknown = [question for question in arguments.questions if question not in _QUESTIONS]
    if unknown:
        parser.error(f"there is no question {unknown[0]}; there are {', '.join(_QUESTIONS)}")
    for word in arguments.clients:
        if not any(_is_meant(name, word) for name in RELAYS):
            parser.error(f'no client is called like "{word}"; there are {"; ".join(RELAYS)}')
    arguments.questions = arguments.questions or list(_QUESTIONS)
    return arguments


if __name__ == "__main__":
    main()
