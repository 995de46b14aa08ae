"""Batch transform jobs: each object below a prefix is sent to a model's container, whose answer is written to S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html and, for the container's side,
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from pipeline.local.context import Request, ServiceError, now
from pipeline.local.machine import transfer
from pipeline.local.machine.image_store import ImageNotFoundError
from pipeline.local.sagemaker.jobs import JobFailedError, Jobs, JobServices
from pipeline.local.sagemaker.models import Models
from pipeline.local.sagemaker.records import Processing, RecordError
from pipeline.local.sagemaker.resources import invalid
from pipeline.local.sagemaker.serving import Answer, ServingError, Variant
from steps.contracts.s3_uri import S3Uri

LOG_GROUP = "/aws/sagemaker/TransformJobs"
DEFAULT_PAYLOAD_MEGABYTES = 6
# The largest MaxPayloadInMB times MaxConcurrentTransforms.
LARGEST_PRODUCT = 100
# Objects that wait or are in work, per concurrent transform.
READ_AHEAD = 2
MEGABYTE = 1024 * 1024
# The log of a job without BatchStrategy has MULTI_RECORD: https://github.com/aws/amazon-sagemaker-examples/issues/755.
_STRATEGIES = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}


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
        Processing(document, payload * MEGABYTE)
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
        s3 = self._services.s3(self.role_of(request))
        sources = self._sources(request, s3)
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
                "SAGEMAKER_BATCH_STRATEGY": _STRATEGIES[request.get("BatchStrategy", "MultiRecord")],
                "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(parallel),
            },
        )
        variant.start()
        try:
            objects = _Objects(s3, variant, request, payload * MEGABYTE)
            _in_parallel(objects.transform, iter(sources), parallel, stop)
        finally:
            variant.stop()

    def _sources(self, request: Request, s3: Any) -> list[transfer.Source]:
        """The objects, with the names of their answers but for `.out`. Raises JobFailedError if there are none.

        The answer to an object below a prefix has the name of its key behind the last slash of the prefix; to one in a
        manifest, its name there is assumed.
        """
        source = request["TransformInput"]["DataSource"]["S3DataSource"]
        if source["S3DataType"] == "ManifestFile":
            return self.sources(self.role_of(request), source, (0, 1))
        place = S3Uri.parse(source["S3Uri"])
        below = place.key.rfind("/") + 1
        keys = [key for key in transfer.list_keys(s3, source["S3Uri"]) if not key.endswith("/")]
        if not keys:
            uri = source["S3Uri"]
            raise JobFailedError(f"ClientError: No S3 objects found under S3 URL {uri!r} given in input data source")
        return [transfer.Source(place.bucket, key, key[below:]) for key in keys]


class _Objects:
    """The objects of one job: fetched, sent to the container, and the answer written below the output path."""

    def __init__(self, s3: Any, variant: Variant, request: Request, limit: int) -> None:
        self._s3, self._variant, self._limit = s3, variant, limit
        self._processing = Processing(request, limit)
        self._compressed = request["TransformInput"].get("CompressionType", "None") == "Gzip"
        # The defaults are those of ModelClientConfig in botocore's model.
        client = request.get("ModelClientConfig", {})
        self._seconds = client.get("InvocationsTimeoutInSeconds", 600)
        self._retries = client.get("InvocationsMaxRetries", 3)
        self._headers = {"Content-Type": request["TransformInput"].get("ContentType", "application/octet-stream")}
        output = request["TransformOutput"]
        if accept := output.get("Accept"):
            self._headers["Accept"] = accept
        self._target = S3Uri.parse(output["S3OutputPath"].rstrip("/"))

    def transform(self, source: transfer.Source) -> None:
        """Raises JobFailedError if the container refuses a part of the object: that fails the job."""
        uri = f"s3://{source.bucket}/{source.key}"
        body = self._s3.get_object(Bucket=source.bucket, Key=source.key)["Body"].read()
        parts, content_type = [], ""
        try:
            for records in self._processing.requests(gzip.decompress(body) if self._compressed else body):
                answer = self._ask(uri, self._processing.sent(records))
                content_type = answer.content_type
                parts.append(self._processing.answered(records, answer.body, content_type))
        except (RecordError, OSError, EOFError, zlib.error) as error:
            raise JobFailedError(f"ClientError: {uri}: {error}") from error
        target = self._target.join(f"{source.path}.out")
        self._s3.put_object(
            Bucket=target.bucket,
            Key=target.key,
            Body=b"".join(parts),
            ContentType=content_type or "binary/octet-stream",
        )

    def _ask(self, uri: str, body: bytes) -> Answer:
        """The container's answer; a request on which it fails is sent again. Raises JobFailedError."""
        if len(body) > self._limit:
            raise JobFailedError(f"ClientError: {uri} has {len(body)} bytes, above MaxPayloadInMB")
        for _ in range(self._retries + 1):
            answer = self._variant.invoke(body, self._headers, self._seconds)
            if answer.status < 500:  # assumed: after no other status
                break
        if answer.status >= 400:
            text = answer.body.decode(errors="replace")
            raise JobFailedError(f"ClientError: {uri}: the container answered {answer.status}: {text}")
        return answer


def _payload(request: Request) -> int:
    """MaxPayloadInMB."""
    return int(request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MEGABYTES))


def _parallel(request: Request) -> int:
    """MaxConcurrentTransforms; 0, the default, leaves it to the container: one here."""
    return request.get("MaxConcurrentTransforms", 0) or 1


def _in_parallel(
    work: Callable[[transfer.Source], None], sources: Iterator[transfer.Source], parallel: int, stop: threading.Event
) -> None:
    """Do the work for every object, `parallel` at a time, until the first error or until `stop` is set."""
    waiting: set[Future[None]] = set()
    with ThreadPoolExecutor(parallel) as pool:
        for source in sources:
            waiting.add(pool.submit(work, source))
            while len(waiting) >= parallel * READ_AHEAD:
                done, waiting = wait(waiting, timeout=0.5, return_when="FIRST_COMPLETED")
                for future in done:
                    future.result()
            if stop.is_set():
                return
        for future in wait(waiting, return_when=FIRST_EXCEPTION).done:
            future.result()
