"""Commands: dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RUN, app, options_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from steps.contracts.dataset import DatasetIndex, Overlap

EXAMPLES = 5


@app.command(rich_help_panel=RUN)
def dataset(
    context: typer.Context,
    reference: Annotated[
        str, typer.Argument(metavar="[RUN|URI]", help="A run's id or ARN, 'latest', or the s3:// prefix of an index.")
    ] = "latest",
    as_json: Annotated[bool, typer.Option("--json", help="Write the merged index as JSON, every shard in it.")] = False,
) -> None:
    """Show a run's data set: splits, classes and their weights, what was left out, and what the splits share."""
    from pipeline.operations import dataset as datasets

    settings = options_of(context).connected()
    uri = datasets.locate(settings, reference)
    index = datasets.read(settings, uri)
    if as_json:
        typer.echo(index.model_dump_json(indent=2))
        return
    from rich.console import Console

    console = Console()
    console.print(f"[bold]{uri}[/bold]", highlight=False, soft_wrap=True)
    for part in _view(index):
        console.print(part, highlight=False)


def _view(index: DatasetIndex) -> list[RenderableType]:
    sharding = index.sharding
    size = f"shorter side {sharding.image_size} px, JPEG quality {sharding.quality}" if sharding.image_size else ""
    lines = [f"split: {sharding.split}, seed {sharding.seed}", f"photos: {size or 'as they were taken'}"]
    if index.facts:
        lines.append(f"known from earlier runs: {index.facts.kept:,} photos ({index.facts.assignments})")
    return ["\n".join(lines), "", _splits(index), "", _classes(index), "", _rejects(index), "", *_leakage(index)]


def _splits(index: DatasetIndex) -> RenderableType:
    from pipeline.display import simple_table

    total = sum(split.samples for split in index.splits.values())
    table = simple_table("split", "photos", "share", "wanted", "shards", "MB", "largest shard")
    for name, split in index.splits.items():
        share, wanted = f"{split.samples / total:.1%}", f"{index.sharding.fractions[name]:.1%}"
        largest = max(shard.bytes for shard in split.shards)
        shards, size = f"{len(split.shards):,}", f"{split.bytes / 1e6:,.1f}"
        table.add_row(name, f"{split.samples:,}", share, wanted, shards, size, f"{largest / 1e6:,.1f} MB")
    return table


def _classes(index: DatasetIndex) -> RenderableType:
    from pipeline.display import simple_table

    table = simple_table("count", *index.splits, "class weight")
    for quantity, weight in zip(index.classes, index.class_weights, strict=True):
        photos = [f"{split.class_counts.get(quantity, 0):,}" for split in index.splits.values()]
        table.add_row(str(quantity), *photos, f"{weight:.3f}")
    return table


def _rejects(index: DatasetIndex) -> RenderableType:
    from pipeline.display import simple_table

    if not index.rejects:
        return "left out: nothing"
    table = simple_table("left out", "photos", "")
    for reason, ids in index.rejects.items():
        examples = ", ".join(ids[:EXAMPLES]) + (", ..." if len(ids) > EXAMPLES else "")
        table.add_row(reason, f"{len(ids):,}", examples)
    return table


def _leakage(index: DatasetIndex) -> list[RenderableType]:
    from pipeline.display import simple_table

    if index.facts is None:
        return []

    def shares(overlap: Overlap) -> list[str]:
        return [f"{n:,} ({n / max(overlap.photos, 1):.1%})" for n in (overlap.same_bin, overlap.same_item)]

    leakage = index.facts.leakage
    table = simple_table("held-out photos that show, of training,", "a bin", "an item")
    table.add_row("in this split", *shares(leakage.split))
    table.add_row("in a random split", *shares(leakage.random))
    return [table]
