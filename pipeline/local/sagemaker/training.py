"""Training jobs.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html: configuration
files, channels, checkpoints, the model folder and `/opt/ml/output/failure`.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.aws import instances as instance_types
from pipeline.local import faults
from pipeline.local.context import Request, now
from pipeline.local.faults import Faults
from pipeline.local.machine import streams, toolkit, transfer
from pipeline.local.machine.containers import Container, inside, moved
from pipeline.local.machine.image_store import ImageNotFoundError
from pipeline.local.machine.pipes import Pipe
from pipeline.local.machine.ports import free_port
from pipeline.local.sagemaker.hosts import (
    SpotInterruptionError,
    Usage,
    check_statuses,
    host_names,
    run_instances,
    write_json,
)
from pipeline.local.sagemaker.jobs import JobFailedError, Jobs, JobServices
from pipeline.local.sagemaker.resources import check_volume, invalid
from pipeline.local.sagemaker.tags import as_list, tags_of
from steps.contracts.names import LOCAL_CPU

log = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
DEFAULT_SECONDS = 86_400  # StoppingCondition.MaxRuntimeInSeconds: "The default value is 1 day" (botocore's model)
CHECKPOINT_SECONDS = 5.0
CHECKPOINT_PATH = "/opt/ml/checkpoints"
# Between two looks of a spot job for capacity.
CAPACITY_SECONDS = 2.0
# Is called with a log line's values by metric, in the order of the lines.
Observer = Callable[[dict[str, list[float]]], None]


class TrainingJobs(Jobs):
    """CreateTrainingJob and the other operations of its resource."""

    kind = "training-job"
    prefix = "Training"

    def __init__(self, services: JobServices) -> None:
        self._observers: dict[str, Observer] = {}
        super().__init__(services)

    def create_trial(self, request: Request, observer: Observer, tuning_job: str) -> None:
        """Start a job of a tuning job (its ARN). `observer` is called with the metrics as they are logged.

        Tags of the tuning job "are also added to any training jobs that the hyperparameter tuning job launches after":
        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AddTags.html
        """
        self._observers[request["TrainingJobName"]] = observer
        self.create({**request, "Tags": as_list(tags_of(self._context.store, tuning_job))}, TuningJobArn=tuning_job)

    def prepare(self, document: Request) -> None:
        """Name the model artifact, and begin the secondary statuses. Refuse a spot job that may not wait."""
        stopping = document["StoppingCondition"]
        if document.get("EnableManagedSpotTraining"):
            run_time = stopping.get("MaxRuntimeInSeconds", DEFAULT_SECONDS)
            if stopping.get("MaxWaitTimeInSeconds", 0) < run_time:
                # Assumed: AWS's own text is not in its documents; the condition is (StoppingCondition).
                raise invalid(
                    "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to"
                    f" MaxRuntimeInSeconds ({run_time}) of a managed spot training job."
                )
        elif "MaxWaitTimeInSeconds" in stopping:
            raise invalid("Invalid MaxWaitTimeInSeconds. It must not be present without managed spot training.")
        check_volume(document["ResourceConfig"])
        check_channels(document)
        complete(document)
        if "TuningJobArn" not in document:  # the trials of a tuning job are counted when it is created
            self._services.quotas.check_training(document)
        output = document["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        artifact = f"{output}/{document['TrainingJobName']}/output/model.tar.gz"
        document["ModelArtifacts"] = {"S3ModelArtifacts": artifact}
        _enter(document, "Starting")

    def on_stopping(self, document: Request) -> None:
        """Stopping is a secondary status too."""
        _enter(document, "Stopping")

    def finish(self, name: str, status: str, **changes: object) -> None:
        """End with the seconds since training began. The last secondary status is `status` or given."""
        self._enter(name, str(changes.pop("SecondaryStatus", status)), str(changes.get("FailureReason", "")))
        if "TrainingStartTime" in (document := self.document(name)):
            seconds = max(1, round(now() - document["TrainingStartTime"]))
            changes.setdefault("TrainingTimeInSeconds", seconds)
        super().finish(name, status, **changes)
        self._observers.pop(name, None)

    def _enter(self, name: str, status: str, message: str = "") -> None:
        self._context.store.update(self.kind, name, lambda document: _enter(document, status, message))

    def execute(self, name: str, request: Request, stop: threading.Event) -> Request:
        """Run the job to its end; when its time is over, it counts as stopped.

        A spot interruption ends an attempt, and the next one begins on an empty machine, with the checkpoints in S3.
        """
        metrics = Metrics(request["AlgorithmSpecification"].get("MetricDefinitions", []))
        retries = request.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
        job = _Job(name, request, stop, metrics, retries)
        try:
            self._launch(job)
            while not (ended := self._retried(job)):
                self._enter(name, "Interrupted")
                self._enter(name, "Starting", "Launching requested ML instances")
                job.check_time()
        except _OutOfTimeError as error:
            stop.set()
            if error.base is not None:
                self._enter(name, "Uploading")
                self._upload(name, request, error.base)
            return {"SecondaryStatus": error.status}
        self._enter(name, "Uploading")
        self._upload(name, request, ended)
        return {}

    def _launch(self, job: _Job) -> None:
        """Wait for capacity: a spot job until it comes, within its wait time. Raises JobFailedError for another job."""
        if not job.spot:
            return self.need_capacity(job.name)
        while self._services.faults.lacks_capacity(job.name) and not job.stop.is_set():
            self._enter(job.name, "Starting", faults.WAITING_MESSAGE)
            job.stop.wait(CAPACITY_SECONDS)
            job.check_time()
        return None

    def _retried(self, job: _Job) -> Path | None:
        """An attempt; after an internal error another one, as often as the job's RetryStrategy allows."""
        while True:
            try:
                return self._attempt(job)
            except (JobFailedError, _OutOfTimeError):
                raise
            except Exception:
                if job.retries == 0:
                    raise
                job.retries -= 1
                log.exception("training job %s is tried again", job.name)
                self._enter(job.name, "Starting", "Internal server error, retrying")
                job.check_time()

    def _attempt(self, job: _Job) -> Path | None:
        """Run on new instances. Returns the first one's folder; None after a spot interruption."""
        name, request = job.name, job.request
        role = self.role_of(request)
        self.check_network(role, request.get("VpcConfig"))
        image = self.image(role, request["AlgorithmSpecification"]["TrainingImage"])
        folder = self._services.folder("training", name)
        hosts = host_names(request["ResourceConfig"]["InstanceCount"])
        bases = {host: folder / host for host in hosts}
        self._enter(name, "Downloading")
        instances, pipes = {}, list[Pipe]()
        port = free_port()
        for number, host in enumerate(hosts):
            pipes += self._prepare_folder(request, bases[host], host, hosts)
            cluster = toolkit.Cluster(
                node_rank=number,
                nodes=len(hosts),
                processes_per_host=_processes_per_host(request["ResourceConfig"]["InstanceType"], len(hosts)),
                master_address="127.0.0.1",
                master_port=port,
            )
            command = self._command(request, bases[host], image, cluster)
            instances[host] = self._container(job, bases[host], image=image, command=command)
        self._enter(name, "Training")
        self._context.store.update(self.kind, name, lambda document: document.setdefault("TrainingStartTime", now()))
        checkpoints = _Checkpoints(self._services, request, bases)
        interrupt = job.interrupt(self._services.faults)
        started = time.monotonic()
        try:
            for pipe in pipes:
                pipe.start()
            usage = Usage(name, instances, self._services.metric_writer(role, LOG_GROUP))
            statuses = run_instances(instances, job.stop, job.seconds_left(), (checkpoints.tick, usage.tick), interrupt)
        except TimeoutError:
            checkpoints.send()
            raise _OutOfTimeError(job.limit_reached(), bases[hosts[0]]) from None
        except SpotInterruptionError:
            checkpoints.send()
            self._services.faults.interrupted(name)
            return None
        finally:
            for pipe in pipes:
                pipe.stop()
            job.ran += time.monotonic() - started
            self.update(name, BillableTimeInSeconds=max(1, round(job.ran)))
        checkpoints.send()
        if broken := next((pipe.error for pipe in pipes if pipe.error), None):
            raise JobFailedError(f"ClientError: a channel in Pipe mode cannot be read: {broken}")
        if not job.stop.is_set():
            check_statuses(statuses, bases, "failure")
        return bases[hosts[0]]

    def _command(self, request: Request, base: Path, image: Path, cluster: toolkit.Cluster) -> list[str]:
        """The command of one host. Raises JobFailedError.

        "docker run IMAGE train", unless the request has an entry point or arguments: they take the place of the image's
        own and of `train`. An image with AWS's toolkit then starts the program that the hyperparameters name.
        https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-dockerfile.html. That an entry
        point without arguments gets none is assumed.
        """
        specification, hyperparameters = request["AlgorithmSpecification"], request.get("HyperParameters", {})
        entry_point = specification.get("ContainerEntrypoint", [])
        arguments = specification.get("ContainerArguments", [])
        try:
            if entry_point:
                return moved(base, [*entry_point, *arguments])
            if arguments or not toolkit.chosen(hyperparameters):
                own = self._services.images.entry_point(specification["TrainingImage"])
                return [*own, *(moved(base, arguments) or ["train"])]
            return toolkit.command(hyperparameters, image, cluster)
        except (toolkit.LauncherError, ImageNotFoundError) as error:
            raise JobFailedError(f"ClientError: {error}") from error

    def _container(self, job: _Job, base: Path, *, image: Path, command: list[str]) -> Container:
        name, request, host, metrics = job.name, job.request, base.name, job.metrics
        role = self.role_of(request)
        write = self._services.log_writer(role, LOG_GROUP, f"{name}/{host}-{int(now())}")
        publish = self._services.metric_writer(role, LOG_GROUP)

        def on_line(line: str) -> None:
            write(line)
            if values := metrics.read(line):
                job.lines += 1
                publish({"TrainingJobName": name}, values)
                self.update(name, FinalMetricDataList=metrics.latest())
                if observer := self._observers.get(name):
                    observer(values)

        environment = {
            **request.get("Environment", {}),
            "TRAINING_JOB_NAME": name,
            "TRAINING_JOB_ARN": self.arn(name),
            "SM_HOSTS": json.dumps(host_names(request["ResourceConfig"]["InstanceCount"])),
            "SM_CURRENT_HOST": host,
            "SM_CURRENT_INSTANCE_TYPE": request["ResourceConfig"]["InstanceType"],
            LOCAL_CPU: "1",
            # Several instances are processes of one machine here: they meet on the loopback interface.
            "GLOO_SOCKET_IFNAME": _loopback(),
        }
        # A container without a network gets no credentials either:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html
        isolated = request.get("EnableNetworkIsolation")
        issue = functools.partial(self._services.identity.container_environment, role)
        return Container(
            context=self._context,
            base=base,
            image=image,
            command=command,
            on_line=on_line,
            environment=environment,
            credentials=dict if isolated else issue,
            on_end=self._services.identity.end_credentials,
        )

    def _prepare_folder(self, request: Request, base: Path, host: str, hosts: list[str]) -> list[Pipe]:
        """Write a host's configuration and copy its channels. Returns the pipes of those that are streamed."""
        config = base / "input" / "config"
        group, instance_type = "homogeneousCluster", request["ResourceConfig"]["InstanceType"]
        resources = {
            "current_host": host,
            "current_instance_type": instance_type,
            "current_group_name": group,
            "hosts": hosts,
            "instance_groups": [{"instance_group_name": group, "hosts": hosts, "instance_type": instance_type}],
            "network_interface_name": _loopback(),
        }
        channels = request.get("InputDataConfig", [])
        mode = request["AlgorithmSpecification"]["TrainingInputMode"]
        write_json(config / "hyperparameters.json", request.get("HyperParameters", {}))
        write_json(config / "resourceconfig.json", resources)
        described = {channel["ChannelName"]: _channel_description(channel, mode) for channel in channels}
        write_json(config / "inputdataconfig.json", described)
        for folder in ("model", "output/data", "checkpoints"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        pipes = []
        for channel in channels:
            role, place = self.role_of(request), (hosts.index(host), len(hosts))
            sources = self.sources(role, channel["DataSource"]["S3DataSource"], place)
            folder = base / "input" / "data" / channel["ChannelName"]
            if channel.get("InputMode", mode) == "Pipe":
                pipes.append(Pipe(folder, streams.of(channel, self._services.s3(role), sources)))
            else:
                self.download(role, sources, folder)
        if checkpoint := request.get("CheckpointConfig"):
            local = inside(base, checkpoint.get("LocalPath", CHECKPOINT_PATH))
            transfer.download(self._services.s3(self.role_of(request)), checkpoint["S3Uri"], local)
        return pipes

    def _upload(self, name: str, request: Request, base: Path) -> None:
        output = f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output"
        for folder, archive in ((base / "model", "model.tar.gz"), (base / "output" / "data", "output.tar.gz")):
            if any(folder.iterdir()):
                transfer.upload_archive(
                    self._services.s3(self.role_of(request)), folder, f"{output}/{archive}", base / archive
                )


def _channel_description(channel: Request, mode: str) -> Request:
    """A channel as the container reads it, in inputdataconfig.json.

    https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
    """
    source = channel["DataSource"]["S3DataSource"]
    return {
        "TrainingInputMode": channel.get("InputMode", mode),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
    }


def check_channels(definition: Request) -> None:
    """Raise ServiceError for members of a channel that exist in Pipe mode only.

    "In File mode, leave this field unset or set it to None" (CompressionType and RecordWrapperType in botocore's
    model); that SageMaker refuses it when the job is created is assumed, and so is the text.
    """
    mode = definition["AlgorithmSpecification"]["TrainingInputMode"]
    for channel in definition.get("InputDataConfig", []):
        if channel.get("InputMode", mode) == "Pipe":
            continue
        for member in ("CompressionType", "RecordWrapperType"):
            if channel.get(member, "None") != "None":
                name = channel["ChannelName"]
                raise invalid(f"{member} {channel[member]} of channel {name} is supported in Pipe mode only.")


def complete(definition: Request) -> None:
    """Add the members that a description has without being in the request.

    By the example of `aws sagemaker describe-training-job help`; the SDKs' attach reads them.
    """
    definition["OutputDataConfig"] = {"KmsKeyId": "", **definition["OutputDataConfig"]}
    for flag in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"):
        definition.setdefault(flag, False)


class _OutOfTimeError(Exception):
    """The job has reached MaxRuntimeInSeconds or MaxWaitTimeInSeconds, which `status` says.

    `base` is the folder of the first instance, None if none runs.
    """

    def __init__(self, status: str, base: Path | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.base = base


@dataclass
class _Job:
    """A job in all its attempts: seconds that its instances ran, and log lines with metrics, so far."""

    name: str
    request: Request
    stop: threading.Event
    metrics: Metrics
    retries: int
    ran: float = 0.0
    lines: int = 0

    @property
    def spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining"))

    def interrupt(self, faults: Faults) -> Callable[[], float | None]:
        """A function that returns the seconds of notice once this attempt's instances are taken away."""
        interruption = faults.interruption(self.name) if self.spot else None
        started, lines = time.monotonic(), self.lines

        def due() -> float | None:
            if interruption is None:
                return None
            late = time.monotonic() - started >= interruption.seconds
            return interruption.notice if late or self.lines - lines >= interruption.lines else None

        return due

    def _left(self) -> tuple[float, float]:
        """Seconds of run time and of wait time that are left; the wait time is that of the whole job."""
        limits = self.request["StoppingCondition"]
        waited = now() - self.request["CreationTime"]
        running = limits.get("MaxRuntimeInSeconds", DEFAULT_SECONDS) - self.ran
        return running, limits.get("MaxWaitTimeInSeconds", math.inf) - waited

    def seconds_left(self) -> float:
        """Seconds that an attempt may run."""
        return max(0.0, min(self._left()))

    def limit_reached(self) -> str:
        """Secondary status of a job without time: which of its limits was the first."""
        running, waiting = self._left()
        return "MaxRuntimeExceeded" if running <= waiting else "MaxWaitTimeExceeded"

    def check_time(self) -> None:
        """Raise _OutOfTimeError if no attempt may begin any more."""
        if self.seconds_left() <= 0:
            raise _OutOfTimeError(self.limit_reached())


class _Checkpoints:
    """Keeps the job's prefix in S3 as its checkpoint folders are, deletions included, while the job runs.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints-enable.html: SageMaker "syncs your training job
    with the checkpoint S3 bucket". That files removed on the instance are deleted there is likely, not documented.
    """

    def __init__(self, services: JobServices, request: Request, bases: dict[str, Path]) -> None:
        self._s3 = services.s3(request["RoleArn"])
        self._uri = request.get("CheckpointConfig", {}).get("S3Uri", "")
        path = request.get("CheckpointConfig", {}).get("LocalPath", CHECKPOINT_PATH)
        self._folders = [inside(base, path) for base in bases.values()]
        # Each instance deletes what it had itself: all have one prefix.
        self._present = [transfer.files(folder) for folder in self._folders]
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
        for number, folder in enumerate(self._folders):
            # A trainer renames and removes files during the copy.
            try:
                transfer.upload(self._s3, folder, self._uri, newer_than=self._sent)
            except FileNotFoundError as error:
                log.info("a checkpoint file was replaced while it was copied: %s", error)
            present = transfer.files(folder)
            transfer.delete(self._s3, self._uri, self._present[number] - present)
            self._present[number] = present
        self._sent = started


class Metrics:
    """The latest value of each metric, read from the log lines by the job's own expressions.

    https://docs.aws.amazon.com/sagemaker/latest/dg/define-train-metrics.html
    """

    def __init__(self, definitions: list[Request]) -> None:
        self._patterns = {definition["Name"]: re.compile(definition["Regex"]) for definition in definitions}
        self._latest: dict[str, Request] = {}

    def read(self, line: str) -> dict[str, list[float]]:
        """The values in a line by metric; most lines have none."""
        values: dict[str, list[float]] = {}
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(line):
                try:
                    value = float(match[1])
                except (ValueError, IndexError):
                    continue
                self._latest[name] = {"MetricName": name, "Value": value, "Timestamp": now()}
                values.setdefault(name, []).append(value)
        return values

    def latest(self) -> list[Request]:
        """FinalMetricDataList."""
        return list(self._latest.values())


def _enter(document: Request, status: str, message: str = "") -> None:
    """Move a job to a secondary status, and record the transition."""
    at = now()
    transitions = document.setdefault("SecondaryStatusTransitions", [])
    if transitions:
        transitions[-1].setdefault("EndTime", at)
    transitions.append({"Status": status, "StartTime": at, "StatusMessage": message})
    document.update(SecondaryStatus=status, LastModifiedTime=at)


def _processes_per_host(instance_type: str, nodes: int) -> int:
    """One per GPU of the type, or one; not more than this machine's cores."""
    cores = os.cpu_count() or 1
    return max(1, min(instance_types.gpus(instance_type) or 1, cores // nodes))


def _loopback() -> str:
    """Name of the loopback interface."""
    return next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
