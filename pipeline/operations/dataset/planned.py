"""The plan of a run's data set: which of its steps describes it, and what is worth knowing of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.aws.objects import fetch
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts import shard_plan
from steps.contracts.dataset import DatasetIndex
from steps.contracts.errors import PipelineError, StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import ShardPlan, Uneven

# The step that plans where ShardImages does not.
STEP = "PlanShards"


@dataclass(frozen=True)
class Spread:
    """The smallest and the largest of some numbers."""

    least: int
    most: int

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Spread | None:
        """Their spread; None without any."""
        listed = list(numbers)
        return cls(min(listed), max(listed)) if listed else None

    def __str__(self) -> str:
        return f"{self.least:,}" if self.least == self.most else f"{self.least:,} to {self.most:,}"


@dataclass(frozen=True)
class PlanFacts:
    """A plan in numbers: its buckets with the photos and the shards of each, and what could not be shared out.

    `shards` is None where the data set has no shards in buckets, as those of earlier releases. `largest_group` is the
    photos of the largest group of new photos that show the same bin.
    """

    buckets: int
    photos: Spread
    shards: Spread | None
    largest_group: int
    uneven: tuple[Uneven, ...]


def facts(plan: ShardPlan, index: DatasetIndex | None) -> PlanFacts | None:
    """The plan in numbers, with the shards of `index`; None for a plan without a bucket."""
    photos = Spread.of(bucket.photos for bucket in plan.buckets)
    if photos is None:
        return None
    names = {bucket.name for bucket in plan.buckets}
    counts = Counter[str]()
    for split in index.splits.values() if index is not None else ():
        # shards/DATASET/BUCKET/GENERATION/SPLIT/FILE
        counts.update(name for shard in split.shards for name in shard.uri.split("/")[-4:-3] if name in names)
    return PlanFacts(len(plan.buckets), photos, Spread.of(counts.values()), plan.largest_group, tuple(plan.uneven))


def read(settings: Settings, folder: str) -> ShardPlan | None:
    """The plan in the folder of a step's summary; None where there is none, as for runs of earlier releases.

    Raises PipelineError for a damaged one.
    """
    try:
        uri = str(S3Uri.parse(folder).join(shard_plan.NAME))
        content = fetch(client(settings, "s3"), uri)
        return None if content is None else shard_plan.parse_plan(content, uri)
    except StepError as error:
        raise PipelineError(str(error)) from error
