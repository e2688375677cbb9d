"""The hot path in Python: ids, and where they go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ._common import (
    ID_DIGITS_MAX,
    ID_MAX,
    INTEGER_CASE_BITS,
    WHITE_SPACE,
    InvalidOutputError,
    MalformedIdError,
    Publish,
    shorten,
)

__all__ = ["RoutingTable", "decode_id"]


def decode_id(body: bytes) -> int:
    """Read an id from a message body.

    The rule is the contract's, which is Rust's ``str::trim`` and ``str::parse::<u64>``: UTF-8,
    white space around it ignored, one ``+`` allowed, then ASCII digits only.

    Args:
        body: The body, as received.

    Returns:
        The id, 0 to 2**64 - 1.

    Raises:
        MalformedIdError: The body is anything else.
    """
    if len(body) < ID_DIGITS_MAX and body.isdigit():
        return int(body)
    return _decode_unusual(body)


def _decode_unusual(body: bytes) -> int:
    try:
        digits = body.decode("utf-8").strip(WHITE_SPACE).removeprefix("+")
    except UnicodeDecodeError:
        raise MalformedIdError(f"{shorten(body)} is no id: it is not UTF-8 text") from None
    if not (digits.isascii() and digits.isdigit()):
        raise MalformedIdError(f"{shorten(body)} is no id: expected decimal digits")
    # int() refuses very long texts, and leading zeros may make any text long.
    significant = digits.lstrip("0") or "0"
    if len(significant) > ID_DIGITS_MAX or int(significant) > ID_MAX:
        raise MalformedIdError(f"{shorten(body)} is no id: it is over {ID_MAX}")
    return int(significant)


class RoutingTable:
    """Which queues an output of a case goes to.

    A case's type counts: ``True``, ``1`` and ``"1"`` are three cases. An ``IntEnum`` is an
    integer and a subclass of ``str`` a string. A table never changes: threads may share one.

    Args:
        routes: For every case the indexes of its queues. The last of two equal cases wins.
    """

    __slots__ = ("_booleans", "_integers", "_strings")

    def __init__(self, routes: Iterable[tuple[bool | int | str, Sequence[int]]]) -> None:
        self._booleans: dict[bool, tuple[int, ...]] = {}
        self._integers: dict[int, tuple[int, ...]] = {}
        self._strings: dict[str, tuple[int, ...]] = {}
        for case, queues in routes:
            if isinstance(case, bool):
                self._booleans[case] = tuple(queues)
            elif isinstance(case, int):
                self._integers[int(case)] = tuple(queues)
            else:
                self._strings[str.__str__(case)] = tuple(queues)

    def lookup(self, case: object) -> tuple[int, ...] | None:
        """Return the indexes of the queues of ``case``, or None when it is not listed.

        Raises:
            InvalidOutputError: ``case`` is no bool, int or str, or an int of over 128 bits.
        """
        kind = type(case)
        if kind is bool:
            return self._booleans.get(case)  # type: ignore[call-overload, no-any-return]
        if kind is str:
            return self._strings.get(case)  # type: ignore[call-overload, no-any-return]
        # Both the instance and its type are asked, because `__class__` may say anything.
        if isinstance(case, int) and issubclass(kind, int):
            if case.bit_length() >= INTEGER_CASE_BITS and case != -(1 << INTEGER_CASE_BITS - 1):
                raise InvalidOutputError(
                    f"case {shorten(case)} is too large: expected an int of 128 bits"
                )
            return self._integers.get(int(case))
        if isinstance(case, str) and issubclass(kind, str):
            return self._strings.get(str.__str__(case))
        raise InvalidOutputError(
            f"case {shorten(case)} is of type {kind.__name__}: expected a bool, an int or a str"
        )

    def plan(
        self, outputs: Iterable[object] | None
    ) -> tuple[list[Publish], list[bool | int | str]]:
        """Exhaust what ``process`` gave back and say what is to be sent.

        Args:
            outputs: Pairs (id, case); None stands for none.

        Returns:
            The messages to send, in order, and the cases that are not listed, one for every
            output that therefore goes nowhere.

        Raises:
            InvalidOutputError: Something in it is no such pair; the message names it.
        """
        publishes: list[Publish] = []
        unlisted: list[bool | int | str] = []
        for output in _iterate(outputs):
            id, case = _pair(output)
            try:
                queues = self.lookup(case)
            except InvalidOutputError as error:
                raise InvalidOutputError(f"output {shorten(output)}: {error}") from None
            if queues is None:
                unlisted.append(case)  # type: ignore[arg-type]  # lookup has refused all others
            else:
                publishes += [(queue, id) for queue in queues]
        return publishes, unlisted


def _iterate(outputs: Iterable[object] | None) -> Iterable[object]:
    if outputs is None:
        return ()
    if issubclass(type(outputs), (str, bytes)) or not hasattr(type(outputs), "__iter__"):
        raise InvalidOutputError(
            f"process returned {shorten(outputs)}: expected pairs (id, case), yielded or in a list"
        )
    return outputs


def _pair(output: object) -> tuple[int, object]:
    kind = type(output)
    if (
        not isinstance(output, (tuple, list))
        or not (kind is tuple or issubclass(kind, (tuple, list)))
        or len(output) != 2
    ):
        raise InvalidOutputError(f"output {shorten(output)}: expected a pair (id, case)")
    id, case = output
    if type(id) is not int:
        if isinstance(id, bool) or not (isinstance(id, int) and issubclass(type(id), int)):
            raise InvalidOutputError(
                f"output {shorten(output)}: id {shorten(id)} is of type {type(id).__name__}: "
                "expected an int"
            )
        id = int(id)
    if not 0 <= id <= ID_MAX:
        raise InvalidOutputError(
            f"output {shorten(output)}: id {shorten(id)} is out of range: expected 0 to {ID_MAX}"
        )
    return id, case
