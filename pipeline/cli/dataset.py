"""Commands: dataset, which shows one and has others below it (`pipeline.cli.prune`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pipeline.cli.app import RUN, app, options_of, write_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipeline.operations.dataset.description import DataSet
    from steps.contracts.dataset import DatasetIndex
    from steps.contracts.shard_summary import Overlap, ShardSummary

EXAMPLES = 5


_DEFAULT = "show"


class _Shown(TyperGroup):
    """Commands of which `show` is meant where none is named: `dataset latest` is `dataset show latest`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name first; a call for help is the group's own."""
        if not {"-h", "--help"}.intersection(args[:1]):
            name = next((argument for argument in args if not argument.startswith("-")), "")
            if name in self.commands:
                args = [name, *(argument for argument in args if argument is not name)]
            else:
                args = [_DEFAULT, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


datasets = typer.Typer(
    cls=_Shown,
    rich_markup_mode="rich",
    help="Show a run's data set: dataset [RUN|URI]. Or remove old shards that none uses: dataset prune.",
)
app.add_typer(datasets, name="dataset", rich_help_panel=RUN)


@datasets.command(name=_DEFAULT)
def dataset(
    context: typer.Context,
    reference: Annotated[
        str, typer.Argument(metavar="[RUN|URI]", help="A run's id or ARN, 'latest', or the s3:// prefix of an index.")
    ] = "latest",
    as_json: Annotated[
        bool, typer.Option("--json", help="Write index and summary as JSON, every shard in it.")
    ] = False,
) -> None:
    """Show a run's data set: splits, classes and their weights, what was left out, and what the splits share."""
    from pipeline.operations.dataset import description as operation

    settings = options_of(context).connected()
    data = operation.find(settings, reference)
    if as_json:
        summary = data.summary.model_dump(mode="json") if data.summary else None
        write_json({"uri": data.uri, "index": data.index.model_dump(mode="json"), "summary": summary})
        return
    from rich.console import Console

    console = Console()
    console.print(f"[bold]{data.uri}[/bold]", highlight=False, soft_wrap=True)
    for part in _view(data):
        console.print(part, highlight=False)


def _view(data: DataSet) -> list[RenderableType]:
    index, summary = data.index, data.summary
    sharding = index.sharding
    size = f"shorter side {sharding.image_size} px, JPEG quality {sharding.quality}" if sharding.image_size else ""
    lines = [f"split: {sharding.split}, seed {sharding.seed}", f"photos: {size or 'as they were taken'}"]
    excluded = sum(len(shard.excluded) for split in index.splits.values() for shard in split.shards)
    if excluded:
        lines.append(f"in these shards, but removed or written again since: {excluded:,} photos")
    if summary is None:
        return ["\n".join(lines), "", _splits(index), "", _classes(index)]
    lines.append(f"split of an earlier run: {summary.kept:,} photos ({summary.assignments})")
    lines.append(f"written by this run: {summary.photos.written:,} photos; in shards before: {summary.photos.reused:,}")
    return ["\n".join(lines), "", _splits(index), "", _classes(index), "", _rejects(summary), "", _leakage(summary)]


def _splits(index: DatasetIndex) -> RenderableType:
    from pipeline.cli.views.runs import simple_table

    total = sum(split.samples for split in index.splits.values())
    table = simple_table("split", "photos", "share", "wanted", "shards", "MB", "largest shard")
    for name, split in index.splits.items():
        share, wanted = f"{split.samples / total:.1%}", f"{index.sharding.fractions[name]:.1%}"
        largest = max(shard.bytes for shard in split.shards)
        shards, size = f"{len(split.shards):,}", f"{split.bytes / 1e6:,.1f}"
        table.add_row(name, f"{split.samples:,}", share, wanted, shards, size, f"{largest / 1e6:,.1f} MB")
    return table


def _classes(index: DatasetIndex) -> RenderableType:
    from pipeline.cli.views.runs import simple_table

    table = simple_table("count", *index.splits, "class weight")
    for quantity, weight in zip(index.classes, index.class_weights, strict=True):
        photos = [f"{split.class_counts.get(quantity, 0):,}" for split in index.splits.values()]
        table.add_row(str(quantity), *photos, f"{weight:.3f}")
    return table


def _rejects(summary: ShardSummary) -> RenderableType:
    from pipeline.cli.views.runs import simple_table

    if not summary.rejects:
        return "left out: nothing"
    table = simple_table("left out", "photos", "")
    for reason, ids in summary.rejects.items():
        examples = ", ".join(ids[:EXAMPLES]) + (", ..." if len(ids) > EXAMPLES else "")
        table.add_row(reason, f"{len(ids):,}", examples)
    return table


def _leakage(summary: ShardSummary) -> RenderableType:
    from pipeline.cli.views.runs import simple_table

    def shares(overlap: Overlap) -> list[str]:
        return [f"{n:,} ({n / max(overlap.photos, 1):.1%})" for n in (overlap.same_bin, overlap.same_item)]

    leakage = summary.leakage
    table = simple_table("held-out photos that show, of training,", "a bin", "an item")
    table.add_row("in this split", *shares(leakage.split))
    table.add_row("in a random split", *shares(leakage.random))
    return table
