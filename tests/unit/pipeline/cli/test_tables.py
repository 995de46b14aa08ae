"""Tables at every width: no word is broken, nothing is lost, and the commands print what their files hold."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.cli.output import print_parts
from pipeline.cli.tables import Column, Facts, Table
from tests.unit.pipeline.cli import pages

KINDS = ("text", "number", "uri", "time")
WORDS = st.text(st.sampled_from("abcXYZ019.-_:/é量"), min_size=1, max_size=90)
CELLS = st.lists(WORDS, max_size=8).map(" ".join)


@pytest.fixture
def utc() -> Iterator[None]:
    """Times are printed in the reader's time zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(("name", "width"), pages.CASES)
def test_a_command_prints_what_its_file_holds(name: str, width: int) -> None:
    assert pages.text(name, width) == pages.path(name, width).read_text(), (
        "if the change is intended: python -m tests.unit.pipeline.cli.pages"
    )


def test_there_is_no_file_without_a_case() -> None:
    assert sorted(pages.FOLDER.iterdir()) == sorted(pages.path(*case) for case in pages.CASES)


@pytest.mark.parametrize(("name", "width"), [case for case in pages.CASES if case[1] != pages.PIPE])
def test_a_line_is_wider_than_the_terminal_only_where_it_is_one_word(name: str, width: int) -> None:
    lines = pages.text(name, width).splitlines()
    assert [line for line in lines if len(line) > width and len(line.split()) > 1] == []


def printed(part: Table | Facts, width: int, *, terminal: bool = True) -> str:
    out = io.StringIO()
    print_parts(Console(file=out, width=width, force_terminal=terminal, color_system=None), part)
    return out.getvalue()


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, list[list[str]]]:
    count = draw(st.integers(1, 7))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=count, max_size=count))
    priorities = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    rows = draw(st.lists(st.lists(CELLS, min_size=count, max_size=count), max_size=4))
    headings = [f"heading{number}" for number in range(count)]
    columns = [Column(*each) for each in zip(headings, kinds, priorities, strict=True)]  # type: ignore[arg-type]
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    return table, [headings, *rows]


@given(tables(), st.integers(40, 160))
def test_a_table_breaks_and_loses_no_word_at_any_width(case: tuple[Table, list[list[str]]], width: int) -> None:
    table, cells = case
    words = Counter(word for row in cells for cell in row for word in cell.split())
    seen = Counter(printed(table, width).split())
    headings = set(cells[0])
    assert {word: seen[word] for word in words if word not in headings} == {
        word: count for word, count in words.items() if word not in headings
    }
    assert set(seen) <= set(words) | {f"{heading}:" for heading in headings}


@given(tables())
def test_in_a_pipe_a_row_is_a_line(case: tuple[Table, list[list[str]]]) -> None:
    table, cells = case
    lines = printed(table, 40, terminal=False).splitlines()
    assert [line.split() for line in lines] == [" ".join(row).split() for row in cells]


@given(st.lists(st.tuples(WORDS, CELLS), max_size=5), st.integers(40, 160))
def test_facts_break_and_lose_no_word_at_any_width(rows: list[tuple[str, str]], width: int) -> None:
    words = [word for name, value in rows for word in (name, *value.split())]
    assert printed(Facts(rows), width).split() == words


def test_the_columns_of_the_lowest_priority_move_below_their_row() -> None:
    uri = "s3://bucket/a/long/prefix/that/leaves/no/room/model.tar.gz"
    table = Table("name", Column("size", "number", 2), Column("place", "uri", 0), Column("note", priority=1))
    table.add_row("a", "1,234", uri, "short")
    assert printed(table, 60).splitlines() == [
        "name    size   note",
        "a      1,234   short",
        "  place:",
        f"  {uri}",
    ]
