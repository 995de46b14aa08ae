"""Counting the objects in all photos below an S3 prefix, without an endpoint: a batch transform job.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.compiling import vpc as network
from pipeline.operations.models import registry
from pipeline.operations.serving.photos import split_uri
from pipeline.operations.serving.predictions import Answer, NotCounted, prediction
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

TERMINAL = ("Completed", "Failed", "Stopped")
# Requests at a time and instance; the container queues them and makes batches of its own. An object above the payload
# ends the whole job, and the product of the two may be 100 at most.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
CONCURRENT_TRANSFORMS = 8
MAX_PAYLOAD_MEGABYTES = 12
OUTPUT_SUFFIX = ".out"
READERS = 16


@dataclass(frozen=True)
class Job:
    """A batch transform job."""

    name: str
    status: str
    version: int
    source: str
    output: str
    failure: str = ""

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self.status in TERMINAL


def start(settings: Settings, source: str, *, version: str = "", output: str = "", instances: int = 1) -> Job:
    """Start a job over the photos below the S3 prefix `source`, with the version (else the latest approved one).

    A photo that the model refuses has its reason in the output; the others are counted. Raises PipelineError where
    the version is not approved, nothing lies below the prefix, an object there is above MAX_PAYLOAD_MEGABYTES (it would
    end the job), or `output` holds something already: its answers could not be told from this job's.
    """
    chosen = registry.resolve(settings, version) if version else _latest_approved(settings)
    if chosen.status != "Approved":
        raise PipelineError(f"{chosen.name} is {chosen.status}; approve it first: python -m pipeline approve")
    s3 = client(settings, "s3")
    _check_objects(s3, source)
    # Not the names of the deploy function's models: who may make these must not make what an approval then serves.
    name = f"{settings.name}-batch-v{chosen.version}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    place = output.rstrip("/") or f"{settings.root_uri}/batch/{name}"
    bucket, prefix = split_uri(f"{place}/")
    with error_if_missing(f"{place}: there is no such bucket"):
        left = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    if left.get("KeyCount"):
        raise PipelineError(f"{place}/ holds objects already; give an --output below which there is nothing")
    sagemaker = client(settings, "sagemaker")
    container = {"ModelPackageName": chosen.arn, "Environment": {"MODEL_VERSION": str(chosen.version)}}
    sagemaker.create_model(
        ModelName=name,
        Containers=[container],
        ExecutionRoleArn=settings.role_arn("serving"),
        EnableNetworkIsolation=True,
        **network.vpc(settings),
    )
    instance_type = settings.endpoint.batch_instance_type
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}}
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=name,
        MaxConcurrentTransforms=CONCURRENT_TRANSFORMS,
        MaxPayloadInMB=MAX_PAYLOAD_MEGABYTES,
        TransformInput={"DataSource": data, "ContentType": "image/jpeg"},
        TransformOutput={"S3OutputPath": place, "Accept": "application/json", **network.output_key(settings)},
        TransformResources={
            "InstanceType": instance_type,
            "InstanceCount": instances,
            **network.volume_key(settings, instance_type),
        },
    )
    return describe(settings, name)


def _check_objects(s3: Any, source: str) -> None:
    bucket, prefix = split_uri(source)
    most, found = MAX_PAYLOAD_MEGABYTES * 1_000_000, False
    with error_if_missing(f"{source}: there is no such bucket"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                found = True
                if entry["Size"] > most:
                    raise PipelineError(
                        f"s3://{bucket}/{entry['Key']} has {entry['Size']:,} bytes; one object above {most:,} ends a"
                        " whole batch job: take it out of the prefix, or make it smaller"
                    )
    if not found:
        raise PipelineError(f"{source}: no objects below this prefix")


def describe(settings: Settings, name: str) -> Job:
    """The job as it stands."""
    found = client(settings, "sagemaker").describe_transform_job(TransformJobName=name)
    return Job(
        name=name,
        status=found["TransformJobStatus"],
        version=int(name.removeprefix(f"{settings.name}-batch-v").split("-")[0]),
        source=found["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"],
        output=found["TransformOutput"]["S3OutputPath"],
        failure=found.get("FailureReason", ""),
    )


def wait(settings: Settings, job: Job, *, interval: float = 2.0, sleep: Callable[[float], None] = time.sleep) -> Job:
    """The job once it has ended; `interval` in seconds."""
    while not job.ended:
        sleep(interval)
        job = describe(settings, job.name)
    return job


def results(settings: Settings, job: Job) -> Iterator[Answer]:
    """The answers that the job left, in the order of their names."""
    s3 = client(settings, "s3")
    bucket, prefix = split_uri(f"{job.output.rstrip('/')}/")

    def read(key: str) -> Answer:
        source = key[len(prefix) : -len(OUTPUT_SUFFIX)]
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return _answer(source, body)

    with ThreadPoolExecutor(READERS) as pool:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            keys = [entry["Key"] for entry in page.get("Contents", []) if entry["Key"].endswith(OUTPUT_SUFFIX)]
            yield from pool.map(read, keys)


def _answer(source: str, body: bytes) -> Answer:
    try:
        answer: Any = json.loads(body)
        if "error" in answer:
            return NotCounted(source, str(answer["error"]))
        return prediction(source, answer)
    except (ValueError, KeyError, TypeError, AttributeError):
        return NotCounted(source, f"not an answer of this pipeline's model: {body[:200]!r}")


def tally(answers: Iterator[Answer]) -> tuple[Counter[int], Counter[str]]:
    """How many photos have each count, and how many have none for each reason."""
    counts: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    for one in answers:
        if isinstance(one, NotCounted):
            reasons[one.reason] += 1
        else:
            counts[one.count] += 1
    return counts, reasons


def _latest_approved(settings: Settings) -> registry.Version:
    numbers = registry.approved(settings)
    if not numbers:
        raise PipelineError(f"no version of {settings.registry.group} is approved: python -m pipeline approve latest")
    return registry.resolve(settings, str(numbers[0]))
