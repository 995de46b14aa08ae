"""How a plan for pruning looks in a terminal, and as JSON. Gigabytes are of 2^30 bytes, as S3 bills them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from rich.console import Console, RenderableType

from pipeline.cli.views import cost as cost_display
from pipeline.cli.views.runs import simple_table
from pipeline.clients import client
from pipeline.operations.cost import prices
from pipeline.operations.cost.money import GIGABYTE, Range
from pipeline.operations.dataset.prune_deletion import Refused
from pipeline.operations.dataset.prune_plan import Kept, Plan
from pipeline.settings import Settings


def show(settings: Settings, plan: Plan, today: date) -> None:
    """What goes, what that costs per month, and what stays and why."""
    console = Console()
    if plan.empty:
        _line(
            console,
            f"nothing to delete below {settings.root_uri}",
        )
    else:
        _line(
            console,
            f"Below {settings.root_uri}, older than {plan.days} days, and of no data set that was used in that time:",
        )
        if plan.generations:
            console.print(_shards(plan), highlight=False)
        for line in (*_labels(plan), *_cost(settings, plan, today), _afterwards(settings)):
            _line(console, line)
    console.print()
    console.print("stays", style="dim")
    for line in _staying(settings, plan):
        _line(console, line)
    for note in plan.notes:
        console.print(note, style="yellow", highlight=False, markup=False)


def counted(plan: Plan) -> str:
    """What goes, in a few words: `1,200 shards and 3 label sets, 12.00 GB`."""
    parts = [_number(plan.shards, "shard")] if plan.generations else []
    parts += [_number(len(plan.labels), "label set")] if plan.labels else []
    return f"{' and '.join(parts)}, {gigabytes(plan.size)} GB"


def gigabytes(size: int) -> str:
    """Bytes as gigabytes: `12.34`, and `< 0.01` for what is less than half of that but not nothing."""
    return "< 0.01" if 0 < size < GIGABYTE / 200 else f"{size / GIGABYTE:,.2f}"


def flat(
    plan: Plan, objects: int | None = None, size: int | None = None, refused: Sequence[Refused] = ()
) -> dict[str, Any]:
    """For machines: the plan with sizes in bytes, and what was deleted; null where nothing was asked to be."""
    return {
        "days": plan.days,
        "shards": plan.shards,
        "bytes": plan.size,
        "generations": [
            {
                "generation": going.place,
                "shards": len(going.shards),
                "of": going.total,
                "bytes": going.size,
                "last_written": going.modified,
            }
            for going in plan.generations
        ],
        "labels": [
            {"key": labels.key, "bytes": labels.size, "last_written": labels.modified} for labels in plan.labels
        ],
        "stays": plan.staying,
        "indexes": plan.indexes,
        "approved_versions": plan.versions,
        "foreign": plan.foreign,
        "notes": plan.notes,
        "deleted": None if objects is None else {"objects": objects, "bytes": size},
        "remains": refused,
    }


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False)


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _shards(plan: Plan) -> RenderableType:
    table = simple_table("shards/", "number", "GB", "last written")
    for going in plan.generations:
        number = f"{len(going.shards):,} of {going.total:,}" if going.total else "none left"
        table.add_row(going.place, number, gigabytes(going.size), f"{going.modified:%Y-%m-%d}")
    return table


def _labels(plan: Plan) -> Iterator[str]:
    if plan.labels:
        size = sum(labels.size for labels in plan.labels)
        latest = max(labels.modified for labels in plan.labels)
        sets = _number(len(plan.labels), "label set")
        yield f"{sets} below labels/, {gigabytes(size)} GB, last written {latest:%Y-%m-%d}"


def _cost(settings: Settings, plan: Plan, today: date) -> Iterator[str]:
    table = prices.Prices(prices.FILE, settings.account.region)
    price = table.service("s3_storage")
    usd = cost_display.usd(Range.of(Decimal(plan.size) / GIGABYTE * price.usd))
    yield f"in all {counted(plan)}: {usd} USD per month in S3 Standard at {price.usd} per GB"
    if settings.account.target == "local":
        yield "(this profile runs on this machine and costs nothing: that is what AWS would ask for)"
    yield from table.notes
    yield from prices.warnings([price], today)


def _afterwards(settings: Settings) -> str:
    """What becomes of what is deleted: in a versioned bucket it stays behind a delete marker until a rule removes it.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html
    """
    state = client(settings, "s3").get_bucket_versioning(
        Bucket=settings.data.bucket, ExpectedBucketOwner=settings.account.id
    )
    if state.get("Status") != "Enabled":
        return "The bucket is not versioned: nothing brings back what is deleted."
    days = settings.retention.superseded_days
    return (
        f"The bucket is versioned: what is deleted can be restored, and is billed, for {days} more days"
        " (retention.superseded_days)."
    )


def _staying(settings: Settings, plan: Plan) -> Iterator[str]:
    staying, versions = plan.staying, ", ".join(map(str, plan.versions))
    days = f"the last {plan.days} days"
    reasons = [
        (staying.used, f"of {_number(plan.indexes, 'data set')} used in {days}, or the newest"),
        (staying.approved, f"of data sets of approved versions ({versions}), for models compare, lineage and rollback"),
        (staying.young, f"of no data set, but written in {days}: a run that was broken off goes on from them"),
    ]
    for kept, why in reasons:
        if kept != Kept():
            yield f"{_number(kept.shards, 'shard')}, {gigabytes(kept.size)} GB: {why}"
    if staying.label_sets:
        yield f"{_number(staying.label_sets, 'label set')}: written in {days}, or the newest"
    if plan.evidence.indexes:
        count = len(plan.evidence.indexes)
        yield f"{count:,} index{'' if count == 1 else 'es'}: small, and the record of what a model was trained on"
    if (foreign := plan.foreign).objects:
        place = f"s3://{settings.data.bucket}/{foreign.example}"
        amount = f"{_number(foreign.objects, 'object')}, {gigabytes(foreign.size)} GB"
        yield f"{amount}, with names that no run gives, such as {place}"
