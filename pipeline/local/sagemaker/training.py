"""Training jobs.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html: configuration
files, channels, checkpoints, the model folder and `/opt/ml/output/failure`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.aws import instances as instance_types
from pipeline.local.context import Request, now
from pipeline.local.machine import toolkit, transfer
from pipeline.local.machine.containers import Container, inside
from pipeline.local.machine.ports import free_port
from pipeline.local.sagemaker.hosts import check_statuses, host_names, run_instances, write_json
from pipeline.local.sagemaker.jobs import JobFailedError, Jobs, JobServices
from steps.contracts.names import LOCAL_CPU

log = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
CHECKPOINT_SECONDS = 5.0
CHECKPOINT_PATH = "/opt/ml/checkpoints"
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
        """Start a job of a tuning job (its ARN). `observer` is called with the metrics as they are logged."""
        self._observers[request["TrainingJobName"]] = observer
        self.create(request, TuningJobArn=tuning_job)

    def prepare(self, document: Request) -> None:
        """Name the model artifact, and begin the secondary statuses."""
        output = document["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        artifact = f"{output}/{document['TrainingJobName']}/output/model.tar.gz"
        document["ModelArtifacts"] = {"S3ModelArtifacts": artifact}
        _enter(document, "Starting")

    def on_stopping(self, document: Request) -> None:
        """Stopping is a secondary status too."""
        _enter(document, "Stopping")

    def finish(self, name: str, status: str, **changes: object) -> None:
        """End with the seconds that the job is billed for. The last secondary status is `status` or given."""
        self._enter(name, str(changes.pop("SecondaryStatus", status)), str(changes.get("FailureReason", "")))
        seconds = max(1, round(now() - self.document(name).get("TrainingStartTime", now())))
        super().finish(name, status, TrainingTimeInSeconds=seconds, BillableTimeInSeconds=seconds, **changes)
        self._observers.pop(name, None)

    def _enter(self, name: str, status: str, message: str = "") -> None:
        self._context.store.update(self.kind, name, lambda document: _enter(document, status, message))

    def execute(self, name: str, request: Request, stop: threading.Event) -> Request:
        """Run the job to its end; when its time is over, it counts as stopped."""
        image = self.image(request["AlgorithmSpecification"]["TrainingImage"])
        folder = self._services.folder("training", name)
        resources = request["ResourceConfig"]
        hosts = host_names(resources["InstanceCount"])
        bases = {host: folder / host for host in hosts}
        metrics = Metrics(request["AlgorithmSpecification"].get("MetricDefinitions", []))
        self._enter(name, "Downloading")
        instances = {}
        port = free_port()
        for number, host in enumerate(hosts):
            self._prepare_folder(request, bases[host], host, hosts)
            cluster = toolkit.Cluster(
                node_rank=number,
                nodes=len(hosts),
                processes_per_host=_processes_per_host(resources["InstanceType"], len(hosts)),
                master_address="127.0.0.1",
                master_port=port,
            )
            try:
                command = toolkit.command(request.get("HyperParameters", {}), image, cluster)
            except toolkit.LauncherError as error:
                raise JobFailedError(f"ClientError: {error}") from error
            instances[host] = self._container(name, request, bases[host], image=image, command=command, metrics=metrics)
        self._enter(name, "Training")
        self.update(name, TrainingStartTime=now())
        checkpoints = _Checkpoints(self._services, request, bases)
        limit = request["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        late, statuses = False, dict[str, int]()
        try:
            statuses = run_instances(instances, stop, limit, checkpoints.tick)
        except TimeoutError:
            late = True
            stop.set()
        checkpoints.send()
        if not stop.is_set():
            check_statuses(statuses, bases, "failure")
        self._enter(name, "Uploading")
        self._upload(name, request, bases[hosts[0]])
        return {"SecondaryStatus": "MaxRuntimeExceeded"} if late else {}

    def _container(
        self, name: str, request: Request, base: Path, *, image: Path, command: list[str], metrics: Metrics
    ) -> Container:
        host = base.name
        stream = f"{name}/{host}-{int(now())}"

        def on_line(line: str) -> None:
            self._services.logs.write(LOG_GROUP, stream, line)
            if values := metrics.read(line):
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
        return Container(
            context=self._context, base=base, image=image, command=command, on_line=on_line, environment=environment
        )

    def _prepare_folder(self, request: Request, base: Path, host: str, hosts: list[str]) -> None:
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
        modes = {
            channel["ChannelName"]: {"TrainingInputMode": channel.get("InputMode", "File")} for channel in channels
        }
        write_json(config / "hyperparameters.json", request.get("HyperParameters", {}))
        write_json(config / "resourceconfig.json", resources)
        write_json(config / "inputdataconfig.json", modes)
        for folder in ("model", "output/data", "checkpoints"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        for channel in channels:
            source = channel["DataSource"]["S3DataSource"]["S3Uri"]
            self.download(source, base / "input" / "data" / channel["ChannelName"])
        if checkpoint := request.get("CheckpointConfig"):
            local = inside(base, checkpoint.get("LocalPath", CHECKPOINT_PATH))
            transfer.download(self._services.s3, checkpoint["S3Uri"], local)

    def _upload(self, name: str, request: Request, base: Path) -> None:
        output = f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output"
        for folder, archive in ((base / "model", "model.tar.gz"), (base / "output" / "data", "output.tar.gz")):
            if any(folder.iterdir()):
                transfer.upload_archive(self._services.s3, folder, f"{output}/{archive}", base / archive)


class _Checkpoints:
    """Copies the files below the checkpoint path to S3 while the job runs."""

    def __init__(self, services: JobServices, request: Request, bases: dict[str, Path]) -> None:
        self._s3 = services.s3
        self._uri = request.get("CheckpointConfig", {}).get("S3Uri", "")
        path = request.get("CheckpointConfig", {}).get("LocalPath", CHECKPOINT_PATH)
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
            # A trainer renames and removes files during the copy.
            try:
                transfer.upload(self._s3, folder, self._uri, newer_than=self._sent)
            except FileNotFoundError as error:
                log.info("a checkpoint file was replaced while it was copied: %s", error)
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
