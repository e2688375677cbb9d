"""How rows are kept and shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .rows import Row, append, markdown, merge, put_between_markers, read, write

ROW = Row("killed", "compiled", "classic", 1_000, 999, 0, 3, 4, 1, 0, "1.5", "as it should be")
HERE = {"commit": "abc1234", "cores": "2"}


def test_a_row_takes_the_place_of_the_older_one_of_its_scenario(tmp_path: Path) -> None:
    first, second, kept = tmp_path / "first.csv", tmp_path / "second.csv", tmp_path / "kept.csv"
    append(first, ROW)
    append(first, replace(ROW, implementation="fallback"))
    append(second, replace(ROW, attempted=5))
    write(kept, merge([], read(first), {**HERE, "commit": "old"}))
    write(kept, merge(read(kept), read(second), HERE))
    records = [(it["implementation"], it["attempted"], it["commit"]) for it in read(kept)]
    assert records == [("compiled", "5", "abc1234"), ("fallback", "1000", "old")]


def test_the_table_has_the_commit_of_each_row(tmp_path: Path) -> None:
    append(tmp_path / "rows.csv", ROW)
    table = markdown(merge([], read(tmp_path / "rows.csv"), HERE)).splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert table[2] == (
        "| killed | compiled | classic | 1,000 | 999 | 0 | 3 | 1 | 0 | 1.5 | as it should be "
        "| abc1234 |"
    )


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n")
    put_between_markers(page, "one")
    page.write_text(page.read_text() + "after\n")
    put_between_markers(page, "two")
    assert page.read_text() == (
        "before\n\n<!-- faults: start -->\n\ntwo\n\n<!-- faults: end -->\nafter\n"
    )
