"""The data set of a run: its index and what the shard step says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.runs import executions, progress
from pipeline.settings import Settings
from steps.contracts import dataset, shard_summary
from steps.contracts.dataset import DatasetIndex, parse_index
from steps.contracts.errors import PipelineError, StepError
from steps.contracts.shard_summary import ShardSummary, parse_summary

STEP = "ShardImages"
_URI = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<prefix>.+)")


@dataclass(frozen=True)
class DataSet:
    """The index at `uri`; `summary` is None where it was named by its place alone, and by no run."""

    uri: str
    index: DatasetIndex
    summary: ShardSummary | None


def find(settings: Settings, reference: str) -> DataSet:
    """The data set that `reference` means: the s3:// URI of an index, or a run (`latest`, id, ARN).

    Raises PipelineError where there is no such run, or it has no data set, or the index is damaged.
    """
    if reference.startswith("s3://"):
        return DataSet(reference, read(settings, reference), None)
    run = executions.resolve(settings, reference)
    step = next((step for step in progress.read(settings, run.arn).steps if step.name == STEP), None)
    arn = step.arn("ProcessingJob") if step else None
    if step is None or arn is None or step.status != "Succeeded":
        state = step.status if step else "not part of it"
        raise PipelineError(f"the run {run.id} has made no data set ({STEP}: {state}); take another run")
    job = client(settings, "sagemaker").describe_processing_job(ProcessingJobName=arn.rsplit("/", 1)[-1])
    outputs = {out["OutputName"]: out["S3Output"]["S3Uri"] for out in job["ProcessingOutputConfig"]["Outputs"]}
    if "summary" not in outputs:
        raise PipelineError(
            f"the run {run.id} is of an earlier release, and its data set is not readable; take another"
        )
    place = f"{outputs['summary'].rstrip('/')}/{shard_summary.NAME}"
    try:
        summary = parse_summary(_object(settings, place), place)
    except StepError as error:
        raise PipelineError(str(error)) from error
    return DataSet(summary.index, read(settings, summary.index), summary)


def read(settings: Settings, uri: str) -> DatasetIndex:
    """The index in the folder `uri`. Raises PipelineError where there is none, or it is damaged."""
    if _URI.fullmatch(uri) is None:
        raise PipelineError(f"{uri!r} is no place for an index; write s3://BUCKET/PREFIX, or a run's id")
    place = f"{uri.rstrip('/')}/{dataset.NAME}"
    try:
        return parse_index(_object(settings, place), place)
    except StepError as error:
        raise PipelineError(str(error)) from error


def _object(settings: Settings, uri: str) -> bytes:
    place = _URI.fullmatch(uri)
    assert place is not None
    s3 = client(settings, "s3")
    with error_if_missing(f"there is no {uri}; a run's data set: python -m pipeline dataset RUN"):
        body: bytes = s3.get_object(Bucket=place["bucket"], Key=place["prefix"])["Body"].read()
    return body
