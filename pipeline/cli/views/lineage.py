"""View of the lineage of a version: its links, each with its facts."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import INDENT, Cell, Facts
from pipeline.cli.views.cells import status_text
from pipeline.operations.models import link_words
from pipeline.operations.models.lineage import Lineage, Link
from pipeline.texts import minute


def lineage_page(lineage: Lineage) -> Iterator[RenderableType]:
    """The version, then its links from the run back to the photos."""
    version = lineage.version
    yield Text.assemble(
        (version.name, "bold"), "  ", status_text(version.status), f"  registered {minute(version.created)}"
    )
    if version.comment:
        yield Facts([("comment", version.comment)], INDENT)
    for link in lineage.links:
        yield Text.assemble((link_words.title(link), "bold cyan"), "  ", link_words.short(link.id))
        yield Facts(_facts(link), INDENT)


def _facts(link: Link) -> Iterator[tuple[str, Cell]]:
    if link.note:
        yield "note", Text(link.note, style="yellow")
    for name, text in link_words.facts(link):
        yield name.replace("_", " "), status_text(text) if name in ("status", "state") else Text(text)
