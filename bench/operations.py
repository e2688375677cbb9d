"""What does one message cost in the hot path? Compiled, fallback, and pika for the same bytes.

``slingshot-microservice bench`` measures the same twins with the same code, and without pika.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
from pika import frame, spec

from slingshot_microservice.cli.bench_operations import (
    BODIES,
    IDS,
    MESSAGES,
    OPERATIONS,
    PIECES,
    QUEUE,
    Operation,
    best_nanoseconds,
    twins,
)

from .pictures import Bars, draw
from .plan import Plan
from .report import Report, Target

__all__ = ["measure"]

_CHANNEL = 1
_PIKA = "pika"
_COLUMNS = ("compiled", "fallback", _PIKA)  # of the CSV file, whoever takes part
_AGAINST_FALLBACK = 5.0
_AGAINST_PIKA = 20.0


def measure(plan: Plan) -> Report:
    """Answer the question."""
    names = [*twins(), _PIKA]
    times = {name: _measure(name, plan.operation_rounds) for name in OPERATIONS}
    return Report(
        name="operations",
        title=f"CPU of one message in ns, the best of {plan.operation_rounds} rounds",
        header=("operation", *names, *(f"against {name}" for name in names[1:])),
        rows=[_row(name, cells, names) for name, cells in times.items()],
        targets=[target for name, cells in times.items() for target in _targets(name, cells)],
        records=[
            {"operation": name, **{f"{of}_ns": _number(cells.get(of)) for of in _COLUMNS}}
            for name, cells in times.items()
        ],
        draw=lambda path: _draw(path, times, names),
        notes=[f"Calling `len` in the same loop takes {_loop(plan.operation_rounds):.0f} ns."],
    )


def _measure(name: str, rounds: int) -> dict[str, float]:
    there = {twin: OPERATIONS[name](hotpath) for twin, hotpath in twins().items()}
    if name in _PIKAS:
        there[_PIKA] = _PIKAS[name]
    return dict(zip(there, best_nanoseconds(list(there.values()), rounds), strict=True))


def _loop(rounds: int) -> float:
    """Return the nanoseconds of an operation that does next to nothing, in the same loop."""
    return best_nanoseconds([lambda: deque(map(len, BODIES), maxlen=0)], rounds)[0]


def _row(name: str, cells: dict[str, float], names: list[str]) -> list[str]:
    ratios = [_ratio(cells, against) for against in names[1:]]
    return [name, *(_number(cells.get(of)) for of in names), *ratios]


def _ratio(cells: dict[str, float], against: str) -> str:
    if against not in cells or "compiled" not in cells:
        return ""
    return f"{cells[against] / cells['compiled']:.1f}x"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _targets(name: str, cells: dict[str, float]) -> list[Target]:
    limits = {"fallback": _AGAINST_FALLBACK, _PIKA: _AGAINST_PIKA}
    return [
        Target(f"{name}, compiled against {of}", cells[of] / cells["compiled"], limit)
        for of, limit in limits.items()
        if of in cells and "compiled" in cells
    ]


def _draw(path: Path, times: dict[str, dict[str, float]], names: list[str]) -> None:
    series = {name: [cells.get(name) for cells in times.values()] for name in names}
    title = "ns a message, logarithmic"
    draw(path, [Bars(title, list(times), series, ours=names[:-1], logarithmic=True)])


def _read_with_pika() -> None:
    """Read the stream as pika's connection does: piece by piece, frame by frame."""
    buffer, ids = b"", []
    for piece in PIECES:
        buffer += piece
        while buffer:
            used, value = frame.decode_frame(buffer)
            if value is None:
                break
            buffer = buffer[used:]
            if isinstance(value, frame.Body):
                ids.append(int(value.fragment))
    assert len(ids) == MESSAGES


def _build_with_pika() -> None:
    """Build the frames of the publishes as pika's channel does."""
    make_properties: Callable[..., pika.BasicProperties] = pika.BasicProperties
    make_publish: Callable[..., Any] = spec.Basic.Publish
    parts = []
    for id in IDS:
        body = b"%d" % id
        publish = make_publish(exchange="", routing_key=QUEUE, mandatory=True)
        parts += [
            frame.Method(_CHANNEL, publish).marshal(),
            frame.Header(_CHANNEL, len(body), make_properties(delivery_mode=2)).marshal(),
            frame.Body(_CHANNEL, body).marshal(),
        ]
    assert b"".join(parts)


_PIKAS: dict[str, Operation] = {
    "read frames": _read_with_pika,
    "build publishes": _build_with_pika,
}
