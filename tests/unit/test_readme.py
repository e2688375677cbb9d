"""The README shows the files that it says it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUOTED = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)


def quotations() -> list[tuple[str, str]]:
    return QUOTED.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def test_it_quotes_files() -> None:
    assert quotations()


@pytest.mark.parametrize(("path", "text"), quotations(), ids=[path for path, _ in quotations()])
def test_a_quoted_file_is_as_it_is_shown(path: str, text: str) -> None:
    assert text == (ROOT / path).read_text(encoding="utf-8")


def test_links_lead_to_files() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)|^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    for target in (a or b for a, b in targets):
        assert (ROOT / target).exists(), target
