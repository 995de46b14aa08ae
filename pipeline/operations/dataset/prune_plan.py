"""Which shards, plans and labels can be deleted, and which are retained.

Every ShardImages job writes its index again, at the same key, so that the index's date is the data set's last use.
A job that makes or uses a plan of shards writes the plan's description again in the same way.
A run that takes these steps from the step cache writes none. So a data set in use may be as old as the results in the
cache, and nothing younger than those is deleted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from pipeline.aws.pages import existing_items
from pipeline.clients import client
from pipeline.operations.dataset import description as dataset
from pipeline.operations.dataset import stored
from pipeline.operations.dataset.stored import Entry, Foreign, Generation, LabelSet, PlanFolder, Shard, Stored
from pipeline.operations.runs import executions
from pipeline.parallel import parallel_map
from pipeline.settings import Settings, seconds
from steps.contracts import dataset as contract
from steps.contracts.errors import PipelineError

_DAY = 86_400
_FILE = f"/{contract.NAME}"


@dataclass(frozen=True)
class References:
    """The references to shards: the indexes with their dates, and the approved versions by index."""

    indexes: tuple[Entry, ...]
    approved: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class PrunedGeneration:
    """The part of a generation to delete: these of `total` shards, and the marker where none is retained."""

    place: str
    total: int
    shards: tuple[Shard, ...]
    marker: Entry | None

    @property
    def size(self) -> int:
        """Bytes of the shards to delete."""
        return sum(shard.size for shard in self.shards)

    @property
    def modified(self) -> datetime:
        """Time of writing of the latest object to delete."""
        dates = [shard.modified for shard in self.shards]
        return max([*dates, self.marker.modified] if self.marker else dates)


@dataclass(frozen=True)
class Amount:
    """A number of shards and their bytes."""

    shards: int = 0
    size: int = 0

    def __add__(self, other: Shard) -> Amount:
        return Amount(self.shards + 1, self.size + other.size)


@dataclass(frozen=True)
class Retained:
    """Retained shards by the first reason that applies, and the numbers of retained label sets and plans.

    `used` shards belong to an index of the last days or to the newest one, `approved` shards to an approved version's
    index, and `young` shards were written in the last days.
    """

    used: Amount = Amount()
    approved: Amount = Amount()
    young: Amount = Amount()
    label_sets: int = 0
    plans: int = 0


@dataclass(frozen=True)
class PrunePlan:
    """What is deleted and what is retained.

    `layouts` are those of data sets without shards. `indexes` is the number of indexes in use; `versions` are the
    approved versions whose shards are retained; `notes` name the approved versions whose shards are unknown.
    """

    days: int
    generations: tuple[PrunedGeneration, ...]
    labels: tuple[LabelSet, ...]
    plans: tuple[PlanFolder, ...]
    layouts: tuple[Entry, ...]
    retained: Retained
    foreign: Foreign
    indexes: int
    versions: tuple[int, ...]
    notes: tuple[str, ...]
    references: References

    @property
    def empty(self) -> bool:
        """Whether nothing is deleted."""
        return not (self.generations or self.labels or self.plans or self.layouts)

    @property
    def shards(self) -> int:
        """Number of shards to delete."""
        return sum(len(pruned.shards) for pruned in self.generations)

    @property
    def size(self) -> int:
        """Bytes of all objects to delete."""
        sizes = [generation.size for generation in self.generations] + [labels.size for labels in self.labels]
        return sum(sizes) + sum(plan.size for plan in self.plans) + sum(layout.size for layout in self.layouts)


def least_days(settings: Settings) -> int:
    """The least age of deleted objects, in days: one day more than the step cache keeps results."""
    cache = settings.cache
    return math.ceil(max(seconds(cache.keep_for), seconds(cache.fresh_for)) / _DAY) + 1


def make(settings: Settings, days: int, now: datetime) -> PrunePlan:
    """The plan for objects that are older than `days` at the time `now`.

    Raises PipelineError for fewer days than the step cache needs, while runs are in progress, and for an index that is
    needed and cannot be read.
    """
    least = least_days(settings)
    if days < least:
        raise PipelineError(
            f"--days {days} is below the least, {least}: runs use results from the step cache that are up to"
            f" {settings.cache.keep_for} old (cache.keep_for; cache.fresh_for is {settings.cache.fresh_for}), without"
            " a new date on their index"
        )
    refuse_runs(settings)
    since = now - timedelta(days=days)
    current = references(settings)
    recent = _recent(current.indexes, since)
    used = {key for entry in recent for key in _shard_keys(settings, entry)}
    by_index, notes = _version_indexes(settings, current, recent)
    approved = {key for entry in by_index for key in _shard_keys(settings, entry)}
    listed = stored.read(settings)
    generations, retained = decide(listed, used, approved, since)
    labels, plans = _old(listed.labels, since), _old(listed.plans, since)
    return PrunePlan(
        days=days,
        generations=generations,
        labels=labels,
        plans=plans,
        layouts=_unused_layouts(listed, generations, since),
        retained=replace(retained, label_sets=len(listed.labels) - len(labels), plans=len(listed.plans) - len(plans)),
        foreign=listed.foreign,
        indexes=len(recent),
        versions=tuple(sorted({version for versions in by_index.values() for version in versions})),
        notes=notes,
        references=current,
    )


def decide(
    listed: Stored, used: Collection[str], approved: Collection[str], since: datetime
) -> tuple[tuple[PrunedGeneration, ...], Retained]:
    """What to delete in each generation, and what is retained.

    `used` and `approved` are keys of tars; nothing written at `since` or later is deleted.
    """
    amounts: defaultdict[str, Amount] = defaultdict(Amount)
    generations = []
    for generation in listed.generations:
        shards = []
        for shard in generation.shards:
            if reason := _reason(shard, used, approved, since):
                amounts[reason] += shard
            else:
                shards.append(shard)
        marker = generation.marker
        if len(shards) < len(generation.shards) or (marker and marker.modified >= since):
            marker = None
        if shards or marker:
            generations.append(PrunedGeneration(generation.place, len(generation.shards), tuple(shards), marker))
    return tuple(generations), Retained(amounts["used"], amounts["approved"], amounts["young"])


def refuse_runs(settings: Settings) -> None:
    """Raises PipelineError while runs are in progress: their jobs may be about to use any shard."""
    executions.refuse_while_running(settings, "may be about to use any shard; wait until they have ended, or stop them")


def references(settings: Settings) -> References:
    """The present references to shards."""
    return References(stored.indexes(settings), _approved(settings))


def _reason(shard: Shard, used: Collection[str], approved: Collection[str], since: datetime) -> str:
    """Why a shard is retained; empty where it is deleted."""
    if shard.key in used:
        return "used"
    if shard.key in approved:
        return "approved"
    return "young" if shard.modified >= since else ""


def _recent(indexes: Collection[Entry], since: datetime) -> list[Entry]:
    """The indexes written at `since` or later, and the newest one at any age."""
    newest = max(indexes, key=lambda entry: (entry.modified, entry.key), default=None)
    return [entry for entry in indexes if entry.modified >= since or entry is newest]


Folder = TypeVar("Folder", LabelSet, PlanFolder)


def _old(folders: Collection[Folder], since: datetime) -> tuple[Folder, ...]:
    """The folders that were last used before `since`, but for the newest."""
    newest = max(folders, key=lambda folder: (folder.modified, folder.key), default=None)
    return tuple(folder for folder in folders if folder.modified < since and folder is not newest)


def _unused_layouts(listed: Stored, pruned: Collection[PrunedGeneration], since: datetime) -> tuple[Entry, ...]:
    """The layouts, older than `since`, of data sets of which no shard is retained."""
    deleted = {generation.place: len(generation.shards) for generation in pruned}
    used = {
        _dataset(generation)
        for generation in listed.generations
        if len(generation.shards) > deleted.get(generation.place, 0) or generation.place not in deleted
    }
    return tuple(
        entry
        for entry in listed.layouts
        if entry.modified < since and entry.key.rpartition("/")[2].removesuffix(".json") not in used
    )


def _dataset(generation: Generation) -> str:
    return generation.place.partition("/")[0]


def _shard_keys(settings: Settings, entry: Entry) -> Iterator[str]:
    """The keys of an index's shards in the project's own bucket."""
    bucket = f"s3://{settings.data.bucket}/"
    try:
        index = dataset.read(settings, f"{bucket}{entry.key.removesuffix(_FILE)}")
    except PipelineError as error:
        raise PipelineError(
            f"{error}. Its shards are unknown, so that nothing can be deleted; restore an earlier version of it, or"
            " delete it"
        ) from error
    for split in index.splits.values():
        yield from (shard.uri.removeprefix(bucket) for shard in split.shards if shard.uri.startswith(bucket))


def _version_indexes(
    settings: Settings, current: References, recent: Collection[Entry]
) -> tuple[dict[Entry, tuple[int, ...]], tuple[str, ...]]:
    """The indexes that only approved versions need, with these versions; and notes on the other approved versions."""
    by_uri = {f"s3://{settings.data.bucket}/{entry.key.removesuffix(_FILE)}": entry for entry in current.indexes}
    by_index: dict[Entry, tuple[int, ...]] = {}
    notes = []
    for uri, versions in current.approved.items():
        entry = by_uri.get(uri)
        if entry is None:
            reason = f"names the index {uri}, which does not exist" if uri else "names no index"
            names = ", ".join(map(str, versions))
            notes.append(f"approved version {names} {reason}: shards of that data set are not retained for it")
        elif entry not in recent:
            by_index[entry] = versions
    return by_index, tuple(notes)


def _approved(settings: Settings) -> dict[str, tuple[int, ...]]:
    """Numbers of the approved versions, ascending, by the URI of their index; empty for versions without one."""
    sagemaker = client(settings, "sagemaker")
    request = {"ModelPackageGroupName": settings.registry.group, "ModelApprovalStatus": "Approved"}
    summaries = existing_items(sagemaker.get_paginator("list_model_packages"), "ModelPackageSummaryList", **request)
    arns = [summary["ModelPackageArn"] for summary in summaries]
    packages = parallel_map(lambda arn: sagemaker.describe_model_package(ModelPackageName=arn), arns)
    by_uri: dict[str, tuple[int, ...]] = {}
    for package in sorted(packages, key=lambda package: int(package["ModelPackageVersion"])):
        uri = package.get("CustomerMetadataProperties", {}).get("index", "").rstrip("/")
        by_uri[uri] = (*by_uri.get(uri, ()), package["ModelPackageVersion"])
    return by_uri
