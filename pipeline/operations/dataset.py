"""The data set of a run: its index, as the shard step wrote it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.operations import executions, progress
from pipeline.operations.responses import missing_means
from pipeline.session import client
from pipeline.settings import Settings
from steps.contracts.dataset import DatasetIndex, merge, parse_part
from steps.contracts.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP = "ShardImages"
_URI = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<prefix>.+)")
_PART = re.compile(r"(?:.*/)?part-\d+\.json")


def locate(settings: Settings, reference: str) -> str:
    """Where the index is that `reference` means: an s3:// URI is taken as it is, else it is a run (`latest`, id, ARN).

    Raises PipelineError where there is no such run, or it has not made a data set.
    """
    if reference.startswith("s3://"):
        return reference
    run = executions.resolve(settings, reference)
    step = next((one for one in progress.read(settings, run.arn).steps if one.name == STEP), None)
    arn = step.arn("ProcessingJob") if step else None
    if step is None or arn is None or step.status != "Succeeded":
        state = step.status if step else "not part of it"
        raise PipelineError(f"the run {run.id} has made no data set ({STEP}: {state}); take another run")
    job = client(settings, "sagemaker").describe_processing_job(ProcessingJobName=arn.rsplit("/", 1)[-1])
    outputs = {one["OutputName"]: one["S3Output"]["S3Uri"] for one in job["ProcessingOutputConfig"]["Outputs"]}
    index: str = outputs["index"]
    return index


def read(settings: Settings, uri: str) -> DatasetIndex:
    """The merged index below `uri`. Raises PipelineError where there is none, or a part is damaged or missing."""
    place = _URI.fullmatch(uri)
    if place is None:
        raise PipelineError(f"{uri!r} is no place for an index; write s3://BUCKET/PREFIX, or a run's id")
    parts = []
    try:
        for key, content in _parts(settings, place["bucket"], place["prefix"].rstrip("/") + "/"):
            parts.append(parse_part(content, f"s3://{place['bucket']}/{key}"))
        if not parts:
            raise PipelineError(f"no dataset index (part-*.json) below {uri}")
        return merge(parts)
    except StepError as error:
        raise PipelineError(str(error)) from error


def _parts(settings: Settings, bucket: str, prefix: str) -> Iterator[tuple[str, bytes]]:
    s3 = client(settings, "s3")
    with missing_means(f"there is no bucket {bucket}"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", []):
                if _PART.fullmatch(one["Key"]):
                    yield one["Key"], s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
