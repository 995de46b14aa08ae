"""What may go, and what stays.

An index is written again, at the same place, by every ShardImages job that comes to it, so that its date says when the
data set was used last; but not by a run that takes ShardImages from the step cache. So what is used may be as old as
the cache keeps results, and nothing younger than that is ever removed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws.responses import says_missing
from pipeline.clients import client
from pipeline.operations import inventory
from pipeline.operations.dataset import description as dataset
from pipeline.operations.dataset import stored
from pipeline.operations.dataset.stored import Entry, Foreign, LabelSet, Shard, Stored
from pipeline.settings import Settings, seconds
from steps.contracts import dataset as contract
from steps.contracts.errors import PipelineError

# Versions are described this many at a time, which stays below the service's throttling.
THREADS = 8
_DAY = 86_400
_FILE = f"/{contract.NAME}"


@dataclass(frozen=True)
class Evidence:
    """What decides: the indexes with their dates, and the approved versions by the index that they name."""

    indexes: tuple[Entry, ...]
    approved: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Going:
    """What goes of a generation: these of `total` shards, and the marker where nothing stays."""

    place: str
    total: int
    shards: tuple[Shard, ...]
    marker: Entry | None

    @property
    def size(self) -> int:
        """Bytes of the shards that go."""
        return sum(shard.size for shard in self.shards)

    @property
    def modified(self) -> datetime:
        """When the latest of what goes was written."""
        dates = [shard.modified for shard in self.shards]
        return max([*dates, self.marker.modified] if self.marker else dates)


@dataclass(frozen=True)
class Kept:
    """Shards that stay for one reason: how many, and their bytes."""

    shards: int = 0
    size: int = 0

    def __add__(self, other: Shard) -> Kept:
        return Kept(self.shards + 1, self.size + other.size)


@dataclass(frozen=True)
class Staying:
    """Shards that stay by the first reason that holds, and how many label sets do.

    `used` are of an index of the last days or of the newest one; `approved` of an approved version's; `young` were
    written in the last days.
    """

    used: Kept = Kept()
    approved: Kept = Kept()
    young: Kept = Kept()
    label_sets: int = 0


@dataclass(frozen=True)
class Plan:
    """What goes and what stays. `indexes` are those whose shards are in use; `versions` are approved ones whose shards
    stay for them; `notes` say of approved versions whose shards cannot be known.
    """

    days: int
    generations: tuple[Going, ...]
    labels: tuple[LabelSet, ...]
    staying: Staying
    foreign: Foreign
    indexes: int
    versions: tuple[int, ...]
    notes: tuple[str, ...]
    evidence: Evidence

    @property
    def empty(self) -> bool:
        """Whether nothing goes."""
        return not (self.generations or self.labels)

    @property
    def shards(self) -> int:
        """How many shards go."""
        return sum(len(going.shards) for going in self.generations)

    @property
    def size(self) -> int:
        """Bytes of all that goes."""
        return sum(going.size for going in self.generations) + sum(labels.size for labels in self.labels)


def least_days(settings: Settings) -> int:
    """How young what goes may be at least, in days: one more than the step cache keeps results."""
    cache = settings.cache
    return math.ceil(max(seconds(cache.keep_for), seconds(cache.fresh_for)) / _DAY) + 1


def make(settings: Settings, days: int, now: datetime) -> Plan:
    """What goes that is older than `days` at the time `now`.

    Raises PipelineError for fewer days than the step cache needs, while runs are under way, and for an index that
    counts and cannot be read.
    """
    least = least_days(settings)
    if days < least:
        raise PipelineError(
            f"--days {days}: the least is {least}. Runs take results of up to {settings.cache.keep_for}"
            f" (cache.keep_for; cache.fresh_for is {settings.cache.fresh_for}) from the step cache, and no date shows"
            " then that their shards are in use"
        )
    refuse_runs(settings)
    since = now - timedelta(days=days)
    evidence = look(settings)
    recent = _recent(evidence.indexes, since)
    used = {key for entry in recent for key in _named(settings, entry)}
    kept, notes = _of_versions(settings, evidence, recent)
    approved = {key for entry in kept for key in _named(settings, entry)}
    listed = stored.read(settings)
    generations, staying = decide(listed, used, approved, since)
    labels = _old_labels(listed.labels, since)
    return Plan(
        days=days,
        generations=generations,
        labels=labels,
        staying=Staying(staying.used, staying.approved, staying.young, len(listed.labels) - len(labels)),
        foreign=listed.foreign,
        indexes=len(recent),
        versions=tuple(sorted({version for versions in kept.values() for version in versions})),
        notes=notes,
        evidence=evidence,
    )


def decide(
    listed: Stored, used: Collection[str], approved: Collection[str], since: datetime
) -> tuple[tuple[Going, ...], Staying]:
    """What goes of each generation, and what stays. `used` and `approved` are keys of tars; nothing written at `since`
    or later goes.
    """
    kept = {"used": Kept(), "approved": Kept(), "young": Kept()}
    generations = []
    for generation in listed.generations:
        shards = []
        for shard in generation.shards:
            if reason := _reason(shard, used, approved, since):
                kept[reason] += shard
            else:
                shards.append(shard)
        marker = generation.marker
        if len(shards) < len(generation.shards) or (marker and marker.modified >= since):
            marker = None
        if shards or marker:
            generations.append(Going(generation.place, len(generation.shards), tuple(shards), marker))
    return tuple(generations), Staying(kept["used"], kept["approved"], kept["young"])


def refuse_runs(settings: Settings) -> None:
    """Raises PipelineError while runs are under way: a job that plans may be about to use any shard."""
    if runs := inventory.running(settings):
        stop = "; ".join(f"python -m pipeline stop {run}" for run in runs)
        raise PipelineError(
            f"{len(runs)} run(s) are under way, and may be about to use any shard; wait until they have ended, or stop"
            f" them: {stop}"
        )


def look(settings: Settings) -> Evidence:
    """What decides, as it is now."""
    return Evidence(stored.indexes(settings), _approved(settings))


def _reason(shard: Shard, used: Collection[str], approved: Collection[str], since: datetime) -> str:
    """Why a shard stays; empty where it goes."""
    if shard.key in used:
        return "used"
    if shard.key in approved:
        return "approved"
    return "young" if shard.modified >= since else ""


def _recent(indexes: Collection[Entry], since: datetime) -> list[Entry]:
    """The indexes written at `since` or later, and the newest, however old it is."""
    newest = max(indexes, key=lambda entry: (entry.modified, entry.key), default=None)
    return [entry for entry in indexes if entry.modified >= since or entry is newest]


def _old_labels(labels: Collection[LabelSet], since: datetime) -> tuple[LabelSet, ...]:
    newest = max(labels, key=lambda labelled: (labelled.modified, labelled.key), default=None)
    return tuple(labelled for labelled in labels if labelled.modified < since and labelled is not newest)


def _named(settings: Settings, entry: Entry) -> Iterator[str]:
    """The keys of the shards that an index names in the project's own bucket."""
    bucket = f"s3://{settings.data.bucket}/"
    try:
        index = dataset.read(settings, f"{bucket}{entry.key.removesuffix(_FILE)}")
    except PipelineError as error:
        raise PipelineError(
            f"{error}. Which shards it names is not known, and so nothing may go; restore an earlier version of it, or"
            " remove it"
        ) from error
    for split in index.splits.values():
        yield from (shard.uri.removeprefix(bucket) for shard in split.shards if shard.uri.startswith(bucket))


