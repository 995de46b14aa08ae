"""What a run wrote about its data so far: the query's numbers, and the data set of the shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.aws.objects import fetch
from pipeline.clients import client
from pipeline.operations.dataset import description, planned
from pipeline.operations.dataset.description import QUERY, STEP
from pipeline.operations.runs.outputs import StepOutputs
from pipeline.operations.runs.progress import Progress
from pipeline.settings import Settings
from steps.contracts import exploration, query_summary, shard_summary
from steps.contracts.dataset import DatasetIndex
from steps.contracts.errors import PipelineError, StepError
from steps.contracts.exploration import Exploration
from steps.contracts.left_out import LeftOut, left_out
from steps.contracts.photo_files import is_usable_id
from steps.contracts.query_summary import Summary
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import ShardPlan
from steps.contracts.shard_summary import ShardSummary

EXPLORE = "ExploreData"
T = TypeVar("T")


@dataclass(frozen=True)
class RunData:
    """A run's data, part by part; None for a part that the run has not written (yet), or that cannot be read.

    `problems` are the reasons for parts that cannot be read. `explored` and `plan` are None for runs of earlier
    releases, too. `has_exploration` is whether a step explored all of the data and left a page.
    """

    query: Summary | None = None
    explored: Exploration | None = None
    sharding: ShardSummary | None = None
    index: DatasetIndex | None = None
    plan: ShardPlan | None = None
    has_exploration: bool = False
    problems: tuple[str, ...] = ()

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What the run left out, by reason."""
        return left_out(self.query, self.sharding)

    @property
    def named(self) -> frozenset[str]:
        """Ids of the photos that the run names as left out."""
        return frozenset(image_id for each in self.left_out for image_id in each.examples if is_usable_id(image_id))


def has_data(progress: Progress) -> bool:
    """Whether the run has written anything about its data."""
    return any(step.name == QUERY and step.status == "Succeeded" for step in progress.steps)


def read(settings: Settings, progress: Progress) -> RunData:
    """What the run has written about its data: nothing for a run whose query has not succeeded."""
    problems: list[str] = []

    def part(read_it: Callable[[], T]) -> T | None:
        try:
            return read_it()
        except PipelineError as error:
            problems.append(str(error))
            return None

    steps = StepOutputs(settings, progress)
    succeeded = {step.name for step in progress.steps if step.status == "Succeeded"}
    query = explored = sharding = index = plan = None
    if QUERY in succeeded and (folder := part(lambda: steps.places(QUERY, "queried nothing")["summary"])):
        query = part(lambda: description.parsed(settings, folder, query_summary.NAME, query_summary.parse_summary))
        explored = part(lambda: _explored(settings, folder))
    if STEP in succeeded and (place := part(lambda: steps.places(STEP, "created no data set").get("summary"))):
        sharding = part(lambda: description.parsed(settings, place, shard_summary.NAME, shard_summary.parse_summary))
        plan = part(lambda: planned.read(settings, place))
    elif planned.STEP in succeeded and (apart := part(lambda: steps.places(planned.STEP, "no plan")["summary"])):
        plan = part(lambda: planned.read(settings, apart))
    if sharding is not None:
        uri = sharding.index
        index = part(lambda: description.read(settings, uri))
    return RunData(query, explored, sharding, index, plan, EXPLORE in succeeded, tuple(problems))


def _explored(settings: Settings, folder: str) -> Exploration | None:
    """The numbers in the folder of a query's summary; None where an earlier release wrote it without them."""
    try:
        uri = str(S3Uri.parse(folder).join(exploration.NAME))
        content = fetch(client(settings, "s3"), uri)
        return None if content is None else exploration.parse_exploration(content, uri)
    except StepError as error:
        raise PipelineError(str(error)) from error
