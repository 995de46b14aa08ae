"""View of an import: what was imported, by quantity, and what was left out, by reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType

from pipeline.cli.tables import Column, Facts, Table
from pipeline.operations.importing.work import Result


def page(result: Result, destination: str, *, dry: bool) -> Iterator[RenderableType]:
    """The result, part by part."""
    yield Facts(_facts(result, destination, dry=dry))
    if result.quantities:
        yield ""
        table = Table(Column("quantity"), Column("photos", "number"))
        for quantity, photos in sorted(result.quantities.items()):
            table.add_row(str(quantity), f"{photos:,}")
        yield table
    yield ""
    if not result.left_out.totals:
        yield "left out: nothing"
        return
    table = Table("left out", Column("files", "number", 2), Column("examples", priority=0))
    for reason, total in sorted(result.left_out.totals.items()):
        names = result.left_out.examples[reason]
        table.add_row(reason, f"{total:,}", ", ".join(names) + (", ..." if total > len(names) else ""))
    yield table


def _facts(result: Result, destination: str, *, dry: bool) -> Iterator[tuple[str, str]]:
    verb = "to import" if dry else "imported"
    yield verb, f"{result.imported:,} photos, {result.bytes / 1e6:,.1f} MB, {'into' if dry else 'in'} {destination}"
    if result.converted:
        formats = ", ".join(f"{total:,} {name}" for name, total in sorted(result.converted.items()))
        yield "converted to JPEG", formats
    if result.relabelled:
        yield "new labels", f"{result.relabelled:,} photos that exist there"
    if result.existing:
        yield "unchanged", f"{result.existing:,} photos that exist there"


def next_step(destination: str) -> str:
    """What comes after an import."""
    if destination.startswith("s3://"):
        return f"next: data.image_location: {destination} in pipeline.yaml, then python -m pipeline check"
    return f"next: python -m pipeline demo --bins {destination}, or a copy of it in S3"


def flat(result: Result, *, dry: bool) -> dict[str, Any]:
    """The result for JSON."""
    return {
        "dry_run": dry,
        "imported": result.imported,
        "relabelled": result.relabelled,
        "unchanged": result.existing,
        "bytes": result.bytes,
        "converted": dict(result.converted),
        "quantities": dict(sorted(result.quantities.items())),
        "left_out": {
            reason: {"files": total, "examples": result.left_out.examples[reason]}
            for reason, total in sorted(result.left_out.totals.items())
        },
    }
