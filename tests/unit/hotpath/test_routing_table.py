"""Which queues an output goes to, by value and type of its case."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import pytest
from hotpaths import HotPath, Table
from hypothesis import given
from hypothesis import strategies as st

from slingshot_microservice.hotpath import InvalidOutputError


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Color(str, enum.Enum):
    RED = "red"


class Name(str):
    """A string that lies about its text."""

    def __str__(self) -> str:
        return "another"

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


class BadRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr today")


@pytest.fixture(scope="session")
def table(hot: HotPath) -> Table:
    return hot.RoutingTable(
        [
            (True, [0]),
            (1, [1]),
            ("1", [2]),
            (False, [3]),
            (0, [4]),
            ("", [5]),
            ("red", [6, 7, 6]),
            ("nowhere", []),
        ]
    )


@pytest.mark.parametrize(
    ("case", "queues"),
    [
        (True, (0,)),
        (1, (1,)),
        ("1", (2,)),
        (False, (3,)),
        (0, (4,)),
        ("", (5,)),
        ("red", (6, 7, 6)),
        ("nowhere", ()),
        (2, None),
        ("true", None),
        ("RED", None),
        (-1, None),
    ],
)
def test_the_type_of_a_case_counts(table: Table, case: object, queues: object) -> None:
    assert table.lookup(case) == queues


@pytest.mark.parametrize(
    ("case", "queues"),
    [(Size.SMALL, (1,)), (Size.LARGE, None), (Color.RED, (6, 7, 6)), (Name("red"), (6, 7, 6))],
    ids=["IntEnum", "IntEnum unlisted", "str Enum", "str subclass"],
)
def test_a_subclass_is_what_it_derives_from(table: Table, case: object, queues: object) -> None:
    assert table.lookup(case) == queues


def test_a_subclass_in_the_routes_is_what_it_derives_from(hot: HotPath) -> None:
    table = hot.RoutingTable([(Size.LARGE, [0]), (Color.RED, [1]), (Name("blue"), [2])])
    assert [table.lookup(case) for case in (2, "red", "blue")] == [(0,), (1,), (2,)]


def test_the_last_of_two_equal_cases_wins(hot: HotPath) -> None:
    table = hot.RoutingTable([(1, [0]), (True, [1]), ("1", [2]), (1, [3]), (True, [4, 5])])
    assert [table.lookup(case) for case in (1, True, "1")] == [(3,), (4, 5), (2,)]


@pytest.mark.parametrize("case", [2**64 - 1, -(2**63), 2**127 - 1, -(2**127)])
def test_integers_of_up_to_128_bits_are_cases(hot: HotPath, case: int) -> None:
    assert hot.RoutingTable([(case, [9])]).lookup(case) == (9,)
    assert hot.RoutingTable([]).lookup(case) is None


@pytest.mark.parametrize(
    "case", [2**127, -(2**127) - 1, 2**128, 10**5_000, -(10**5_000)], ids=int.bit_length
)
def test_larger_integers_are_not(table: Table, case: int) -> None:
    with pytest.raises(InvalidOutputError, match="expected an int of 128 bits") as caught:
        table.lookup(case)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("case", "kind"),
    [(1.0, "float"), (None, "NoneType"), ((1,), "tuple"), (b"red", "bytes"), ([], "list")],
)
def test_other_types_are_no_cases(table: Table, case: object, kind: str) -> None:
    with pytest.raises(InvalidOutputError) as caught:
        table.lookup(case)
    assert str(caught.value) == f"case {case!r} is of type {kind}: expected a bool, an int or a str"


def test_an_object_without_a_repr_is_named_by_its_type(table: Table) -> None:
    with pytest.raises(InvalidOutputError, match="type BadRepr: expected a bool"):
        table.lookup(BadRepr())


def generator() -> Any:
    yield 7, True
    yield 2**64 - 1, "1"


# Functions, because some of these can be exhausted only once.
@pytest.mark.parametrize(
    ("make", "publishes"),
    [
        (lambda: None, []),
        (list, []),
        (tuple, []),
        (generator, [(0, 7), (2, 2**64 - 1)]),
        (lambda: [(7, True), (0, 1)], [(0, 7), (1, 0)]),
        (lambda: ((7, "red"), (8, True)), [(6, 7), (7, 7), (6, 7), (0, 8)]),
        (lambda: {7: True, 8: "1"}.items(), [(0, 7), (2, 8)]),
        (lambda: {(7, True)}, [(0, 7)]),
        (lambda: [[7, True]], [(0, 7)]),
        (lambda: iter([(Size.LARGE, Size.SMALL)]), [(1, 2)]),
        (lambda: zip([1, 2], [True, False], strict=True), [(0, 1), (3, 2)]),
        (lambda: [(7, "nowhere")], []),
    ],
)
def test_plans_what_any_iterable_gives(
    table: Table, make: Callable[[], Any], publishes: object
) -> None:
    planned, unlisted = table.plan(make())
    assert (planned, unlisted) == (publishes, [])
    assert all(type(id) is int for _, id in planned), "no subclass reaches the writer"


def test_names_the_unlisted_cases_once_for_every_output(table: Table) -> None:
    outputs = [(1, "blue"), (2, True), (3, 5), (4, "blue"), (5, "red")]
    publishes, unlisted = table.plan(outputs)
    assert publishes == [(0, 2), (6, 5), (7, 5), (6, 5)]
    assert unlisted == ["blue", 5, "blue"]


WRONG: list[tuple[Any, str]] = [
    ([(-1, True)], "output (-1, True): id -1 is out of range: expected 0 to 18446744073709551615"),
    ([(2**64, True)], "id 18446744073709551616 is out of range: expected 0 to"),
    ([(True, True)], "output (True, True): id True is of type bool: expected an int"),
    ([(7.0, True)], "output (7.0, True): id 7.0 is of type float: expected an int"),
    ([("7", True)], "output ('7', True): id '7' is of type str: expected an int"),
    ([(None, True)], "id None is of type NoneType: expected an int"),
    ([(7, 1.0)], "output (7, 1.0): case 1.0 is of type float: expected a bool, an int or a str"),
    ([(7, None)], "output (7, None): case None is of type NoneType"),
    ([(7, 2**127)], "is too large: expected an int of 128 bits"),
    ([(7, True, 3)], "output (7, True, 3): expected a pair (id, case)"),
    ([(7,)], "output (7,): expected a pair (id, case)"),
    ([7], "output 7: expected a pair (id, case)"),
    ((7, True), "output 7: expected a pair (id, case)"),
    (["ab"], "output 'ab': expected a pair (id, case)"),
    ([{7, 8}], "expected a pair (id, case)"),
    ({7: True}, "output 7: expected a pair (id, case)"),
    (7, "process returned 7: expected pairs (id, case), yielded or in a list"),
    (True, "process returned True: expected pairs (id, case)"),
    ("ab", "process returned 'ab': expected pairs (id, case)"),
    (b"ab", "process returned b'ab': expected pairs (id, case)"),
    (list, "process returned <class 'list'>: expected pairs (id, case)"),
    (object(), "expected pairs (id, case), yielded or in a list"),
    ([(BadRepr(), True)], "is of type BadRepr: expected an int"),
    ([BadRepr()], "expected a pair (id, case)"),
]


@pytest.mark.parametrize(("outputs", "message"), WRONG, ids=[text for _, text in WRONG])
def test_refuses_what_cannot_be_sent(table: Table, outputs: Any, message: str) -> None:
    with pytest.raises(InvalidOutputError) as caught:
        table.plan(outputs)
    assert message in str(caught.value)


class Int64:
    """As numpy's: counts as an integer for most purposes, and is no int."""

    def __index__(self) -> int:
        return 7

    __int__ = __index__

    def __eq__(self, other: object) -> bool:
        return other == 7

    def __hash__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "np.int64(7)"


