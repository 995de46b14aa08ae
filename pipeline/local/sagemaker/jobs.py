"""The life of a job: created, run in a thread of its own, described, listed, stopped, and failed by a restart."""

from __future__ import annotations

import functools
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from pipeline.local import faults, threads
from pipeline.local.cloudwatch import CloudWatch
from pipeline.local.context import Context, Request, ServiceError, now
from pipeline.local.identity import service_calls
from pipeline.local.identity.identity import Identity
from pipeline.local.identity.requirements import Check
from pipeline.local.logs import Logs
from pipeline.local.machine import transfer
from pipeline.local.machine.image_store import ImageNotFoundError, ImageRegistry
from pipeline.local.sagemaker.quotas import Quotas
from pipeline.local.sagemaker.resources import could_not_find, described, in_use, listing, selected, stored
from pipeline.local.sagemaker.tags import put_tags
from steps.contracts.errors import StepError

log = logging.getLogger(__name__)

TERMINAL = ("Completed", "Failed", "Stopped")
# The longest FailureReason of DescribeTrainingJob, DescribeProcessingJob and DescribePipelineExecution.
REASON_LIMIT = 1024
# Seconds to wait for a job's thread when the cloud stops; a container has 120 to end.
CLOSE_SECONDS = 130


# FailureReason of what ran when the cloud ended.
STOPPED = "The local cloud was stopped."


class JobFailedError(Exception):
    """The job failed; the message is its FailureReason, `exit_message` the text that its container left."""

    def __init__(self, reason: str, exit_message: str = "") -> None:
        super().__init__(reason)
        self.exit_message = exit_message


class JobServices:
    """The parts of the cloud that jobs and endpoints use."""

    def __init__(
        self, context: Context, logs: Logs, images: ImageRegistry, identity: Identity, cloudwatch: CloudWatch
    ) -> None:
        self.context = context
        self.logs = logs
        self.images = images
        self.faults = faults.of(context.directory)
        self.quotas = Quotas(context)
        self.identity = identity
        self._cloudwatch = cloudwatch

    def s3(self, role_arn: str) -> Any:
        """An S3 client with the rights of a role: SageMaker copies inputs, outputs and checkpoints with the job's."""
        return self.identity.client(self.identity.as_role(role_arn), "s3")

    def log_writer(self, role_arn: str, group: str, stream: str) -> Callable[[str], None]:
        """Writes lines to a log stream. Without the role's permission the lines are lost, as on AWS.

        The instances' metrics need a permission as well, in a namespace that begins the group's name:
        https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
        """
        self._allows(role_arn, service_calls.metrics(_namespace(group)))
        checks = service_calls.logs(self.identity.authorizer.account, group)
        if not self._allows(role_arn, checks):
            log.warning("%s may not write to the log group %s: the lines of %s are lost", role_arn, group, stream)
            return lambda _: None
        return lambda line: self.logs.write(group, stream, line)

    def metric_writer(
        self, role_arn: str, group: str
    ) -> Callable[[Mapping[str, str], Mapping[str, Sequence[float]]], None]:
        """Publishes values by metric under dimensions, in the namespace of a log group, if the role may put them."""
        namespace = _namespace(group)
        if not self._allows(role_arn, service_calls.metrics(namespace)):
            log.warning("%s may not put metrics into %s: they are lost", role_arn, namespace)
            return lambda *_: None

        def publish(dimensions: Mapping[str, str], values: Mapping[str, Sequence[float]]) -> None:
            for metric, observed in values.items():
                for value in observed:
                    self._cloudwatch.observe(namespace, dimensions, {metric: value})

        return publish

    def pull(self, role_arn: str, uri: str) -> Path:
        """The folder of an image that the role may read. Raises ImageNotFoundError or ServiceError."""
        self.require(role_arn, service_calls.image(uri), "ecr", "BatchGetImage")
        return self.images.locate(uri)

    def require(self, role_arn: str, checks: Iterable[Check], service: str, operation: str) -> None:
        """Refuse what the role's policies do not allow. Raises ServiceError."""
        caller = self.identity.as_role(role_arn)
        for check in checks:
            self.identity.authorizer.require(caller, check, service, operation)

    def _allows(self, role_arn: str, checks: Iterable[Check]) -> bool:
        caller = self.identity.as_role(role_arn)
        decisions = [self.identity.authorizer.allows(caller, check, "sagemaker", "logs") for check in checks]
        return all(decisions)

    def folder(self, kind: str, name: str) -> Path:
        """An empty folder for a job's instances."""
        folder = self.context.directory / "jobs" / kind / name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder

    def discard(self, kind: str, name: str) -> None:
        """Remove the folder of a job that has not failed: its results are in S3. A failed job's folder is retained."""
        shutil.rmtree(self.context.directory / "jobs" / kind / name, ignore_errors=True)


