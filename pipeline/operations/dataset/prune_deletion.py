"""Removing what a plan says, so that an end at any moment leaves nothing that a run would trip over.

Of each batch the records go first. A job takes a shard to be there where tar and record both are, and reads the record
before it names the tar in an index: a record that outlived its tar could lead to an index of a shard that is gone. A
tar without a record is no shard to anybody, and is removed by the next prune. The marker of a generation goes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from pipeline.clients import client
from pipeline.operations.dataset import prune_plan as planning
from pipeline.operations.dataset.prune_plan import Plan
from pipeline.operations.dataset.stored import Entry, Shard
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# Keys that DeleteObjects takes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
BATCH = 1_000
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Refused:
    """An object that remains, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Removed:
    """What one request removed: how many objects, their bytes, and what it could not."""

    objects: int
    size: int
    refused: tuple[Refused, ...] = ()


def carry_out(settings: Settings, doomed: Plan) -> Iterator[Removed]:
    """Remove what the plan says, a batch at a time.

    Raises PipelineError before anything is removed where an index was written or a version approved since the plan was
    made, and before a batch where a run has started: what is left then is whole.
    """
    planning.refuse_runs(settings)
    if planning.look(settings) != doomed.evidence:
        raise PipelineError(
            "since this was listed an index was written, or the approval of a version has changed; nothing was"
            " deleted: run this again"
        )
    s3 = client(settings, "s3")
    remaining: set[str] = set()
    shards = ((going.place, shard) for going in doomed.generations for shard in going.shards)
    for batch in _batches(shards):
        planning.refuse_runs(settings)
        yield from _remove_shards(settings, s3, batch, remaining)
    markers = [going.marker for going in doomed.generations if going.marker and going.place not in remaining]
    files = (entry for labels in doomed.labels for entry in labels.files)
    for entries in _batches((*markers, *files)):
        yield _remove(settings, s3, entries)


def _remove_shards(
    settings: Settings, s3: Any, batch: Sequence[tuple[str, Shard]], remaining: set[str]
) -> Iterator[Removed]:
    """Records, and then the tars of those that are gone; adds to `remaining` the generations of which a shard stays."""
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
    gone = [entry for entry in entries if entry.key not in errors]
    refused = tuple(Refused(key, " ".join(reason.split())) for key, reason in errors.items())
    return Removed(len(gone), sum(entry.size for entry in gone), refused)


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
