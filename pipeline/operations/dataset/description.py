"""The data set of a run: its index, and the shard step's summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.aws.arns import name_of
from pipeline.aws.objects import fetch
from pipeline.clients import client
from pipeline.operations.runs import executions, progress
from pipeline.settings import Settings
from steps.contracts import dataset, shard_summary
from steps.contracts.dataset import DatasetIndex, parse_index
from steps.contracts.errors import PipelineError, StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_summary import ShardSummary, parse_summary

STEP = "ShardImages"
T = TypeVar("T")


@dataclass(frozen=True)
class DataSet:
    """The index at `uri`; `summary` is None for an index that was given by its URI."""

    uri: str
    index: DatasetIndex
    summary: ShardSummary | None


def find(settings: Settings, reference: str) -> DataSet:
    """The data set that `reference` refers to: the s3:// URI of an index, or a run (`latest`, id, ARN).

    Raises PipelineError for an unknown run, a run without data set, and a damaged index.
    """
    if reference.startswith("s3://"):
        return DataSet(reference, read(settings, reference), None)
    run = executions.resolve(settings, reference)
    step = next((step for step in progress.read(settings, run.arn).steps if step.name == STEP), None)
    arn = step.arn("ProcessingJob") if step else None
    if step is None or arn is None or step.status != "Succeeded":
        state = step.status if step else "not part of it"
        raise PipelineError(f"the run {run.id} has created no data set ({STEP}: {state}); use another run")
    job = client(settings, "sagemaker").describe_processing_job(ProcessingJobName=name_of(arn))
    outputs = {out["OutputName"]: out["S3Output"]["S3Uri"] for out in job["ProcessingOutputConfig"]["Outputs"]}
    if "summary" not in outputs:
        raise PipelineError(f"the run {run.id} has a data set of an earlier release, which cannot be read; use another")
    summary = _parsed(settings, outputs["summary"], shard_summary.NAME, parse_summary)
    return DataSet(summary.index, read(settings, summary.index), summary)


def read(settings: Settings, uri: str) -> DatasetIndex:
    """The index in the folder `uri`. Raises PipelineError for a missing or damaged one."""
    return _parsed(settings, uri, dataset.NAME, parse_index)


def _parsed(settings: Settings, folder: str, name: str, parse: Callable[[bytes, str], T]) -> T:
    try:
        uri = str(S3Uri.parse(folder).join(name))
        content = fetch(client(settings, "s3"), uri)
        if content is None:
            raise PipelineError(f"there is no {uri}; a run's data set: python -m pipeline dataset RUN")
        return parse(content, uri)
    except StepError as error:
        raise PipelineError(str(error)) from error
