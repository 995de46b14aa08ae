"""Parts of the pages that steps leave for people: one style, light and dark, and tables. No page needs another file."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def style() -> str:
    """The style sheet, for a page's own <style>."""
    return Path(__file__).with_name("page.css").read_text()


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """A table that scrolls where it is wider than the page; without any name in `head` it has none."""

    def cell(value: object) -> str:
        return value if isinstance(value, Markup) else html.escape(str(value))

    columns = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    start = f"<thead><tr>{columns}</tr></thead>" if any(head) else ""
    return Markup(f"<div class='scroll'><table>{start}<tbody>{body}</tbody></table></div>")


def bar(share: float) -> Markup:
    """A bar that is filled by `share` (0 to 1), for a table's cell."""
    return Markup(f"<span class='bar'><span style='width:{share:.1%}'></span></span>")
