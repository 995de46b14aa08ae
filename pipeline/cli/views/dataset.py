"""View of a data set: its splits and classes, what was left out, and what the splits share."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import Column, Facts, Table
from pipeline.operations.dataset import planned
from pipeline.operations.dataset.description import DataSet
from steps.contracts.dataset import DatasetIndex
from steps.contracts.left_out import left_out
from steps.contracts.shard_plan import ShardPlan
from steps.contracts.shard_summary import Overlap, ShardSummary
from steps.contracts.wording import count_of

EXAMPLES = 5


def dataset_page(data: DataSet) -> Iterator[RenderableType]:
    """The data set, part by part."""
    yield Text(data.uri, style="bold")
    yield Facts(_facts(data))
    yield ""
    yield _splits_table(data.index)
    yield ""
    yield _classes_table(data.index)
    if data.plan is not None and data.plan.uneven:
        yield ""
        yield _uneven_table(data.plan)
    if data.summary is not None:
        yield ""
        yield from _left_out(data)
        yield ""
        leakage = data.summary.leakage
        if leakage.caveat:
            yield f"leakage between the splits is {leakage.caveat}"
        if leakage.is_known or leakage.copies:
            yield _leakage_table(data.summary)


def _facts(data: DataSet) -> Iterator[tuple[str, str]]:
    index, summary = data.index, data.summary
    sharding = index.sharding
    yield "split", f"{sharding.split}, seed {sharding.seed}"
    size = f"shorter side {sharding.image_size} px, JPEG quality {sharding.quality}" if sharding.image_size else ""
    yield "photos", size or "original files"
    excluded = sum(len(shard.excluded) for split in index.splits.values() for shard in split.shards)
    if excluded:
        yield "excluded", f"{count_of(excluded, 'photo')} in these shards, removed or written again since"
    if data.query is not None and data.query.listed_by is not None:
        yield "listed by", data.query.listed_by.sentence()
    if summary is not None:
        yield "splits", summary.assignments
        if summary.kept:
            yield "added before", f"{count_of(summary.kept, 'photo')}; the others are the latest addition"
        yield "written by this run", count_of(summary.photos.written, "photo")
        yield "in earlier shards", count_of(summary.photos.reused, "photo")
        if data.plan is not None and (facts := planned.facts(data.plan, index)):
            shards = f", in {facts.shards} shards each" if facts.shards else ""
            yield "planned in", f"{count_of(facts.buckets, 'bucket')} of {facts.photos} photos{shards}"
            yield "largest group", f"{count_of(facts.largest_group, 'photo')} of the same bin"
        if summary.leakage.copies:
            yield "copies", f"{count_of(summary.leakage.copies, 'photo')} with the same bytes as another one"


def _splits_table(index: DatasetIndex) -> Table:
    headings = ("photos", "share", "wanted", "shards", "MB", "largest shard")
    table = Table("split", *(Column(heading, "number") for heading in headings))
    total = sum(split.samples for split in index.splits.values())
    for name, split in index.splits.items():
        share, wanted = f"{split.samples / total:.1%}", f"{index.sharding.fractions[name]:.1%}"
        largest = max(shard.bytes for shard in split.shards)
        shards, size = f"{len(split.shards):,}", f"{split.bytes / 1e6:,.1f}"
        table.add_row(name, f"{split.samples:,}", share, wanted, shards, size, f"{largest / 1e6:,.1f} MB")
    return table


def _classes_table(index: DatasetIndex) -> Table:
    table = Table("count", *(Column(heading, "number") for heading in (*index.splits, "class weight")))
    for quantity, weight in zip(index.classes, index.class_weights, strict=True):
        photos = [f"{split.class_counts.get(quantity, 0):,}" for split in index.splits.values()]
        table.add_row(str(quantity), *photos, f"{weight:.3f}")
    return table


def _uneven_table(plan: ShardPlan) -> Table:
    """The quantities whose groups are too large to share out as wanted."""
    table = Table("uneven count", "split", Column("share", "number"), Column("wanted", "number"))
    for each in plan.uneven:
        table.add_row(str(each.quantity), each.split, f"{each.share:.1%}", f"{each.wanted:.1%}")
    return table


def _left_out(data: DataSet) -> Iterator[RenderableType]:
    if data.query_problem:
        yield Text(f"left out by the query: not known ({data.query_problem})", style="yellow")
    reasons = left_out(data.query, data.summary)
    if not reasons:
        if not data.query_problem:
            yield "left out: nothing"
        return
    table = Table("left out", Column("photos", "number", 2), Column("by", priority=1), Column("examples", priority=0))
    for each in reasons:
        examples = ", ".join(each.examples[:EXAMPLES]) + (", ..." if each.photos > EXAMPLES else "")
        table.add_row(each.reason, f"{each.photos:,}", each.step, examples)
    yield table


def _leakage_table(summary: ShardSummary) -> Table:
    def shares(overlap: Overlap) -> list[str]:
        return [f"{number:,} ({overlap.share(number):.1%})" for number in (overlap.same_bin, overlap.same_item)]

    table = Table("photos outside training that share", Column("bin", "number"), Column("item", "number"))
    table.add_row("with training, in this split", *shares(summary.leakage.split))
    table.add_row("with training, in a random split", *shares(summary.leakage.random))
    return table
