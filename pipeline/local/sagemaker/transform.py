"""Batch transform jobs: each object below a prefix is sent to a model's container, whose answer is written to S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html and, for the container's side,
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from pipeline.local.context import Request, ServiceError, now
from pipeline.local.machine import transfer
from pipeline.local.machine.image_store import ImageNotFoundError
from pipeline.local.sagemaker.jobs import JobFailedError, Jobs, JobServices
from pipeline.local.sagemaker.models import Models
from pipeline.local.sagemaker.resources import invalid
from pipeline.local.sagemaker.serving import ServingError, Variant
from steps.contracts.s3_uri import S3Uri

LOG_GROUP = "/aws/sagemaker/TransformJobs"
DEFAULT_PAYLOAD_MEGABYTES = 6
# The largest MaxPayloadInMB times MaxConcurrentTransforms.
LARGEST_PRODUCT = 100
# Objects that wait or are in work, per concurrent transform.
READ_AHEAD = 2


class TransformJobs(Jobs):
    """CreateTransformJob and the other operations of its resource. One container stands for a job's instances."""

    kind = "transform-job"
    prefix = "Transform"

    def __init__(self, services: JobServices, models: Models) -> None:
        self._models = models
        super().__init__(services)

    def prepare(self, document: Request) -> None:
        """Refuse an unknown model, instances above the quota, and a payload that is too large."""
        self._models.container(document["ModelName"])
        self._services.quotas.check_transform(document)
        payload, parallel = _payload(document), _parallel(document)
        if payload * parallel > LARGEST_PRODUCT:
            raise invalid(
                f"MaxConcurrentTransforms ({parallel}) x MaxPayloadInMB ({payload}) exceeds {LARGEST_PRODUCT} MB."
            )

    def role_of(self, document: Request) -> str:
        """The model's role."""
        return self._models.role(document["ModelName"])

    def execute(self, name: str, request: Request, stop: threading.Event) -> Request:
        """Transform all objects."""
        self.need_capacity(name)
        self.update(name, TransformStartTime=now())
        try:
            self._transform(name, request, stop)
        except (ServingError, ImageNotFoundError, ServiceError) as error:
            raise JobFailedError(f"ClientError: {error}") from error
        return {}

    def _transform(self, name: str, request: Request, stop: threading.Event) -> None:
        uri = request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        s3 = self._services.s3(self.role_of(request))
        keys = [key for key in transfer.list_keys(s3, uri) if not key.endswith("/")]
        if not keys:
            raise JobFailedError(f"ClientError: No S3 objects found under S3 URL {uri!r} given in input data source")
        payload, parallel = _payload(request), _parallel(request)
        variant = Variant(
            self._services,
            "batch",
            self._models.container(request["ModelName"]),
            self.role_of(request),
            self._services.folder("transform", name),
            LOG_GROUP,
            {
                **request.get("Environment", {}),
                "SAGEMAKER_BATCH": "true",
                "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(payload),
                "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
                "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(parallel),
            },
        )
        variant.start()
        try:
            objects = _Objects(s3, variant, request, payload * 1024 * 1024)
            _in_parallel(objects.transform, iter(keys), parallel, stop)
        finally:
            variant.stop()


class _Objects:
    """The objects of one job: fetched, sent to the container, and the answer written below the output path."""

    def __init__(self, s3: Any, variant: Variant, request: Request, limit: int) -> None:
        self._s3, self._variant, self._limit = s3, variant, limit
        self._source = S3Uri.parse(request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
        # An object's name in the output is its key behind the last slash of the prefix, and `.out`.
        self._below = self._source.key.rfind("/") + 1
        self._headers = {"Content-Type": request["TransformInput"].get("ContentType", "application/octet-stream")}
        output = request["TransformOutput"]
        if accept := output.get("Accept"):
            self._headers["Accept"] = accept
        self._target = S3Uri.parse(output["S3OutputPath"].rstrip("/"))

    def transform(self, key: str) -> None:
        """Raises JobFailedError if the container refuses the object: a refused object fails the job."""
        bucket = self._source.bucket
        body = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if len(body) > self._limit:
            raise JobFailedError(f"ClientError: s3://{bucket}/{key} has {len(body)} bytes, above MaxPayloadInMB")
        answer = self._variant.invoke(body, self._headers)
        if answer.status >= 400:
            text = answer.body.decode(errors="replace")
            raise JobFailedError(f"ClientError: s3://{bucket}/{key}: the container answered {answer.status}: {text}")
        target = self._target.join(f"{key[self._below :]}.out")
        self._s3.put_object(Bucket=target.bucket, Key=target.key, Body=answer.body, ContentType=answer.content_type)


def _payload(request: Request) -> int:
    """MaxPayloadInMB."""
    return int(request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MEGABYTES))


def _parallel(request: Request) -> int:
    """MaxConcurrentTransforms; 0, the default, leaves it to the container: one here."""
    return request.get("MaxConcurrentTransforms", 0) or 1


def _in_parallel(work: Callable[[str], None], keys: Iterator[str], parallel: int, stop: threading.Event) -> None:
    """Do the work for every key, `parallel` at a time, until the first error or until `stop` is set."""
    waiting: set[Future[None]] = set()
    with ThreadPoolExecutor(parallel) as pool:
        for key in keys:
            waiting.add(pool.submit(work, key))
            while len(waiting) >= parallel * READ_AHEAD:
                done, waiting = wait(waiting, timeout=0.5, return_when="FIRST_COMPLETED")
                for future in done:
                    future.result()
            if stop.is_set():
                return
        for future in wait(waiting, return_when=FIRST_EXCEPTION).done:
            future.result()
