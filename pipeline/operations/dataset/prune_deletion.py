"""Carrying out a prune plan, in an order that is safe to interrupt at any moment.

In each batch the records are deleted before the tars. A job uses a shard whose tar and record both exist, and reads the
record before it puts the tar into an index: a record without its tar could lead to an index of a deleted shard. A tar
without a record is used by no job, and deleted by the next prune. The marker of a generation is deleted after its
shards, and the description of a plan before the rest of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from pipeline.clients import client
from pipeline.operations.dataset import prune_plan as planning
from pipeline.operations.dataset.prune_plan import PrunePlan
from pipeline.operations.dataset.stored import Entry, PlanFolder, Shard
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# Keys that DeleteObjects takes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
BATCH = 1_000
T = TypeVar("T")


@dataclass(frozen=True)
class Refused:
    """An object that could not be deleted, with the reason."""

    key: str
    reason: str


@dataclass(frozen=True)
class Removed:
    """The result of one request: the number of deleted objects, their bytes, and the objects that remain."""

    objects: int
    size: int
    refused: tuple[Refused, ...] = ()


def carry_out(settings: Settings, plan: PrunePlan) -> Iterator[Removed]:
    """Delete the plan's objects, batch by batch.

    Raises PipelineError before the first batch where an index was written or an approval has changed since the plan,
    and before any batch where a run has started; the remaining shards are complete.
    """
    planning.refuse_runs(settings)
    if planning.references(settings) != plan.references:
        raise PipelineError(
            "an index was written or the approval of a version has changed since the listing; nothing was deleted:"
            " run this again"
        )
    s3 = client(settings, "s3")
    remaining: set[str] = set()
    for batch in _batches((pruned.place, shard) for pruned in plan.generations for shard in pruned.shards):
        planning.refuse_runs(settings)
        yield from _remove_shards(settings, s3, batch, remaining)
    markers = [pruned.marker for pruned in plan.generations if pruned.marker and pruned.place not in remaining]
    yield from _remove_plans(settings, s3, plan.plans)
    files = (entry for labels in plan.labels for entry in labels.files)
    for entries in _batches((*markers, *plan.layouts, *files)):
        planning.refuse_runs(settings)
        yield _remove(settings, s3, entries)


def _remove_plans(settings: Settings, s3: Any, plans: Sequence[PlanFolder]) -> Iterator[Removed]:
    """Delete descriptions, then the other files of these plans: a job takes a plan with a description for whole."""
    refused: set[str] = set()
    for entries in _batches(plan.description for plan in plans if plan.description):
        planning.refuse_runs(settings)
        removed = _remove(settings, s3, entries)
        yield removed
        refused |= {refusal.key for refusal in removed.refused}
    whole = {plan.key for plan in plans if plan.description and plan.description.key in refused}
    others = (entry for plan in plans if plan.key not in whole for entry in plan.files if entry is not plan.description)
    for entries in _batches(others):
        planning.refuse_runs(settings)
        yield _remove(settings, s3, entries)


def _remove_shards(
    settings: Settings, s3: Any, batch: Sequence[tuple[str, Shard]], remaining: set[str]
) -> Iterator[Removed]:
    """Delete records, then their tars; adds to `remaining` the generations with a shard that could not be deleted."""
    records = _remove(settings, s3, [shard.record for _, shard in batch if shard.record])
    yield records
    refused = {refusal.key for refusal in records.refused}
    tars = [shard.tar for _, shard in batch if shard.tar and not (shard.record and shard.record.key in refused)]
    removed = _remove(settings, s3, tars)
    yield removed
    refused |= {refusal.key for refusal in removed.refused}
    remaining |= {place for place, shard in batch if refused & {entry.key for entry in shard.entries}}


def _remove(settings: Settings, s3: Any, entries: Sequence[Entry]) -> Removed:
    if not entries:
        return Removed(0, 0)
    answer = s3.delete_objects(
        Bucket=settings.data.bucket,
        Delete={"Objects": [{"Key": entry.key} for entry in entries], "Quiet": True},
        ExpectedBucketOwner=settings.account.id,
    )
    errors = {error["Key"]: f"{error['Code']}: {error.get('Message', '')}" for error in answer.get("Errors", [])}
    deleted = [entry for entry in entries if entry.key not in errors]
    refused = tuple(Refused(key, " ".join(reason.split())) for key, reason in errors.items())
    return Removed(len(deleted), sum(entry.size for entry in deleted), refused)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
