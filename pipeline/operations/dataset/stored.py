"""The objects below `shards/`, `plans/`, `labels/` and `indexes/` in S3.

Below `shards/`, `plans/` and `labels/` only objects with names that the steps choose belong to the pipeline; others are
counted and never deleted. A shard is a tar and a record of its photos. The use of memory grows with the number of
shards.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pipeline.aws.pages import items
from pipeline.aws.responses import CREATE_IT, error_if_missing
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts import shard_plan
from steps.contracts.names import RECORD_SUFFIX, TAR_SUFFIX

# Names that the steps choose (steps.shard.ledger, steps.shard.catalog, steps.planning.run, steps.query.labels). Shards
# that were written before plans were stored have no bucket in their place, and the number of an instance in their name.
_PLACE = r"(?P<generation>[0-9a-f]{16}/(?:[0-9]{6}-[0-9]{5}/)?[0-9]{6,}-[0-9a-f]{16})"
_SHARD = re.compile(
    rf"(?P<stem>{_PLACE}/(?P<split>train|validation|test)/(?P=split)-(?:[0-9]{{3,}}-)?[0-9]{{6,}})"
    r"(?P<suffix>\.tar|\.parquet)"
)
_MARKER = re.compile(rf"{_PLACE}/complete\.json")
_PLAN = re.compile(
    r"(?P<key>[0-9a-f]{32})/(description/(plan\.json|left_out\.parquet)|buckets/[0-9]{6}-[0-9]{5}\.parquet)"
)
_LAYOUT = re.compile(r"layouts/[0-9a-f]{16}\.json")
_LABELS = re.compile(r"(?P<key>[0-9a-f]{32})/part-[0-9]{5,}-of-[0-9]{5,}\.parquet")
_INDEX = re.compile(r"[^/]+/index\.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """An object: its key, size in bytes, and time of writing."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar and its record; after an interrupted job there may be only one of them."""

    tar: Entry | None = None
    record: Entry | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The existing objects."""
        return tuple(entry for entry in (self.tar, self.record) if entry is not None)

    @property
    def key(self) -> str:
        """The tar's key, which indexes contain, also where only the record exists."""
        entry = self.entries[0]
        return entry.key if entry.key.endswith(TAR_SUFFIX) else entry.key.removesuffix(RECORD_SUFFIX) + TAR_SUFFIX

    @property
    def size(self) -> int:
        """Bytes of both."""
        return sum(entry.size for entry in self.entries)

    @property
    def modified(self) -> datetime:
        """Time of writing of the later object."""
        return max(entry.modified for entry in self.entries)


@dataclass(frozen=True)
class Generation:
    """The shards that one run added, below `shards/PLACE`, and the marker of their completeness."""

    place: str
    shards: tuple[Shard, ...]
    marker: Entry | None = None


@dataclass(frozen=True)
class PlanFolder:
    """The files of a plan of shards, below `plans/KEY`; an interrupted job or prune leaves some of them."""

    key: str
    files: tuple[Entry, ...]

    @property
    def description(self) -> Entry | None:
        """The file without which the others are no plan."""
        return next((entry for entry in self.files if entry.key.endswith(f"/{shard_plan.NAME}")), None)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    @property
    def modified(self) -> datetime:
        """Time of the last use: each job that makes or uses the plan writes its description again."""
        return max(entry.modified for entry in self.files)


@dataclass(frozen=True)
class LabelSet:
    """The files of one set of labels, below `labels/KEY`."""

    key: str
    files: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    @property
    def modified(self) -> datetime:
        """Time of writing of the latest file: each query with the same labels writes them again."""
        return max(entry.modified for entry in self.files)


@dataclass(frozen=True)
class Foreign:
    """Objects below `shards/`, `plans/` and `labels/` with other names: their number, bytes, and an example."""

    objects: int = 0
    size: int = 0
    example: str = ""

    def __add__(self, other: Foreign) -> Foreign:
        return Foreign(self.objects + other.objects, self.size + other.size, self.example or other.example)


