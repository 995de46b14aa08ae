"""Batch transform jobs: a model's container is sent every object below a prefix, its answers go to S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html and, for what a container is asked,
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from pipeline.local.context import now
from pipeline.local.errors import ServiceError
from pipeline.local.machine import transfer
from pipeline.local.machine.image_store import ImageNotFoundError
from pipeline.local.sagemaker import jobs
from pipeline.local.sagemaker.models import Models
from pipeline.local.sagemaker.resources import Request, chosen, could_not_find, in_use, ordered, page, selected
from pipeline.local.sagemaker.serving import ServingError, Variant

log = logging.getLogger(__name__)

KIND = "transform-job"
LOG_GROUP = "/aws/sagemaker/TransformJobs"
DEFAULT_PAYLOAD_MEGABYTES = 6
# Of MaxPayloadInMB and MaxConcurrentTransforms.
LARGEST_PRODUCT = 100
# Objects that are read ahead of those in work.
READ_AHEAD = 2


class TransformJobs:
    """CreateTransformJob and what belongs to it. One container stands for a job's instances."""

    def __init__(self, services: jobs.JobServices, models: Models) -> None:
        self._services = services
        self._context = services.context
        self._models = models
        self._stops: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}
        for document in self._context.store.list(KIND):
            if document["TransformJobStatus"] not in jobs.TERMINAL:
                self._finish(document["TransformJobName"], "Failed", FailureReason="The local cloud was stopped.")

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Operation names and their handlers."""
        return {
            "CreateTransformJob": self._create,
            "DescribeTransformJob": self._describe,
            "ListTransformJobs": self._list,
            "StopTransformJob": self._stop,
        }

    def close(self) -> None:
        """End every job."""
        for stop in list(self._stops.values()):
            stop.set()
        for thread in list(self._threads.values()):
            thread.join(130)

    def _create(self, request: Request) -> Request:
        name = request["TransformJobName"]
        self._models.container(request["ModelName"])
        source = request["TransformInput"]
        if (
            source["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix"
            or source.get("SplitType", "None") != "None"
        ):
            message = "The local cloud transforms whole objects below an S3Prefix only."
            raise ServiceError("ValidationException", message)
        payload, parallel = request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MEGABYTES), _parallel(request)
        if payload * parallel > LARGEST_PRODUCT:
            message = f"MaxConcurrentTransforms ({parallel}) x MaxPayloadInMB ({payload}) exceeds {LARGEST_PRODUCT} MB."
            raise ServiceError("ValidationException", message)
        arn = self._context.arn("sagemaker", f"transform-job/{name.lower()}")
        document = {key: value for key, value in request.items() if key != "Tags"}
        document |= {"TransformJobArn": arn, "TransformJobStatus": "InProgress", "CreationTime": now()}
        if not self._context.store.create(KIND, name, document):
            raise in_use("Transform job", arn)
        self._stops[name] = threading.Event()
        self._threads[name] = threading.Thread(target=self._run, args=(name, document), name=name, daemon=True)
        self._threads[name].start()
        return {"TransformJobArn": arn}

    def _describe(self, request: Request) -> Request:
        name = request["TransformJobName"]
        document = self._context.store.get(KIND, name)
        if document is None:
            raise could_not_find("requested job with name", name)
        return document

    def _list(self, request: Request) -> Request:
        documents = selected(request, self._context.store.list(KIND), "TransformJobName", "TransformJobStatus")
        fields = {"Name": "TransformJobName", "CreationTime": "CreationTime", "Status": "TransformJobStatus"}
        summary = ("TransformJobName", "TransformJobArn", "CreationTime", "TransformEndTime", "TransformJobStatus")
        items = [
            chosen(document, (*summary, "FailureReason"))
            for document in ordered(request, documents, fields, "CreationTime")
        ]
        return page(request, items, "TransformJobSummaries")

    def _stop(self, request: Request) -> Request:
        name = request["TransformJobName"]
        self._describe(request)
        if jobs.begin_to_stop(self._context.store, KIND, name, "TransformJobStatus") and name in self._stops:
            self._stops[name].set()
        return {}

    def _finish(self, name: str, status: str, **changes: object) -> None:
        changes |= {"TransformJobStatus": status, "TransformEndTime": now()}
        self._context.store.update(KIND, name, lambda document: document.update(changes))

    def _run(self, name: str, request: Request) -> None:
        try:
            self._context.store.update(KIND, name, lambda document: document.update(TransformStartTime=now()))
            self._execute(name, request)
            self._services.discard("transform", name)
            self._finish(name, "Stopped" if self._stops[name].is_set() else "Completed")
        except (jobs.JobFailedError, ServingError, ImageNotFoundError, ServiceError) as error:
            self._finish(name, "Failed", FailureReason=f"ClientError: {error}"[: jobs.REASON_LIMIT])
        except Exception as error:
            log.exception("transform job %s", name)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            self._finish(name, "Failed", FailureReason=reason[: jobs.REASON_LIMIT])
        finally:
            self._stops.pop(name, None)

    def _execute(self, name: str, request: Request) -> None:
        uri = request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        keys = [key for key in transfer.list_keys(self._services.s3, uri) if not key.endswith("/")]
        if not keys:
            raise jobs.JobFailedError(f"No S3 objects found under S3 URL {uri!r} given in the input data source")
        payload = request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MEGABYTES)
        parallel = _parallel(request)
        variant = Variant(
            self._services,
            "batch",
            self._models.container(request["ModelName"]),
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
            work = _Work(self._services.s3, variant, request, payload * 1024 * 1024)
            _in_parallel(work.transform, iter(keys), parallel, self._stops[name])
        finally:
            variant.stop()


class _Work:
    """One job's objects: fetched, sent to the container, and the answer put beside its sisters."""

    def __init__(self, s3: Any, variant: Variant, request: Request, limit: int) -> None:
        self._s3, self._variant, self._limit = s3, variant, limit
        self._bucket, prefix = transfer.split_uri(request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
        # An object's name in the output is its key below the prefix up to the last slash of it, and `.out`.
        self._below = prefix.rfind("/") + 1
        self._headers = {"Content-Type": request["TransformInput"].get("ContentType", "application/octet-stream")}
        output = request["TransformOutput"]
        if accept := output.get("Accept"):
            self._headers["Accept"] = accept
        self._target, self._target_prefix = transfer.split_uri(output["S3OutputPath"].rstrip("/"))

    def transform(self, key: str) -> None:
        """Raises JobFailedError when the container refuses the object: one bad object fails the job."""
        body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        if len(body) > self._limit:
            raise jobs.JobFailedError(f"s3://{self._bucket}/{key} has {len(body)} bytes, above MaxPayloadInMB")
        answer = self._variant.invoke(body, self._headers)
        if answer.status >= 400:
            text = answer.body.decode(errors="replace")
            raise jobs.JobFailedError(f"s3://{self._bucket}/{key}: the container answered {answer.status}: {text}")
        target = "/".join(part for part in (self._target_prefix, f"{key[self._below :]}.out") if part)
        self._s3.put_object(Bucket=self._target, Key=target, Body=answer.body, ContentType=answer.content_type)


def _parallel(request: Request) -> int:
    """MaxConcurrentTransforms; where it is 0 or not there, the container's choice, here one."""
    return request.get("MaxConcurrentTransforms", 0) or 1


def _in_parallel(work: Callable[[str], None], keys: Iterator[str], parallel: int, stop: threading.Event) -> None:
    """Do the work for every key, `parallel` at a time; the first error ends it, and so does `stop`."""
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
