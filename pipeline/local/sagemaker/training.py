"""Training jobs.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html: configuration
files, channels, checkpoints, the model folder and `/opt/ml/output/failure`.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.aws import instances as instance_types
from pipeline.local.context import now
from pipeline.local.machine import toolkit, transfer
from pipeline.local.machine.containers import Container, inside
from pipeline.local.machine.image_store import ImageNotFoundError
from pipeline.local.machine.ports import free_port
from pipeline.local.sagemaker import jobs
from pipeline.local.sagemaker.metrics import Metrics, Observer
from pipeline.local.sagemaker.resources import Request, chosen, could_not_find, in_use, ordered, page, selected

log = logging.getLogger(__name__)

KIND = "training-job"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
CHECKPOINT_SECONDS = 5.0
SUMMARY = (
    "TrainingJobName",
    "TrainingJobArn",
    "CreationTime",
    "TrainingEndTime",
    "LastModifiedTime",
    "TrainingJobStatus",
    "SecondaryStatus",
)


class TrainingJobs:
    """CreateTrainingJob and what belongs to it."""

    def __init__(self, services: jobs.JobServices) -> None:
        self._services = services
        self._context = services.context
        self._running: dict[str, jobs.Instances] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._observers: dict[str, Observer] = {}
        for document in self._context.store.list(KIND):
            if document["TrainingJobStatus"] not in jobs.TERMINAL:
                self._finish(
                    document["TrainingJobName"], "Failed", "Failed", FailureReason="The local cloud was stopped."
                )

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Operation names and their handlers."""
        return {
            "CreateTrainingJob": self.create,
            "DescribeTrainingJob": self.describe,
            "ListTrainingJobs": self.list_jobs,
            "StopTrainingJob": self.stop,
        }

    def create(self, request: Request, observer: Observer | None = None, **more: object) -> Request:
        """Start the job in the background; `more` goes into its description (a tuning job's ARN).

        `observer` is told of the metrics as they come.
        """
        name = request["TrainingJobName"]
        arn = self._context.arn("sagemaker", f"training-job/{name}")
        created = now()
        output = request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        document = {
            **request,
            **more,
            "TrainingJobArn": arn,
            "TrainingJobStatus": "InProgress",
            "CreationTime": created,
            "LastModifiedTime": created,
            "ModelArtifacts": {"S3ModelArtifacts": f"{output}/{name}/output/model.tar.gz"},
        }
        document.pop("Tags", None)
        if not self._context.store.create(KIND, name, document):
            raise in_use("Training job", arn)
        self._enter(name, "Starting")
        self._running[name] = jobs.Instances()
        if observer is not None:
            self._observers[name] = observer
        self._threads[name] = threading.Thread(target=self._run, args=(name, document), name=name, daemon=True)
        self._threads[name].start()
        return {"TrainingJobArn": arn}

    def describe(self, request: Request) -> Request:
        """The job as it stands."""
        name = request["TrainingJobName"]
        document = self._context.store.get(KIND, name)
        if document is None:
            raise could_not_find("requested job with name", name)
        return document

    def list_jobs(self, request: Request) -> Request:
        """Summaries."""
        documents = selected(request, self._context.store.list(KIND), "TrainingJobName", "TrainingJobStatus")
        fields = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}
        items = [chosen(document, SUMMARY) for document in ordered(request, documents, fields, "CreationTime")]
        return page(request, items, "TrainingJobSummaries")

    def stop(self, request: Request) -> Request:
        """Ask the job to end; a job that has ended stays as it is."""
        name = request["TrainingJobName"]
        self.describe(request)
        if jobs.begin_to_stop(self._context.store, KIND, name, "TrainingJobStatus") and name in self._running:
            self._enter(name, "Stopping")
            self._running[name].stop()
        return {}

    def wait(self, name: str) -> Request:
        """Block until the job has ended; gives its description."""
        self._threads[name].join()
        return self.describe({"TrainingJobName": name})

    def close(self) -> None:
        """End every job."""
        for instances in list(self._running.values()):
            instances.stop()
        for thread in list(self._threads.values()):
            thread.join(130)

    def _update(self, name: str, **changes: object) -> Request:
        changes["LastModifiedTime"] = now()
        return self._context.store.update(KIND, name, lambda document: document.update(changes))

    def _enter(self, name: str, status: str, message: str = "") -> None:
        """Move to a secondary status, and keep the way there."""

        def change(document: Request) -> None:
            at = now()
            transitions = document.setdefault("SecondaryStatusTransitions", [])
            if transitions:
                transitions[-1].setdefault("EndTime", at)
            transitions.append({"Status": status, "StartTime": at, "StatusMessage": message})
            document["SecondaryStatus"] = status
            document["LastModifiedTime"] = at

        self._context.store.update(KIND, name, change)

    def _finish(self, name: str, status: str, secondary: str, **changes: object) -> None:
        self._enter(name, secondary, str(changes.get("FailureReason", "")))
        document = self.describe({"TrainingJobName": name})
        end = now()
        seconds = max(1, round(end - document.get("TrainingStartTime", end)))
        self._update(
            name,
            TrainingJobStatus=status,
            TrainingEndTime=end,
            TrainingTimeInSeconds=seconds,
            BillableTimeInSeconds=seconds,
            **changes,
        )

    def _run(self, name: str, request: Request) -> None:
        instances = self._running[name]
        try:
            late = self._execute(name, request, instances)
            self._services.discard("training", name)
            if late:
                self._finish(name, "Stopped", "MaxRuntimeExceeded")
            elif instances.stopping:
                self._finish(name, "Stopped", "Stopped")
            else:
                self._finish(name, "Completed", "Completed")
        except jobs.JobFailedError as error:
            self._finish(name, "Failed", "Failed", FailureReason=str(error)[: jobs.REASON_LIMIT])
        except Exception as error:
            log.exception("training job %s", name)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            self._finish(name, "Failed", "Failed", FailureReason=reason[: jobs.REASON_LIMIT])
        finally:
            self._running.pop(name, None)
            self._observers.pop(name, None)

    def _execute(self, name: str, request: Request, instances: jobs.Instances) -> bool:
        """Run the job to its end; True when its time was over. Raises JobFailedError."""
        try:
            image = self._services.registry.locate(request["AlgorithmSpecification"]["TrainingImage"])
        except ImageNotFoundError as error:
            raise jobs.JobFailedError(f"ClientError: {error}") from error
        folder = self._services.folder("training", name)
        resources = request["ResourceConfig"]
        names = jobs.hosts(resources["InstanceCount"])
        bases = {host: folder / host for host in names}
        metrics = Metrics(request["AlgorithmSpecification"].get("MetricDefinitions", []))
        self._enter(name, "Downloading")
        port = free_port()
        for number, host in enumerate(names):
            self._prepare(request, bases[host], host, names)
            cluster = toolkit.Cluster(
                node_rank=number,
                nodes=len(names),
                processes_per_host=_processes_per_host(resources["InstanceType"], len(names)),
                master_address="127.0.0.1",
                master_port=port,
            )
            try:
                command = toolkit.command(request.get("HyperParameters", {}), image, cluster)
            except toolkit.LauncherError as error:
                raise jobs.JobFailedError(f"ClientError: {error}") from error
            instances.add(
                host, self._container(name, request, bases[host], image=image, command=command, metrics=metrics)
            )
        self._enter(name, "Training")
        self._update(name, TrainingStartTime=now())
        checkpoints = _Checkpoints(self._services, request, bases)
        limit = request["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        late, statuses = False, dict[str, int]()
        try:
            statuses = instances.run(limit, checkpoints.tick)
        except TimeoutError:
            late = True
        checkpoints.send()
        if not late and not instances.stopping and any(statuses.values()):
            message, status = jobs.exit_message(statuses, bases, "failure")
            raise jobs.JobFailedError(f"AlgorithmError: {message or 'See job logs'}, exit code: {status}")
        self._enter(name, "Uploading")
        self._upload(name, request, bases[names[0]])
        return late

    def _container(
        self, name: str, request: Request, base: Path, *, image: Path, command: list[str], metrics: Metrics
    ) -> Container:
        host = base.name
        stream = f"{name}/{host}-{int(now())}"

        def on_line(line: str) -> None:
            self._services.logs.write(LOG_GROUP, stream, line)
            if found := metrics.read(line):
                self._update(name, FinalMetricDataList=metrics.latest())
                if observer := self._observers.get(name):
                    observer(found)

        environment = {
            **request.get("Environment", {}),
            "TRAINING_JOB_NAME": name,
            "TRAINING_JOB_ARN": self._context.arn("sagemaker", f"training-job/{name}"),
            "SM_HOSTS": json.dumps(jobs.hosts(request["ResourceConfig"]["InstanceCount"])),
            "SM_CURRENT_HOST": host,
            "SM_CURRENT_INSTANCE_TYPE": request["ResourceConfig"]["InstanceType"],
            # Several instances are processes of one machine here: they meet on the loopback interface.
            "GLOO_SOCKET_IFNAME": _loopback(),
        }
        return Container(
            context=self._context, base=base, image=image, command=command, on_line=on_line, environment=environment
        )

    def _prepare(self, request: Request, base: Path, host: str, names: list[str]) -> None:
        config = base / "input" / "config"
        group = {"instance_group_name": "homogeneousCluster", "hosts": names}
        jobs.write_json(config / "hyperparameters.json", request.get("HyperParameters", {}))
        jobs.write_json(
            config / "resourceconfig.json",
            {
                "current_host": host,
                "current_instance_type": request["ResourceConfig"]["InstanceType"],
                "current_group_name": "homogeneousCluster",
                "hosts": names,
                "instance_groups": [{**group, "instance_type": request["ResourceConfig"]["InstanceType"]}],
                "network_interface_name": _loopback(),
            },
        )
        channels = {
            channel["ChannelName"]: {"TrainingInputMode": channel.get("InputMode", "File")}
            for channel in request.get("InputDataConfig", [])
        }
        jobs.write_json(config / "inputdataconfig.json", channels)
        for folder in ("model", "output/data", "checkpoints"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        for channel in request.get("InputDataConfig", []):
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            target = base / "input" / "data" / channel["ChannelName"]
            if not transfer.download(self._services.s3, uri, target):
                raise jobs.JobFailedError(
                    f"ClientError: No S3 objects found under S3 URL {uri!r} given in input data source"
                )
        if checkpoint := request.get("CheckpointConfig"):
            local = inside(base, checkpoint.get("LocalPath", "/opt/ml/checkpoints"))
            transfer.download(self._services.s3, checkpoint["S3Uri"], local)

    def _upload(self, name: str, request: Request, base: Path) -> None:
        output = f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output"
        for folder, archive in ((base / "model", "model"), (base / "output" / "data", "output")):
            if any(folder.iterdir()):
                transfer.upload_archive(
                    self._services.s3, folder, f"{output}/{archive}.tar.gz", base / f"{archive}.tar.gz"
                )


class _Checkpoints:
    """Files below the checkpoint path go to S3 while the job runs."""

    def __init__(self, services: jobs.JobServices, request: Request, bases: dict[str, Path]) -> None:
        self._s3 = services.s3
        self._uri = request.get("CheckpointConfig", {}).get("S3Uri", "")
        path = request.get("CheckpointConfig", {}).get("LocalPath", "/opt/ml/checkpoints")
        self._folders = [inside(base, path) for base in bases.values()]
        self._sent = time.time()
        self._next = time.monotonic() + CHECKPOINT_SECONDS

    def tick(self) -> None:
        if time.monotonic() >= self._next:
            self.send()
            self._next = time.monotonic() + CHECKPOINT_SECONDS

    def send(self) -> None:
        if not self._uri:
            return
        started = time.time()
        for folder in self._folders:
            # A trainer renames and removes files while we look: what is gone by now is not missed.
            try:
                transfer.upload(self._s3, folder, self._uri, newer_than=self._sent)
            except FileNotFoundError as error:
                log.info("a checkpoint file was replaced while it was copied: %s", error)
        self._sent = started


def _processes_per_host(instance_type: str, nodes: int) -> int:
    """One for each GPU of the type, one where it has none; not more than this machine's cores can carry."""
    cores = os.cpu_count() or 1
    return max(1, min(instance_types.gpus(instance_type) or 1, cores // nodes))


def _loopback() -> str:
    """Name of the loopback interface."""
    return next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
