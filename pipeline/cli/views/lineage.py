"""How the lineage of a version looks in a terminal: a tree, a branch a link."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text
from rich.tree import Tree

from pipeline.cli.views.runs import moment, status_text
from pipeline.operations.models.lineage import Lineage, Link

# The toolkit's own, and the tuner's: how a job is started, not how a model is trained.
_MACHINERY = ("sagemaker_", "_tuning")


def tree(found: Lineage) -> Tree:
    """The version as the root, its links in the order of the walk."""
    version = found.version
    root = Tree(
        Text.assemble(
            (version.name, "bold"), "  ", status_text(version.status), f"  registered {moment(version.created)[:-3]}"
        ),
        guide_style="dim",
    )
    if version.comment:
        root.add(Text.assemble(("comment  ", "dim"), version.comment))
    for link in found.links:
        _add(root, link)
    return root


def _add(root: Tree, link: Link) -> None:
    branch = root.add(Text.assemble((link.kind.replace("_", " "), "bold cyan"), "  ", _short(link.id)))
    if link.note:
        branch.add(Text(link.note, style="yellow"))
    for name, value in link.facts.items():
        if shown := _shown(name, _short(value) if link.kind == "images" else value):
            branch.add(Text.assemble((f"{name.replace('_', ' ')}  ", "dim"), shown))


def _short(name: str) -> str:
    """An ARN or an image without the account and region that all of them share: what the commands take."""
    return name if name.startswith("s3://") else name.rsplit("/", 1)[-1]


def _shown(name: str, value: Any) -> Text | None:
    """A fact as a line; None for one that says nothing."""
    if name in ("status", "state") and isinstance(value, str):
        return status_text(value)
    if isinstance(value, Mapping):
        pairs = [f"{key} {_plain(one)}" for key, one in value.items() if not key.startswith(_MACHINERY)]
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
    # Hyperparameters come with the quotes of the service.
    return f"{value:,}" if isinstance(value, int) else str(value).strip('"')


def _size(value: int) -> str:
    """Bytes as people read them, in powers of 1,000."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if value >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value} bytes"
