"""Tables and lists of facts for people.

In a terminal that is too narrow, columns of text first wrap at spaces; then the columns of the lowest priority move
below their row, as `heading: value`. No word, number or URI is broken. In a pipe each row is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

from rich.console import Console, ConsoleOptions
from rich.text import Text

SPACE = 3  # characters between two columns
INDENT = 2  # characters before the lines below a row
NARROWEST = 20  # characters that a column of longer texts keeps at least

Cell = Text | str


@dataclass
class Column:
    """A column: text wraps at spaces, the other kinds never; numbers end at the right."""

    heading: str
    kind: Literal["text", "number", "uri", "time"] = "text"
    priority: int = 1
    """Columns of the lowest priority move below their row first; of equal ones, the one furthest to the right."""
    no_wrap: bool = field(init=False)
    justify: Literal["left", "right"] = field(init=False)

    def __post_init__(self) -> None:
        self.no_wrap = self.kind != "text"
        self.justify = "right" if self.kind == "number" else "left"


class Table:
    """A table without a frame, as wide as its content or as the terminal. The first column always stays in its row."""

    def __init__(self, *columns: Column | str, show_header: bool = True) -> None:
        self.columns = [Column(column) if isinstance(column, str) else column for column in columns]
        self.show_header = show_header
        self.rows: list[list[Text]] = []

    def add_row(self, *cells: Cell, style: str = "") -> None:
        """Add a row; missing cells at its end are empty."""
        row = [_text(cell) for cell in cells]
        for cell in row:
            cell.stylize_before(style)
        self.rows.append(row + [Text() for _ in self.columns[len(row) :]])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        limit = _limit(console, options)
        shown = self._shown(limit)
        widths = self._widths(shown, limit)
        if self.show_header:
            yield from self._lines([Text(column.heading, "dim") for column in self.columns], widths)
        for row in self.rows:
            yield from self._lines(row, widths)
            rest = [
                Text.assemble((f"{column.heading}: " if column.heading else "", "dim"), cell)
                for place, (column, cell) in enumerate(zip(self.columns, row, strict=True))
                if place not in widths and cell
            ]
            yield from _flow(rest, limit)

    def _shown(self, limit: int | None) -> list[int]:
        """The places of the columns that fit into `limit` characters at their narrowest."""
        shown = list(range(len(self.columns)))
        while limit is not None and len(shown) > 1 and _total(map(self._narrowest, shown)) > limit:
            shown.remove(min(shown[1:], key=lambda place: (self.columns[place].priority, -place)))
        return shown

    def _widths(self, shown: Sequence[int], limit: int | None) -> dict[int, int]:
        """Characters of each shown column, by its place; the widest ones of text give up what does not fit."""
        widths = {place: self._widest(place) for place in shown}
        narrowest = {place: self._narrowest(place) for place in shown}
        while limit is not None and _total(widths.values()) > limit:
            shrinkable = [place for place in shown if widths[place] > narrowest[place]]
            if not shrinkable:
                break
            widths[max(shrinkable, key=lambda place: (widths[place], -self.columns[place].priority))] -= 1
        return widths

    def _cells(self, place: int) -> list[Text]:
        return [row[place] for row in self.rows]

    def _heading(self, place: int) -> Text:
        return Text(self.columns[place].heading if self.show_header else "")

    def _widest(self, place: int) -> int:
        return max(cell.cell_len for cell in [self._heading(place), *self._cells(place)])

    def _narrowest(self, place: int) -> int:
        words = [_longest_word(self._heading(place))]
        for cell in self._cells(place):
            whole = self.columns[place].no_wrap or cell.cell_len <= NARROWEST
            words.append(cell.cell_len if whole else max(_longest_word(cell), NARROWEST))
        return max(words)

    def _lines(self, row: Sequence[Text], widths: dict[int, int]) -> Iterator[Text]:
        cells = [wrapped(row[place], width) for place, width in widths.items()]
        for parts in zip_longest(*cells, fillvalue=Text()):
            line = Text()
            for part, (place, width) in zip(parts, widths.items(), strict=True):
                gap = " " * (width - part.cell_len)
                before, after = (gap, "") if self.columns[place].justify == "right" else ("", gap)
                line.append(before).append_text(part).append(after + " " * SPACE)
            line.rstrip()
            yield line


class Facts:
    """Names and values below each other, the values in line; a value with a word too long for that goes below."""

    def __init__(self, rows: Iterable[tuple[Cell, Cell]], indent: int = 0) -> None:
        self._rows = [(Text(name, "dim") if isinstance(name, str) else name, _text(value)) for name, value in rows]
        self._indent = indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        limit = _limit(console, options)
        hanging = self._indent + max((name.cell_len for name, _ in self._rows), default=0) + INDENT
        for name, value in self._rows:
            start = Text(" " * self._indent).append_text(name)
            if limit is None or _longest_word(value) <= limit - hanging:
                lines = wrapped(value, None if limit is None else limit - hanging)
                yield start.append(" " * (hanging - start.cell_len)).append_text(lines[0])
                yield from (Text(" " * hanging).append_text(line) for line in lines[1:])
            else:
                yield start
                yield from _flow([value], limit, self._indent + INDENT)


def _text(cell: Cell) -> Text:
    return cell.copy() if isinstance(cell, Text) else Text(cell.replace("\n", " "))


def _limit(console: Console, options: ConsoleOptions) -> int | None:
    """Characters in a line; None for a pipe whose lines are written whole."""
    return options.max_width if console.is_terminal or not options.no_wrap else None


def _total(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + SPACE * (len(each) - 1)


def _longest_word(text: Text) -> int:
    return max((Text(word).cell_len for word in text.plain.split()), default=0)


def wrapped(text: Text, width: int | None) -> list[Text]:
    """The lines of a text that ends a line at spaces only; a longer word is a line by itself."""
    breaks: list[int] = []
    length = 0
    for match in re.finditer(r"(\s*)\S+", text.plain):
        cells = Text(match[0]).cell_len
        if width is not None and length and length + cells > width:
            breaks.append(match.end(1))
            length = cells - len(match[1])
        else:
            length += cells
    lines = list(text.divide(breaks))
    for line in lines:
        line.rstrip()
    return lines


def _flow(parts: Iterable[Text], limit: int | None, indent: int = INDENT) -> Iterator[Text]:
    """The parts in as few indented lines as they need."""
    line = Text()
    for part in parts:
        if line and limit is not None and indent + line.cell_len + SPACE + part.cell_len > limit:
            yield Text(" " * indent).append_text(line)
            line = Text()
        lines = wrapped(part, None if limit is None else limit - indent)
        for full in lines[:-1]:
            yield Text(" " * indent).append_text(full)
        line = line.append(" " * SPACE if line else "").append_text(lines[-1])
    if line:
        yield Text(" " * indent).append_text(line)
