"""Processing jobs.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html: where inputs and outputs lie,
`/opt/ml/config/processingjobconfig.json` and `resourceconfig.json`, and `/opt/ml/output/message`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from pipeline.local.context import now
from pipeline.local.machine import transfer
from pipeline.local.machine.containers import Container, inside
from pipeline.local.machine.image_store import ImageNotFoundError
from pipeline.local.sagemaker import jobs
from pipeline.local.sagemaker.resources import Request, chosen, could_not_find, in_use, ordered, page, selected

log = logging.getLogger(__name__)

KIND = "processing-job"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
DEFAULT_SECONDS = 86_400  # StoppingCondition.MaxRuntimeInSeconds of a processing job


class ProcessingJobs:
    """CreateProcessingJob and what belongs to it."""

    def __init__(self, services: jobs.JobServices) -> None:
        self._services = services
        self._context = services.context
        self._running: dict[str, jobs.Instances] = {}
        self._threads: dict[str, threading.Thread] = {}
        for document in self._context.store.list(KIND):
            if document["ProcessingJobStatus"] not in jobs.TERMINAL:
                self._finish(document["ProcessingJobName"], "Failed", FailureReason="The local cloud was stopped.")

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Operation names and their handlers."""
        return {
            "CreateProcessingJob": self.create,
            "DescribeProcessingJob": self.describe,
            "ListProcessingJobs": self.list_jobs,
            "StopProcessingJob": self.stop,
        }

    def create(self, request: Request) -> Request:
        """Start the job in the background."""
        name = request["ProcessingJobName"]
        arn = self._context.arn("sagemaker", f"processing-job/{name}")
        created = now()
        document = {
            **request,
            "ProcessingJobArn": arn,
            "ProcessingJobStatus": "InProgress",
            "CreationTime": created,
            "LastModifiedTime": created,
        }
        document.pop("Tags", None)
        if not self._context.store.create(KIND, name, document):
            raise in_use("Processing job", arn)
        self._running[name] = jobs.Instances()
        self._threads[name] = threading.Thread(target=self._run, args=(name, document), name=name, daemon=True)
        self._threads[name].start()
        return {"ProcessingJobArn": arn}

    def describe(self, request: Request) -> Request:
        """The job as it stands."""
        name = request["ProcessingJobName"]
        document = self._context.store.get(KIND, name)
        if document is None:
            raise could_not_find("requested job with name", name)
        return document

    def list_jobs(self, request: Request) -> Request:
        """Summaries."""
        documents = selected(request, self._context.store.list(KIND), "ProcessingJobName", "ProcessingJobStatus")
        fields = {"Name": "ProcessingJobName", "CreationTime": "CreationTime", "Status": "ProcessingJobStatus"}
        summary = (
            "ProcessingJobName",
            "ProcessingJobArn",
            "CreationTime",
            "ProcessingEndTime",
            "LastModifiedTime",
            "ProcessingJobStatus",
            "FailureReason",
            "ExitMessage",
        )
        items = [chosen(document, summary) for document in ordered(request, documents, fields, "CreationTime")]
        return page(request, items, "ProcessingJobSummaries")

    def stop(self, request: Request) -> Request:
        """Ask the job to end; a job that has ended stays as it is."""
        name = request["ProcessingJobName"]
        self.describe(request)
        if jobs.begin_to_stop(self._context.store, KIND, name, "ProcessingJobStatus") and name in self._running:
            self._running[name].stop()
        return {}

    def wait(self, name: str) -> Request:
        """Block until the job has ended; gives its description."""
        self._threads[name].join()
        return self.describe({"ProcessingJobName": name})

    def close(self) -> None:
        """End every job."""
        for instances in list(self._running.values()):
            instances.stop()
        for thread in list(self._threads.values()):
            thread.join(130)

    def _update(self, name: str, **changes: object) -> Request:
        changes["LastModifiedTime"] = now()
        return self._context.store.update(KIND, name, lambda document: document.update(changes))

    def _finish(self, name: str, status: str, **changes: object) -> None:
        self._update(name, ProcessingJobStatus=status, ProcessingEndTime=now(), **changes)

    def _run(self, name: str, request: Request) -> None:
        instances = self._running[name]
        try:
            self._update(name, ProcessingStartTime=now())
            message = self._execute(name, request, instances)
            self._services.discard("processing", name)
            if instances.stopping:
                self._finish(name, "Stopped")
            else:
                self._finish(name, "Completed", **({"ExitMessage": message} if message else {}))
        except jobs.JobFailedError as error:
            more = {"ExitMessage": error.exit_message[: jobs.REASON_LIMIT]} if error.exit_message else {}
            self._finish(name, "Failed", FailureReason=str(error)[: jobs.REASON_LIMIT], **more)
        except Exception as error:
            log.exception("processing job %s", name)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            self._finish(name, "Failed", FailureReason=reason[: jobs.REASON_LIMIT])
        finally:
            self._running.pop(name, None)

    def _execute(self, name: str, request: Request, instances: jobs.Instances) -> str:
        """Run the job to its end; gives its exit message. Raises JobFailedError."""
        specification = request["AppSpecification"]
        try:
            image = self._services.registry.locate(specification["ImageUri"])
        except ImageNotFoundError as error:
            raise jobs.JobFailedError(f"ClientError: {error}") from error
        command = [
            *(
                specification.get("ContainerEntrypoint")
                or self._services.registry.entry_point(specification["ImageUri"])
            ),
            *specification.get("ContainerArguments", []),
        ]
        folder = self._services.folder("processing", name)
        names = jobs.hosts(request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])
        bases = {host: folder / host for host in names}
        for number, host in enumerate(names):
            self._prepare(request, bases[host], host, names)
            self._download_inputs(request, bases[host], (number, len(names)))
            stream = f"{name}/{host}-{int(now())}"
            instances.add(
                host,
                Container(
                    context=self._context,
                    base=bases[host],
                    image=image,
                    command=command,
                    on_line=lambda line, stream=stream: self._services.logs.write(LOG_GROUP, stream, line),  # type: ignore[misc]
                    environment={**request.get("Environment", {}), "PROCESSING_JOB_NAME": name},
                ),
            )
        limit = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_SECONDS)
        try:
            statuses = instances.run(limit)
        except TimeoutError:
            raise jobs.JobFailedError(f"ClientError: the job ran longer than {limit} seconds") from None
        if instances.stopping:
            return ""
        if any(statuses.values()):
            message, status = jobs.exit_message(statuses, bases, "message")
            raise jobs.JobFailedError(f"AlgorithmError: {message or 'See job logs'}, exit code: {status}", message)
        self._upload_outputs(request, bases)
        path = bases[names[0]] / "output" / "message"
        return path.read_text() if path.exists() else ""

    def _prepare(self, request: Request, base: Path, host: str, names: list[str]) -> None:
        config = {"ProcessingJobArn": request["ProcessingJobArn"], **request}
        jobs.write_json(base / "config" / "processingjobconfig.json", config)
        jobs.write_json(base / "config" / "resourceconfig.json", {"current_host": host, "hosts": names})
        for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
            inside(base, output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def _download_inputs(self, request: Request, base: Path, place: tuple[int, int]) -> None:
        for source in request.get("ProcessingInputs", []):
            s3 = source.get("S3Input")
            if s3 is None or s3.get("S3InputMode", "File") != "File":
                raise jobs.JobFailedError(
                    f"ClientError: input {source['InputName']}: the local cloud copies S3 inputs in File mode only"
                )
            share = place if s3.get("S3DataDistributionType") == "ShardedByS3Key" else (0, 1)
            if not transfer.download(self._services.s3, s3["S3Uri"], inside(base, s3["LocalPath"]), share=share):
                raise jobs.JobFailedError(
                    f"ClientError: No S3 objects found under S3 URL {s3['S3Uri']!r} given in input data source"
                )

    def _upload_outputs(self, request: Request, bases: dict[str, Path]) -> None:
        for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
            s3 = output["S3Output"]
            for base in bases.values():
                transfer.upload(self._services.s3, inside(base, s3["LocalPath"]), s3["S3Uri"])
