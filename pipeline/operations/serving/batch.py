"""Counting the objects in all photos below an S3 prefix with a batch transform job, without an endpoint.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.aws.pages import items
from pipeline.aws.responses import error_if_missing
from pipeline.aws.tags import tagged
from pipeline.aws.waiting import wait_until
from pipeline.clients import client
from pipeline.compiling import vpc as network
from pipeline.operations.models import registry
from pipeline.operations.serving.predictions import Answer, NotCounted, parse
from pipeline.parallel import bounded_map
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri

TERMINAL = ("Completed", "Failed", "Stopped")
# Parallel requests per instance; the container queues them and builds its own batches. An object above the payload ends
# the whole job, and the product of the two may be 100 at most.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
CONCURRENT_TRANSFORMS = 8
MAX_PAYLOAD_MEGABYTES = 12
OUTPUT_SUFFIX = ".out"
READERS = 16
READ_AHEAD = 1000
WAIT_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class BatchJob:
    """A batch transform job."""

    name: str
    status: str
    version: int
    source: str
    output: str
    failure: str = ""

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL


def start(settings: Settings, source: str, *, version: str = "", output: str = "", instances: int = 1) -> BatchJob:
    """Start a job over the photos below the S3 prefix `source`, with the version, or else the latest approved one.

    A photo that the model refuses has its reason in the output. Raises PipelineError where the version is not approved,
    where there is no object below the prefix or one above MAX_PAYLOAD_MEGABYTES, which would end the job, and where
    `output` contains objects, which would mix with the answers.
    """
    chosen = registry.resolve(settings, version) if version else registry.latest_approved(settings)
    if chosen.status != "Approved":
        raise PipelineError(f"{chosen.name} is {chosen.status}; approve it first: python -m pipeline approve")
    s3 = client(settings, "s3")
    source = _folder(source)
    _check_objects(s3, source)
    # Unlike the deploy function's models: a role that creates batches must not create models that an approval serves.
    name = f"{settings.name}-batch-v{chosen.version}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    target = output.rstrip("/") or f"{settings.root_uri}/batch/{name}"
    location = S3Uri.parse(f"{target}/")
    with error_if_missing(f"{target}: there is no such bucket"):
        existing = s3.list_objects_v2(Bucket=location.bucket, Prefix=location.key, MaxKeys=1)
    if existing.get("KeyCount"):
        raise PipelineError(f"{target}/ contains objects already; set an empty prefix with --output")
    sagemaker = client(settings, "sagemaker")
    sagemaker.create_model(
        ModelName=name,
        Containers=[{"ModelPackageName": chosen.arn, "Environment": {"MODEL_VERSION": str(chosen.version)}}],
        ExecutionRoleArn=settings.role_arn("batch"),
        EnableNetworkIsolation=True,
        **network.vpc(settings),
        **tagged(settings.tags),
    )
    instance_type = settings.endpoint.batch_instance_type
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}}
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=name,
        MaxConcurrentTransforms=CONCURRENT_TRANSFORMS,
        MaxPayloadInMB=MAX_PAYLOAD_MEGABYTES,
        TransformInput={"DataSource": data, "ContentType": "image/jpeg"},
        TransformOutput={"S3OutputPath": target, "Accept": "application/json", **network.output_key(settings)},
        TransformResources={
            "InstanceType": instance_type,
            "InstanceCount": instances,
            **network.volume_key(settings, instance_type),
        },
        **tagged(settings.tags),
    )
    return describe(settings, name)


def first_photo(settings: Settings, source: str) -> str:
    """The URI of the first object of a folder. Raises PipelineError where there is none."""
    location = S3Uri.parse(_folder(source))
    with error_if_missing(f"{location}: there is no such bucket"):
        entry = next(_objects(client(settings, "s3"), location), None)
    if entry is None:
        raise PipelineError(_is_empty(str(location)))
    return str(S3Uri(location.bucket, entry["Key"]))


def photo_uri(job: BatchJob, source: str) -> str:
    """The URI of a photo by the source of its answer."""
    return f"{job.source}{source}"


def _folder(source: str) -> str:
    # A prefix without a slash at its end would also be that of `photos-old/` and `photos.jpg`.
    return f"{source.rstrip('/')}/"


def _is_empty(source: str) -> str:
    return f"{source}: no objects in this folder; for a single photo: python -m pipeline predict"


def _check_objects(s3: Any, source: str) -> None:
    location = S3Uri.parse(source)
    most, is_empty = MAX_PAYLOAD_MEGABYTES * 1_000_000, True
    with error_if_missing(f"{source}: there is no such bucket"):
        for entry in _objects(s3, location):
            is_empty = False
            if entry["Size"] > most:
                raise PipelineError(
                    f"s3://{location.bucket}/{entry['Key']} has {entry['Size']:,} bytes; an object above {most:,} ends"
                    " the whole batch job: move it elsewhere, or make it smaller"
                )
    if is_empty:
        raise PipelineError(_is_empty(source))


def _objects(s3: Any, prefix: S3Uri) -> Iterator[dict[str, Any]]:
    return items(s3.get_paginator("list_objects_v2"), "Contents", Bucket=prefix.bucket, Prefix=prefix.key)


def describe(settings: Settings, name: str) -> BatchJob:
    """The present state of the job."""
    answer = client(settings, "sagemaker").describe_transform_job(TransformJobName=name)
    return BatchJob(
        name=name,
        status=answer["TransformJobStatus"],
        version=int(name.removeprefix(f"{settings.name}-batch-v").split("-")[0]),
        source=answer["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"],
        output=answer["TransformOutput"]["S3OutputPath"],
        failure=answer.get("FailureReason", ""),
    )


def wait(settings: Settings, job: BatchJob, *, interval: float = 2.0) -> BatchJob:
    """The job once it has ended; `interval` in seconds. Raises PipelineError after WAIT_SECONDS."""

    def look() -> BatchJob | None:
        state = describe(settings, job.name)
        return state if state.ended else None

    ended = wait_until(look, WAIT_SECONDS, interval)
    if ended is None:
        hours = f"{WAIT_SECONDS / 3600:.0f} hours"
        raise PipelineError(f"the job {job.name} has not ended after {hours} and continues; see SageMaker's console")
    return ended


def results(settings: Settings, job: BatchJob) -> Iterator[Answer]:
    """The job's answers, in the order of their names."""
    s3 = client(settings, "s3")
    prefix = S3Uri.parse(f"{job.output.rstrip('/')}/")

    def read(key: str) -> Answer:
        source = key[len(prefix.key) : -len(OUTPUT_SUFFIX)]
        return parse(source, s3.get_object(Bucket=prefix.bucket, Key=key)["Body"].read())

    keys = (entry["Key"] for entry in _objects(s3, prefix) if entry["Key"].endswith(OUTPUT_SUFFIX))
    return bounded_map(read, keys, workers=READERS, window=READ_AHEAD)


def tally(answers: Iterator[Answer]) -> tuple[Counter[int], Counter[str]]:
    """Number of photos per count, and number of uncounted photos per reason."""
    counts: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    for answer in answers:
        if isinstance(answer, NotCounted):
            reasons[answer.reason] += 1
        else:
            counts[answer.count] += 1
    return counts, reasons