def test_refuses_an_integer_of_another_kind(table: Table) -> None:
    with pytest.raises(InvalidOutputError, match=r"id np\.int64\(7\) is of type Int64: expected"):
        table.plan([(Int64(), True)])
    with pytest.raises(InvalidOutputError, match=r"case np\.int64\(7\) is of type Int64"):
        table.plan([(7, Int64())])


@pytest.mark.parametrize(
    "output",
    [(10**5_000, True), ("x" * 10**6, True), (7, 10**5_000), "x" * 10**6, b"x" * 10**6],
    ids=["huge id", "long id", "huge case", "long str", "long bytes"],
)
def test_a_message_stays_short(table: Table, output: object) -> None:
    with pytest.raises(InvalidOutputError) as caught:
        table.plan([output])
    assert len(str(caught.value)) < 250


def test_what_a_generator_raises_comes_through(table: Table) -> None:
    def process() -> Any:
        yield 1, True
        raise LookupError("midway")

    with pytest.raises(LookupError, match="midway"):
        table.plan(process())


def test_stops_at_the_first_wrong_output(table: Table) -> None:
    outputs = iter([(1, True), (-1, True), (2, True)])
    with pytest.raises(InvalidOutputError):
        table.plan(outputs)
    assert list(outputs) == [(2, True)]


def test_a_hundred_thousand_outputs_keep_their_order(table: Table) -> None:
    publishes, _ = table.plan((id, True) for id in range(100_000))
    assert publishes == [(0, id) for id in range(100_000)]


CASES = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "0", "1", "True"]))


@given(
    routes=st.lists(st.tuples(CASES, st.lists(st.integers(0, 5), max_size=3))),
    outputs=st.lists(st.tuples(st.integers(0, 2**64 - 1), CASES)),
)
def test_agrees_with_a_dict_that_knows_types(
    hot: HotPath,
    routes: list[tuple[bool | int | str, list[int]]],
    outputs: list[tuple[int, bool | int | str]],
) -> None:
    model = {(type(case), case): queues for case, queues in routes}
    known = [(id, model.get((type(case), case)), case) for id, case in outputs]
    publishes, unlisted = hot.RoutingTable(routes).plan(outputs)
    assert publishes == [(queue, id) for id, queues, _ in known for queue in queues or ()]
    lost = [case for _, queues, case in known if queues is None]
    assert list(zip(map(type, unlisted), unlisted, strict=True)) == [(type(c), c) for c in lost]
