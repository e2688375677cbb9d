"""What a service under fault is told to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["Behaviour", "Plan", "output_id", "request_of"]

_REQUEST_BITS = 32


def output_id(request: int, index: int) -> int:
    """Return the id of output ``index`` of a request; the first one is the request's own."""
    return request + (index << _REQUEST_BITS)


def request_of(output: int) -> tuple[int, int]:
    """Return the request that made an output, and the output's index."""
    return output & ((1 << _REQUEST_BITS) - 1), output >> _REQUEST_BITS


@dataclass(frozen=True)
class Behaviour:
    """What ``process`` does with an id.

    Attributes:
        seconds: How long it takes.
        reads: Whether it reads object ``id`` of the bucket ``in``.
        writes: Whether it writes object ``id`` of the bucket ``out``.
        copies: Whether it writes there what it has read.
        row: Whether it inserts a row into the table ``runs``.
        outputs: How many ids it yields.
        raises: The name of the exception that it raises in the end; of the builtins, or of
            what the package exports.
        segfaults: Whether it takes the process down with it.
        dies_after: The step after which the process is killed, once; see `deaths`.
    """

    seconds: float = 0.0
    reads: bool = False
    writes: bool = False
    copies: bool = False
    row: bool = False
    outputs: int = 1
    raises: str = ""
    segfaults: bool = False
    dies_after: str = ""


@dataclass(frozen=True)
class Plan:
    """What a program is to be.

    Attributes:
        name: The service's name.
        config_host: Where its configuration is.
        journal: The file that it notes its doings in.
        default: What it does with an id.
        special: What it does with those ids instead.
        options: Of ``Microservice``.
    """

    name: str
    config_host: str
    journal: str
    default: Behaviour = field(default_factory=Behaviour)
    special: Mapping[int, Behaviour] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)

    def of(self, request: int) -> Behaviour:
        """Return what is to be done with a request."""
        return self.special.get(request, self.default)

    def save(self, path: Path) -> None:
        """Write the plan to a file."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read the plan from a file."""
        data = json.loads(path.read_text())
        data["default"] = Behaviour(**data["default"])
        data["special"] = {int(id): Behaviour(**it) for id, it in data["special"].items()}
        return cls(**data)
