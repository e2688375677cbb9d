"""The line on which each key of a TOML text stands."""

from __future__ import annotations

import pytest

from slingshot_microservice.sysmap.lines import TOMLSyntaxError, read_toml
from slingshot_microservice.sysmap.place import FieldPath

TEXT = '''\
# a comment with [brackets] = "and more"
title = "plain"   # 2

text = """
[not.a.header]
key = 'no key' \\""" still
"""               # ends on 7
literal = \'\'\'
it = "isn't"\'\'\'
dotted . key = 1  # 10
dotted."quoted \\u00e9.key" = 2

out = [           # 13
  { case = 1, queues = ["a", "b # no comment"] },

  # between
  { case = "}", queues = [   # 17
      "c",
      # between
      ["d"], ] },
]
empty = [ ]       # 22
dates = [1979-05-27 07:32:00, 1.5e3]
inline = { }
nested = {a.b = {c = 1}, d = [ {e = 2} ]}

[services.shout]  # 27
in = "x"
[ services . shout . buckets ]
in = "y"
[services]        # 31

[[jobs]]          # 33
name = "one"
[jobs.extra]
key = 1
[[jobs]]          # 37
name = "two"
[[jobs.parts]]
size = 1
[[jobs.parts]]
size = 2
'''

LINES: dict[FieldPath, int] = {
    (): 1,
    ("title",): 2,
    ("text",): 4,
    ("literal",): 8,
    ("dotted",): 10,
    ("dotted", "key"): 10,
    ("dotted", "quoted é.key"): 11,
    ("out",): 13,
    ("out", 0): 14,
    ("out", 0, "case"): 14,
    ("out", 0, "queues", 1): 14,
    ("out", 1): 17,
    ("out", 1, "case"): 17,
    ("out", 1, "queues"): 17,
    ("out", 1, "queues", 0): 18,
    ("out", 1, "queues", 1, 0): 20,
    ("empty",): 22,
    ("dates", 1): 23,
    ("inline",): 24,
    ("nested", "a", "b", "c"): 25,
    ("nested", "d", 0, "e"): 25,
    ("services", "shout"): 27,
    ("services", "shout", "in"): 28,
    ("services", "shout", "buckets"): 29,
    ("services", "shout", "buckets", "in"): 30,
    ("services",): 31,
    ("jobs",): 33,
    ("jobs", 0): 33,
    ("jobs", 0, "name"): 34,
    ("jobs", 0, "extra", "key"): 36,
    ("jobs", 1): 37,
    ("jobs", 1, "name"): 38,
    ("jobs", 1, "parts", 0, "size"): 40,
    ("jobs", 1, "parts", 1): 41,
    ("jobs", 1, "parts", 1, "size"): 42,
}


def paths_of(value: object, path: FieldPath = ()) -> list[FieldPath]:
    """Return every path that a reader of the values can come to."""
    children: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    below = [deeper for key, child in children for deeper in paths_of(child, (*path, key))]
    return [path, *below]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines(end: str) -> None:
    values, lines = read_toml(TEXT.replace("\n", end))
    assert {path: lines.get(path) for path in LINES} == LINES
    assert sorted(map(str, lines)) == sorted(map(str, paths_of(values)))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = \nc = 3\n", 2),
        ("a = 1\na = 2\n", 2),
        ("[a]\n\n[b\n", 3),
        ("a = [\n1,\n", 2),
        ('a = "x', 1),
        ("a = 1\nb = 01\n", 2),
    ],
)
def test_a_text_that_is_no_toml(text: str, line: int) -> None:
    with pytest.raises(TOMLSyntaxError) as caught:
        read_toml(text)
    assert caught.value.line == line
    assert "line" not in str(caught.value).replace("newline", "")


def test_an_empty_text() -> None:
    assert read_toml("") == ({}, {(): 1})