@dataclass(frozen=True)
class Stored:
    """All shards by generation, all plans and label sets, in the order of their names, and all other objects.

    `layouts` say how the photos of a data set are dealt to buckets: `plans/layouts/DATASET.json`.
    """

    generations: tuple[Generation, ...] = ()
    labels: tuple[LabelSet, ...] = ()
    plans: tuple[PlanFolder, ...] = ()
    layouts: tuple[Entry, ...] = ()
    foreign: Foreign = Foreign()


def read(settings: Settings) -> Stored:
    """List shards, plans and labels, page by page. Raises PipelineError where the bucket does not exist."""
    generations, foreign_shards = _generations(settings)
    plans, layouts, foreign_plans = _plans(settings)
    labels, foreign_labels = _label_sets(settings)
    return Stored(generations, labels, plans, layouts, foreign_shards + foreign_plans + foreign_labels)


def indexes(settings: Settings) -> tuple[Entry, ...]:
    """The indexes of data sets, in the order of their keys. Raises PipelineError where the bucket does not exist."""
    entries = (entry for name, entry in _listed(settings, "indexes") if _INDEX.fullmatch(name))
    return tuple(sorted(entries, key=lambda entry: entry.key))


def _generations(settings: Settings) -> tuple[tuple[Generation, ...], Foreign]:
    shards: defaultdict[str, dict[str, Shard]] = defaultdict(dict)
    markers: dict[str, Entry] = {}
    foreign = Foreign()
    for name, entry in _listed(settings, "shards"):
        if match := _SHARD.fullmatch(name):
            place, stem, is_tar = match["generation"], match["stem"], match["suffix"] == TAR_SUFFIX
            before = shards[place].get(stem, Shard())
            shards[place][stem] = Shard(entry, before.record) if is_tar else Shard(before.tar, entry)
        elif match := _MARKER.fullmatch(name):
            markers[match["generation"]] = entry
        else:
            foreign += Foreign(1, entry.size, entry.key)
    generations = (
        Generation(place, tuple(shards[place][stem] for stem in sorted(shards[place])), markers.get(place))
        for place in sorted({*shards, *markers})
    )
    return tuple(generations), foreign


def _plans(settings: Settings) -> tuple[tuple[PlanFolder, ...], tuple[Entry, ...], Foreign]:
    by_key: dict[str, list[Entry]] = {}
    layouts = []
    foreign = Foreign()
    for name, entry in _listed(settings, "plans"):
        if match := _PLAN.fullmatch(name):
            by_key.setdefault(match["key"], []).append(entry)
        elif _LAYOUT.fullmatch(name):
            layouts.append(entry)
        else:
            foreign += Foreign(1, entry.size, entry.key)
    plans = tuple(PlanFolder(key, tuple(files)) for key, files in sorted(by_key.items()))
    return plans, tuple(layouts), foreign


def _label_sets(settings: Settings) -> tuple[tuple[LabelSet, ...], Foreign]:
    by_key: dict[str, list[Entry]] = {}
    foreign = Foreign()
    for name, entry in _listed(settings, "labels"):
        if match := _LABELS.fullmatch(name):
            by_key.setdefault(match["key"], []).append(entry)
        else:
            foreign += Foreign(1, entry.size, entry.key)
    return tuple(LabelSet(key, tuple(files)) for key, files in sorted(by_key.items())), foreign


def _listed(settings: Settings, name: str) -> Iterator[tuple[str, Entry]]:
    """Every object in a folder, with its name there."""
    paginator, bucket = client(settings, "s3").get_paginator("list_objects_v2"), settings.data.bucket
    prefix = f"{settings.data.prefix}/{name}/"
    request = {"Bucket": bucket, "Prefix": prefix, "ExpectedBucketOwner": settings.account.id}
    with error_if_missing(f"there is no bucket {bucket}; {CREATE_IT}"):
        for entry in items(paginator, "Contents", **request):
            key = entry["Key"]
            yield key.removeprefix(prefix), Entry(key, entry["Size"], entry["LastModified"])