def _of_versions(
    settings: Settings, evidence: Evidence, recent: Collection[Entry]
) -> tuple[dict[Entry, tuple[int, ...]], tuple[str, ...]]:
    """The indexes that count for approved versions alone, with these; and what is to be said of the others."""
    by_uri = {f"s3://{settings.data.bucket}/{entry.key.removesuffix(_FILE)}": entry for entry in evidence.indexes}
    kept: dict[Entry, tuple[int, ...]] = {}
    notes = []
    for uri, versions in evidence.approved.items():
        entry = by_uri.get(uri)
        if entry is None:
            where = f"names the index {uri}, which is not there" if uri else "does not name its index"
            names = ", ".join(map(str, versions))
            notes.append(f"approved version {names} {where}: shards of that data set are not kept for it")
        elif entry not in recent:
            kept[entry] = versions
    return kept, tuple(notes)


def _approved(settings: Settings) -> dict[str, tuple[int, ...]]:
    """Numbers of the approved versions, ascending, by the index that each names; an empty one where it names none."""
    sagemaker = client(settings, "sagemaker")
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=settings.registry.group, ModelApprovalStatus="Approved"
    )
    try:
        arns = [summary["ModelPackageArn"] for page in pages for summary in page["ModelPackageSummaryList"]]
    except ClientError as error:
        if says_missing(error):
            return {}
        raise
    with ThreadPoolExecutor(THREADS) as pool:
        packages = list(pool.map(lambda arn: _describe(sagemaker, arn), arns))
    by_uri: dict[str, tuple[int, ...]] = {}
    for package in sorted(packages, key=lambda package: int(package["ModelPackageVersion"])):
        uri = package.get("CustomerMetadataProperties", {}).get("index", "").rstrip("/")
        by_uri[uri] = (*by_uri.get(uri, ()), package["ModelPackageVersion"])
    return by_uri


def _describe(sagemaker: Any, arn: str) -> dict[str, Any]:
    package: dict[str, Any] = sagemaker.describe_model_package(ModelPackageName=arn)
    return package