def _namespace(group: str) -> str:
    """`/aws/sagemaker/Endpoints` of the log group `/aws/sagemaker/Endpoints/NAME`."""
    return "/".join(group.split("/")[:4])


class Jobs:
    """Jobs of one kind. A kind states its names, prepares a new job's description and executes a job."""

    kind: ClassVar[str]
    """Kind of document in the store."""
    prefix: ClassVar[str]
    """`Processing` of CreateProcessingJob, ProcessingJobName and ProcessingEndTime."""
    sort_default: ClassVar[str] = "CreationTime"

    def __init__(self, services: JobServices) -> None:
        self._services = services
        self._context = services.context
        self.job = f"{self.prefix}Job"
        """`ProcessingJob`, for one; the members with a job's name, ARN and status start with it."""
        self.name_member, self.arn_member, self.status_member = (
            f"{self.job}{part}" for part in ("Name", "Arn", "Status")
        )
        self._stops: dict[str, threading.Event] = {}
        """An event per running job: the job ends once it is set."""
        self._threads: dict[str, threading.Thread] = {}
        for document in self._context.store.list(self.kind):
            if document[self.status_member] not in TERMINAL:
                self.finish(document[self.name_member], "Failed", FailureReason=STOPPED)

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            f"Create{self.job}": self.create,
            f"Describe{self.job}": self.describe,
            f"List{self.job}s": self.list_jobs,
            f"Stop{self.job}": self.stop,
        }

    def prepare(self, document: Request) -> None:
        """Complete a new job's document. Raises ServiceError for a request that is refused."""

    def execute(self, name: str, request: Request, stop: threading.Event) -> Request:
        """Run a job to its end. Returns further members of its description. Raises JobFailedError."""
        raise NotImplementedError

    def role_of(self, document: Request) -> str:
        """ARN of the role with which the job reads, writes and logs."""
        return str(document["RoleArn"])

    def on_stopping(self, document: Request) -> None:
        """Change the document of a job that begins to stop."""

    def on_status(self, document: Request) -> None:
        """Report that a job has another status."""

    def create(self, request: Request, **more: object) -> Request:
        """Start the job in the background, with `more` members in its description."""
        name, arn = request[self.name_member], self.arn(request[self.name_member])
        times = dict.fromkeys(("CreationTime", "LastModifiedTime"), now())
        document = {**request, **more, self.arn_member: arn, self.status_member: "InProgress", **times}
        tags = document.pop("Tags", [])
        self._services.identity.assume(self.role_of(document), "sagemaker", arn)
        with self._services.quotas.held():
            self.prepare(document)
            if not self._context.store.create(self.kind, name, document):
                raise in_use(f"{self.prefix} job", arn)
        # Before the job begins: a tuning job's trials have its tags.
        put_tags(self._context.store, arn, tags)
        self.on_status(document)
        self._stops[name] = threading.Event()
        self._threads[name] = threads.start(
            name, functools.partial(self._run, name, document), functools.partial(self._fail, name)
        )
        return {self.arn_member: arn}

    def describe(self, request: Request) -> Request:
        """The job's description."""
        return described(f"Describe{self.job}", self.document(request[self.name_member]))

    def list_jobs(self, request: Request) -> Request:
        """Summaries."""
        documents = [self.summarized(document) for document in self._context.store.list(self.kind)]
        keys = {"Name": self.name_member, "CreationTime": "CreationTime", "Status": self.status_member}
        documents = selected(request, documents, self.name_member, self.status_member)
        return listing(f"List{self.job}s", request, documents, keys, default=self.sort_default)

    def stop(self, request: Request) -> Request:
        """Stop the job; a job that has ended is not changed."""
        name = request[self.name_member]
        self.document(name)
        begun = False

        def change(document: Request) -> None:
            nonlocal begun
            begun = document[self.status_member] == "InProgress"
            if begun:
                document.update({self.status_member: "Stopping", "LastModifiedTime": now()})
                self.on_stopping(document)

        document = self._context.store.update(self.kind, name, change)
        if begun:
            self.on_status(document)
        if begun and (event := self._stops.get(name)):
            event.set()
        return {}

    def wait(self, name: str) -> Request:
        """Block until the job has ended. Returns its description."""
        self._threads[name].join()
        return self.describe({self.name_member: name})

    def close(self) -> None:
        """Stop all jobs."""
        for name in list(self._stops):
            self.stop({self.name_member: name})
        for thread in list(self._threads.values()):
            thread.join(CLOSE_SECONDS)

    def arn(self, name: str) -> str:
        """ARN of a job: `processing-job/NAME`, for one."""
        resource = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", self.job).lower()
        return self._context.arn("sagemaker", f"{resource}/{name.lower() if self.job == 'TransformJob' else name}")

    def document(self, name: str) -> Request:
        """The job in the store. Raises ServiceError if there is none."""
        return stored(self._context.store, self.kind, name, could_not_find("requested job with name", name))

    def summarized(self, document: Request) -> Request:
        """The document with the members that only a kind's summaries have."""
        return document

    def update(self, name: str, **changes: object) -> None:
        """Change members of a job's document."""
        changes["LastModifiedTime"] = now()
        self._context.store.update(self.kind, name, lambda document: document.update(changes))

    def finish(self, name: str, status: str, **changes: object) -> None:
        """Bring a job into its last status."""
        self.update(name, **{self.status_member: status, f"{self.prefix}EndTime": now(), **changes})
        self.on_status(self.document(name))

    def need_capacity(self, name: str) -> None:
        """Raise JobFailedError if EC2 has no instances for the job."""
        if self._services.faults.lacks_capacity(name):
            raise JobFailedError(faults.CAPACITY_REASON)

    def image(self, role_arn: str, uri: str) -> Path:
        """Folder of an image's source, read with the job's role. Raises JobFailedError."""
        try:
            return self._services.pull(role_arn, uri)
        except (ImageNotFoundError, ServiceError) as error:
            raise JobFailedError(f"ClientError: {error}") from error

    def check_network(self, role_arn: str, vpc: Request | None, *, processing: bool = False) -> None:
        """The network interfaces that SageMaker creates with the job's role. Raises JobFailedError."""
        checks = service_calls.network(self._services.identity.authorizer.account, vpc, processing=processing)
        try:
            self._services.require(role_arn, checks, "ec2", "CreateNetworkInterface")
        except ServiceError as error:
            raise JobFailedError(f"ClientError: {error}") from error

    def sources(self, role_arn: str, source: Request, place: tuple[int, int]) -> list[transfer.Source]:
        """The objects of an S3 source that the instance `place` = (number, of how many) gets.

        `source` is an S3DataSource or S3Input, with S3Uri, S3DataType and S3DataDistributionType. Raises JobFailedError
        for a prefix without objects and for a manifest that cannot be read. With ShardedByS3Key an instance gets every
        n-th object, and none if there are fewer objects than instances: "some nodes won't get any data" (S3DataSource
        in botocore's model).
        """
        s3, uri = self._services.s3(role_arn), source["S3Uri"]
        first, step = place if source.get("S3DataDistributionType") == "ShardedByS3Key" else (0, 1)
        try:
            if source["S3DataType"] == "ManifestFile":
                return transfer.manifest_sources(s3, uri)[first::step]
            sources = transfer.prefix_sources(s3, uri)
        except (ValueError, StepError) as error:
            raise JobFailedError(f"ClientError: {error}") from error
        if not sources:
            raise JobFailedError(f"ClientError: No S3 objects found under S3 URL {uri!r} given in input data source")
        return sources[first::step]

    def download(self, role_arn: str, sources: list[transfer.Source], folder: Path) -> None:
        """Copy the objects of an input into `folder`. Raises JobFailedError for a path that would leave it."""
        try:
            transfer.copy(self._services.s3(role_arn), sources, folder)
        except ValueError as error:
            raise JobFailedError(f"ClientError: {error}") from error

    def _run(self, name: str, request: Request) -> None:
        stop = self._stops[name]
        try:
            changes = self.execute(name, request, stop)
            self._services.discard(self.prefix.lower(), name)
            self.finish(name, "Stopped" if stop.is_set() else "Completed", **changes)
        except ClientError as error:
            # SageMaker's own copies: the role may not read or write there.
            self.finish(name, "Failed", FailureReason=f"ClientError: {error}"[:REASON_LIMIT])
        except JobFailedError as error:
            message = {"ExitMessage": error.exit_message[:REASON_LIMIT]} if error.exit_message else {}
            self.finish(name, "Failed", FailureReason=str(error)[:REASON_LIMIT], **message)
        except Exception as error:
            log.exception("%s %s", self.job, name)
            self._fail(name, error)
        finally:
            self._stops.pop(name, None)

    def _fail(self, name: str, error: Exception) -> None:
        reason = f"InternalServerError: {self._context.reason(error)}"
        self.finish(name, "Failed", FailureReason=reason[:REASON_LIMIT])
