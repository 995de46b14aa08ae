"""View of the lineage of a version: its links, each with its facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import INDENT, Cell, Facts
from pipeline.cli.views.cells import minute, moment, status_text
from pipeline.operations.models.lineage import Lineage, Link

# Parameters of the training toolkit and of the tuner: they start a job and do not change what is trained.
_MACHINERY = ("sagemaker_", "_tuning")


def lineage_page(lineage: Lineage) -> Iterator[RenderableType]:
    """The version, then its links from the run back to the photos."""
    version = lineage.version
    yield Text.assemble(
        (version.name, "bold"), "  ", status_text(version.status), f"  registered {minute(version.created)}"
    )
    if version.comment:
        yield Facts([("comment", version.comment)], INDENT)
    for link in lineage.links:
        yield Text.assemble((link.kind.replace("_", " "), "bold cyan"), "  ", _short(link.id))
        yield Facts(_facts(link), INDENT)


def _facts(link: Link) -> Iterator[tuple[str, Cell]]:
    if link.note:
        yield "note", Text(link.note, style="yellow")
    for name, value in link.facts.items():
        if shown := _shown(name, _short(value) if link.kind == "images" else value):
            yield name.replace("_", " "), shown


def _short(name: str) -> str:
    """An ARN or an image without its account and region, as commands accept it."""
    return name if name.startswith("s3://") else name.rsplit("/", 1)[-1]


def _shown(name: str, value: Any) -> Text | None:
    """A fact as text; None for an empty one."""
    if name in ("status", "state") and isinstance(value, str):
        return status_text(value)
    if isinstance(value, Mapping):
        pairs = [f"{key}={_plain(item)}" for key, item in value.items() if not key.startswith(_MACHINERY)]
        return Text(", ".join(pairs)) if pairs else None
    text = _size(value) if name.endswith("bytes") else _plain(value)
    return Text(text) if text else None


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, float):
        return f"{value:.4f}"
    # SageMaker puts hyperparameters in quotes.
    return f"{value:,}" if isinstance(value, int) else str(value).strip('"')


def _size(value: int) -> str:
    """Bytes in powers of 1,000."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if value >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value} bytes"
