"""Bodies that are ids, and the many that only look like it."""

from __future__ import annotations

import re

import pytest
from hotpaths import HotPath
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slingshot_microservice.hotpath import MalformedIdError

LARGEST = 2**64 - 1
# Unicode's property White_Space, from the Unicode Character Database's PropList.txt.
WHITE_SPACE = [
    *range(0x09, 0x0E),
    *(0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000),
    *range(0x2000, 0x200B),
]

ACCEPTED = {
    b"0": 0,
    b"7": 7,
    b"+1": 1,
    b"01": 1,
    b"+01": 1,
    b"0" * 1_000_000 + b"1": 1,
    b"0" * 5_000: 0,
    b"+" + b"0" * 30: 0,
    b" 1": 1,
    b"1\n": 1,
    b"\r\n\t\v\f 42 \t\r\n": 42,
    b"9999999999999999999": 9_999_999_999_999_999_999,
    b"18446744073709551615": LARGEST,
    b"018446744073709551615": LARGEST,
}

REFUSED = [
    *(b"", b" ", b"\n", b"+", b"-", b"-1", b"-0", b"++1", b"+-1", b"-+1", b"+ 1", b"1+", b"1 2"),
    *(b"1.0", b"1.", b"1e3", b"0x10", b"0b1", b"0o7", b"1_000", b"1,000", b"1a", b"a", b"id"),
    *(b"inf", b"nan", b"None", b"True", b"true", b'"1"', b"[1]", b"{}"),
    b"18446744073709551616",
    b"99999999999999999999",
    b"100000000000000000000",
    b"1" + b"0" * 100_000,
    b"9" * 1_000_000,
    *(b"\x00", b"1\x00", b"\x001", b"1\x002"),
    *(b"\xff", b"1\xff", b"\xc3", b"\x80", b"\xed\xa0\x80", b"\xc0\xb1"),  # not UTF-8
    *("\ufeff1".encode(), "1".encode("utf-16"), "1".encode("utf-32-le")),
    *("\u0661".encode(), "\uff11".encode(), "\u0967".encode()),  # Arabic-Indic, fullwidth, Nagari
    *("²".encode(), "½".encode(), "Ⅷ".encode(), "\uff0b1".encode(), "\u22121".encode()),
    *("1\u200b".encode(), "\u180e1".encode(), "\u20601".encode()),  # look like white space
]


@pytest.mark.parametrize("body", ACCEPTED, ids=lambda body: repr(body)[:30])
def test_reads_an_id(hot: HotPath, body: bytes) -> None:
    id = hot.decode_id(body)
    assert (type(id), id) == (int, ACCEPTED[body])


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: repr(body)[:30])
def test_refuses_what_is_no_id(hot: HotPath, body: bytes) -> None:
    with pytest.raises(MalformedIdError) as caught:
        hot.decode_id(body)
    message = str(caught.value)
    assert repr(body[:20])[:-1] in message, "the message shows the body"
    assert len(message) < 200
    assert message.isprintable(), "the message is one line"


@pytest.mark.parametrize("code", WHITE_SPACE, ids=hex)
def test_ignores_unicode_white_space_around(hot: HotPath, code: int) -> None:
    space = chr(code)
    assert hot.decode_id(f"{space}{space}12{space}".encode()) == 12
    with pytest.raises(MalformedIdError):
        hot.decode_id(f"1{space}2".encode())


@pytest.mark.parametrize("separator", [b"\x1c", b"\x1d", b"\x1e", b"\x1f"])
def test_the_information_separators_are_no_white_space(hot: HotPath, separator: bytes) -> None:
    for body in (separator + b"1", b"1" + separator, separator):
        with pytest.raises(MalformedIdError):
            hot.decode_id(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff", "it is not UTF-8 text"),
        (b"1.0", "expected decimal digits"),
        (b"", "expected decimal digits"),
        (b"18446744073709551616", "it is over 18446744073709551615"),
    ],
)
def test_the_message_says_why(hot: HotPath, body: bytes, reason: str) -> None:
    with pytest.raises(MalformedIdError, match=re.escape(f"{body!r} is no id: {reason}")):
        hot.decode_id(body)


def test_takes_a_number_of_digits_that_int_would_refuse(hot: HotPath) -> None:
    # Python refuses to read texts of more than 4,300 digits, and of 10**30 nobody can send one.
    with pytest.raises(MalformedIdError, match="over"):
        hot.decode_id(b"1" * 5_000)
    assert hot.decode_id(b"0" * 5_000 + b"5") == 5


def oracle(body: bytes) -> int | None:
    """Say the rule again in another way: a pattern over the text."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    space = "[" + "".join(map(chr, WHITE_SPACE)) + "]*"
    match = re.fullmatch(rf"{space}\+?0*([0-9]{{1,20}}){space}", text)
    id = int(match[1]) if match else LARGEST + 1
    return id if id <= LARGEST else None


SPACES = st.sampled_from([chr(code) for code in (*WHITE_SPACE, 0x1C, 0x1F, 0x200B, 0)])
NUMBERS = st.one_of(st.integers(0, 2**66).map(str), st.integers().map(str))
LIKELY = st.tuples(
    st.text(SPACES, max_size=3),
    st.sampled_from(["", "", "", "+", "-", "++", "0", "000", "0x"]),
    st.one_of(NUMBERS, st.text("0123456789_.e+\u0663\uff15", max_size=24)),
    st.text(SPACES, max_size=3),
).map(lambda parts: "".join(parts).encode())


@given(body=st.one_of(st.binary(max_size=40), st.text(max_size=30).map(str.encode), LIKELY))
@example(body=b"\xc2\x851\xc2\x85")
@settings(max_examples=500)
def test_agrees_with_the_rule_said_in_another_way(hot: HotPath, body: bytes) -> None:
    expected = oracle(body)
    if expected is None:
        with pytest.raises(MalformedIdError):
            hot.decode_id(body)
    else:
        assert hot.decode_id(body) == expected


@given(id=st.integers(0, LARGEST))
def test_reads_every_id_back(hot: HotPath, id: int) -> None:
    assert hot.decode_id(b"%d" % id) == id
