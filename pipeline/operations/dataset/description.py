"""The data set of a run: its index, and the shard step's summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.aws.objects import fetch
from pipeline.clients import client
from pipeline.operations.dataset import planned
from pipeline.operations.runs import executions, outputs
from pipeline.operations.runs.outputs import StepOutputs
from pipeline.operations.runs.progress import Progress
from pipeline.settings import Settings
from steps.contracts import dataset, query_summary, shard_summary
from steps.contracts.dataset import DatasetIndex, parse_index
from steps.contracts.errors import PipelineError, StepError
from steps.contracts.left_out import LeftOut, left_out
from steps.contracts.query_summary import Summary
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import ShardPlan
from steps.contracts.shard_summary import ShardSummary, parse_summary

STEP, QUERY = "ShardImages", "QueryMetadata"
# The steps that leave photos out.
SELECTING = (QUERY, STEP)
T = TypeVar("T")


@dataclass(frozen=True)
class DataSet:
    """The index at `uri`; `summary`, `query` and `plan` are None for an index that was given by its URI.

    `plan` is None for a run of an earlier release, too. `query_problem` is why a run's data set has no summary of its
    query, or empty.
    """

    uri: str
    index: DatasetIndex
    summary: ShardSummary | None
    query: Summary | None = None
    query_problem: str = ""
    plan: ShardPlan | None = None


def find(settings: Settings, reference: str) -> DataSet:
    """The data set that `reference` refers to: the s3:// URI of an index, or a run (`latest`, id, ARN).

    Raises PipelineError for an unknown run, a run without data set, and a damaged index.
    """
    if reference.startswith("s3://"):
        return DataSet(reference, read(settings, reference), None)
    run = executions.resolve(settings, reference)
    steps = outputs.of_run(settings, run)
    places = steps.places(STEP, "created no data set")
    if "summary" not in places:
        raise PipelineError(f"the run {run.id} has a data set of an earlier release, which cannot be read; use another")
    summary = parsed(settings, places["summary"], shard_summary.NAME, parse_summary)
    query, problem = _query(settings, steps)
    plan = planned.read(settings, places["summary"])
    return DataSet(summary.index, read(settings, summary.index), summary, query, problem, plan)


def _query(settings: Settings, steps: StepOutputs) -> tuple[Summary | None, str]:
    """The summary of a run's query; None, and why, where it no longer exists: the data set is shown without it."""
    try:
        folder = steps.places(QUERY, "queried nothing")["summary"]
        return parsed(settings, folder, query_summary.NAME, query_summary.parse_summary), ""
    except PipelineError as error:
        return None, str(error).split(";")[0]


def left_out_by(settings: Settings, run: Progress, step: str) -> tuple[LeftOut, ...]:
    """What one of the SELECTING steps of a run left out, by reason.

    Raises PipelineError where the step has not succeeded, or its summary is missing or damaged.
    """
    places = StepOutputs(settings, run).places(step, "left nothing out yet")
    if "summary" not in places:
        raise PipelineError(f"{step} is of an earlier release and has no summary")
    if step == QUERY:
        return left_out(parsed(settings, places["summary"], query_summary.NAME, query_summary.parse_summary), None)
    return left_out(None, parsed(settings, places["summary"], shard_summary.NAME, parse_summary))


def read(settings: Settings, uri: str) -> DatasetIndex:
    """The index in the folder `uri`. Raises PipelineError for a missing or damaged one."""
    return parsed(settings, uri, dataset.NAME, parse_index)


def parsed(settings: Settings, folder: str, name: str, parse: Callable[[bytes, str], T]) -> T:
    """The file `name` in the folder `folder`, parsed. Raises PipelineError for a missing or damaged one."""
    try:
        uri = str(S3Uri.parse(folder).join(name))
        content = fetch(client(settings, "s3"), uri)
        if content is None:
            raise PipelineError(f"there is no {uri}; a run's data set: python -m pipeline dataset RUN")
        return parse(content, uri)
    except StepError as error:
        raise PipelineError(str(error)) from error
