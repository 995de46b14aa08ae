"""Views of a plan for pruning, for people and as JSON. A gigabyte is 2^30 bytes, as S3 bills it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import Column, Table
from pipeline.clients import client
from pipeline.operations.cost import prices
from pipeline.operations.cost import words as cost_words
from pipeline.operations.cost.money import GIGABYTE, Range
from pipeline.operations.dataset.prune_deletion import Refused
from pipeline.operations.dataset.prune_plan import Amount, PrunedGeneration, PrunePlan
from pipeline.settings import Settings
from steps.contracts.wording import count_of


def plan_page(settings: Settings, plan: PrunePlan, today: date) -> Iterator[RenderableType]:
    """What is deleted, what that costs per month, and what stays and why."""
    if plan.empty:
        yield f"nothing to delete below {settings.root_uri}"
    else:
        yield f"Below {settings.root_uri}, older than {plan.days} days and in no data set used in that time:"
        if plan.generations:
            yield _shards_table(plan)
        yield from _folders(plan)
        yield from _cost(settings, plan, today)
        yield _restoring(settings)
    yield ""
    yield Text("stays", style="dim")
    yield from _staying(settings, plan)
    for note in plan.notes:
        yield Text(note, style="yellow")


def counted(plan: PrunePlan) -> str:
    """What is deleted: `1,200 shards and 3 label sets, 12.00 GB`."""
    parts = [count_of(plan.shards, "shard")] if plan.generations else []
    parts += [count_of(len(plan.plans), "plan")] if plan.plans else []
    parts += [count_of(len(plan.layouts), "layout")] if plan.layouts else []
    parts += [count_of(len(plan.labels), "label set")] if plan.labels else []
    *first, last = parts
    return f"{' and '.join([', '.join(first), last] if first else [last])}, {gigabytes(plan.size)} GB"


def gigabytes(size: int) -> str:
    """Bytes as gigabytes: `12.34`, or `< 0.01` for a smaller size above zero."""
    return "< 0.01" if 0 < size < GIGABYTE / 200 else f"{size / GIGABYTE:,.2f}"


def flat(
    plan: PrunePlan, objects: int | None = None, size: int | None = None, refused: Sequence[Refused] = ()
) -> dict[str, Any]:
    """The plan as JSON, sizes in bytes, and what was deleted; null for a plan that was only shown."""
    return {
        "days": plan.days,
        "shards": plan.shards,
        "bytes": plan.size,
        "generations": [
            {
                "generation": generation.place,
                "shards": len(generation.shards),
                "of": generation.total,
                "bytes": generation.size,
                "last_written": generation.modified,
            }
            for generation in plan.generations
        ],
        "labels": [
            {"key": labels.key, "bytes": labels.size, "last_written": labels.modified} for labels in plan.labels
        ],
        "plans": [{"key": each.key, "bytes": each.size, "last_used": each.modified} for each in plan.plans],
        "layouts": [{"key": each.key, "bytes": each.size, "last_written": each.modified} for each in plan.layouts],
        "stays": plan.retained,
        "indexes": plan.indexes,
        "approved_versions": plan.versions,
        "foreign": plan.foreign,
        "notes": plan.notes,
        "deleted": None if objects is None else {"objects": objects, "bytes": size},
        "remains": refused,
    }


def _shards_table(plan: PrunePlan) -> Table:
    table = Table("shards/", Column("number", "number"), Column("GB", "number"), Column("last written", "time"))
    for place, generations in itertools.groupby(plan.generations, key=_wave):
        every = list(generations)
        total, shards = sum(each.total for each in every), sum(len(each.shards) for each in every)
        number = f"{shards:,} of {total:,}" if total else "none left"
        size, modified = sum(each.size for each in every), max(each.modified for each in every)
        table.add_row(place, number, gigabytes(size), f"{modified:%Y-%m-%d}")
    return table


def _wave(generation: PrunedGeneration) -> str:
    """The place of a wave: its buckets, which may be thousands, are a row of the table together."""
    dataset, *bucket, _ = generation.place.split("/")
    return f"{dataset}/{bucket[0].partition('-')[0]}" if bucket else generation.place


def _folders(plan: PrunePlan) -> Iterator[str]:
    if plan.plans:
        size = sum(each.size for each in plan.plans)
        latest = max(each.modified for each in plan.plans)
        yield f"{count_of(len(plan.plans), 'plan')} below plans/, {gigabytes(size)} GB, last used {latest:%Y-%m-%d}"
    if plan.layouts:
        yield f"{count_of(len(plan.layouts), 'layout')} below plans/layouts/, of data sets without shards"
    if plan.labels:
        size = sum(labels.size for labels in plan.labels)
        latest = max(labels.modified for labels in plan.labels)
        sets = count_of(len(plan.labels), "label set")
        yield f"{sets} below labels/, {gigabytes(size)} GB, last written {latest:%Y-%m-%d}"


def _cost(settings: Settings, plan: PrunePlan, today: date) -> Iterator[str]:
    table = prices.Prices(prices.FILE, settings.account.region)
    price = table.service("s3_storage")
    usd = cost_words.usd(Range.of(Decimal(plan.size) / GIGABYTE * price.usd))
    yield f"total: {counted(plan)}, {usd} USD per month in S3 Standard at {price.usd} per GB"
    if settings.account.target == "local":
        yield "(this profile runs on this machine and costs nothing; AWS would bill that amount)"
    yield from table.notes
    yield from prices.warnings([price], today)


def _restoring(settings: Settings) -> str:
    """Whether deleted objects can be restored: a versioned bucket keeps them behind a delete marker for a time.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html
    """
    state = client(settings, "s3").get_bucket_versioning(
        Bucket=settings.data.bucket, ExpectedBucketOwner=settings.account.id
    )
    if state.get("Status") != "Enabled":
        return "The bucket is not versioned: deleted objects cannot be restored."
    days = settings.retention.superseded_days
    return (
        f"The bucket is versioned: deleted objects can be restored, and are billed, for {days} more days"
        " (retention.superseded_days)."
    )


def _staying(settings: Settings, plan: PrunePlan) -> Iterator[str]:
    staying, versions = plan.retained, ", ".join(map(str, plan.versions))
    days = f"the last {plan.days} days"
    reasons = [
        (staying.used, f"in {count_of(plan.indexes, 'data set')} used in {days}, or in the newest one"),
        (staying.approved, f"in data sets of approved versions ({versions}), for models compare, lineage and rollback"),
        (staying.young, f"in no data set, but written in {days}: an interrupted run continues from them"),
    ]
    for kept, why in reasons:
        if kept != Amount():
            yield f"{count_of(kept.shards, 'shard')}, {gigabytes(kept.size)} GB: {why}"
    if staying.label_sets:
        yield f"{count_of(staying.label_sets, 'label set')}: written in {days}, or the newest one"
    if staying.plans:
        yield f"{count_of(staying.plans, 'plan')}: used in {days}, or the newest one"
    if plan.references.indexes:
        count = len(plan.references.indexes)
        yield f"{count_of(count, 'index', 'indexes')}: small, and the record of what a model was trained on"
    if (foreign := plan.foreign).objects:
        place = f"s3://{settings.data.bucket}/{foreign.example}"
        amount = f"{count_of(foreign.objects, 'object')}, {gigabytes(foreign.size)} GB"
        yield f"{amount} whose names are not of a run, for example {place}"
