"""Training jobs as SageMaker runs them, on this machine: a container an instance, all of them on loopback."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from steps.contracts.names import LOCAL_CPU

from . import image
from .definition import Request
from .image import Image

JOB = "bins-trial-001"
# Every address of 127.0.0.0/8 is this machine, so two of them are two hosts that find each other.
HOSTS = ("127.0.0.1", "127.0.0.2")
# sagemaker_pytorch_container.training.MASTER_PORT
MASTER_PORT = 7777
TIME_LIMIT = 150.0


@dataclass
class Host:
    """One instance's container: its folders, its first process and its log."""

    name: str
    image: Image
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def opt_ml(self) -> Path:
        return self.image.opt_ml

    @property
    def log(self) -> str:
        return (self.image.root / "log").read_text(errors="replace")

    @property
    def failure(self) -> str:
        """What SageMaker makes the job's FailureReason of; empty where there is none."""
        path = self.opt_ml / "output" / "failure"
        return path.read_text() if path.exists() else ""


@dataclass
class Job:
    """A training job; its hosts are there before they are started."""

    request: Request
    hosts: list[Host]

    @property
    def log(self) -> str:
        """The logs of all hosts, one after another."""
        return "\n".join(host.log for host in self.hosts)

    @property
    def statuses(self) -> list[int | None]:
        """The exit status of each host; None of one that runs."""
        return [None if host.process is None else host.process.poll() for host in self.hosts]

    @property
    def checkpoints(self) -> list[Path]:
        return sorted(path for host in self.hosts for path in (host.opt_ml / "checkpoints" / JOB).glob("epoch-*.pt"))

    @property
    def epochs(self) -> list[dict[str, Any]]:
        history = json.loads((self.hosts[0].opt_ml / "model" / "history.json").read_text())
        return history["epochs"]

    @contextlib.contextmanager
    def running(self) -> Iterator[Job]:
        """The job while the block runs; nothing of it is left afterwards."""
        try:
            for host in self.hosts:
                _start(host, self.request)
            yield self
        finally:
            for host in self.hosts:
                _end(host)

    def run(self) -> Job:
        """The job to its end."""
        with self.running():
            self.wait()
        return self

    def wait(self) -> None:
        """Until the first process of every container has ended."""
        deadline = time.monotonic() + TIME_LIMIT
        for host in self.hosts:
            assert host.process is not None
            try:
                host.process.wait(deadline - time.monotonic())
            except subprocess.TimeoutExpired as error:
                raise AssertionError(f"{host.name} did not end in {TIME_LIMIT:.0f} s:\n{self.log}") from error

    def wait_for_sigkill(self) -> None:
        """Until nothing runs in any container but its first process, which waits for SIGKILL."""
        deadline = time.monotonic() + TIME_LIMIT
        while not all("waiting for SIGKILL" in host.log for host in self.hosts):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to the first process of every container, as 120 seconds after SIGTERM."""
        for host in self.hosts:
            assert host.process is not None
            host.process.kill()
            host.process.wait(30)

    def processes(self) -> list[psutil.Process]:
        """What runs in the containers."""
        return [process for host in self.hosts for process in _processes(host)]

    def interrupt(self) -> None:
        """SIGTERM to the first process of every container, as before a spot interruption."""
        for host in self.hosts:
            assert host.process is not None
            host.process.send_signal(signal.SIGTERM)


def create(folder: Path, request: Request, index: Path, *, gpus: int = 2, checkpoints: Job | None = None) -> Job:
    """Make the containers of a job; `checkpoints` is a former one's, which S3 has kept for this."""
    hosts = []
    for name in HOSTS[: request["ResourceConfig"]["InstanceCount"]]:
        host = Host(name, image.build(folder / name, gpus))
        _configure(host, request)
        for channel in request["InputDataConfig"]:
            shutil.copytree(index, host.opt_ml / "input" / "data" / channel["ChannelName"])
        for before in checkpoints.hosts if checkpoints else []:
            shutil.copytree(before.opt_ml / "checkpoints", host.opt_ml / "checkpoints", dirs_exist_ok=True)
        hosts.append(host)
    return Job(request, hosts)


def _configure(host: Host, request: Request) -> None:
    """The files of https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html"""
    hosts = list(HOSTS[: request["ResourceConfig"]["InstanceCount"]])
    group = {"instance_group_name": "homogeneousCluster", "hosts": hosts}
    instance_type = request["ResourceConfig"]["InstanceType"]
    files = {
        "hyperparameters": {name: host.image.inside(value) for name, value in request["HyperParameters"].items()},
        "resourceconfig": {
            "current_host": host.name,
            "current_instance_type": instance_type,
            "current_group_name": "homogeneousCluster",
            "hosts": hosts,
            "instance_groups": [{**group, "instance_type": instance_type}],
            "network_interface_name": "lo",
        },
        "inputdataconfig": {
            channel["ChannelName"]: {
                "TrainingInputMode": request["AlgorithmSpecification"]["TrainingInputMode"],
                "S3DistributionType": channel["DataSource"]["S3DataSource"]["S3DataDistributionType"],
                "RecordWrapperType": "None",
            }
            for channel in request["InputDataConfig"]
        },
    }
    config = host.opt_ml / "input" / "config"
    config.mkdir(parents=True)
    for name, content in files.items():
        (config / f"{name}.json").write_text(json.dumps(content))
    for path in ("model", "output/data", "checkpoints"):
        (host.opt_ml / path).mkdir(parents=True)


def environment(host: Host, request: Request) -> dict[str, str]:
    """Of a container: the base image's, the Dockerfile's, the request's, and the service's own."""
    path = [str(host.image.commands), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "HOME": str(host.image.root),
        "LANG": "C.UTF-8",
        "PATH": ":".join(path),
        "SAGEMAKER_TRAINING_MODULE": "sagemaker_pytorch_container.training:main",
        **host.image.environment(),
        **request["Environment"],
        "TRAINING_JOB_NAME": JOB,
        # The instances have GPUs, this machine does not.
        LOCAL_CPU: "1",
        # The container's /opt/ml, moved.
        "SAGEMAKER_BASE_DIR": str(host.opt_ml),
    }


def _start(host: Host, request: Request) -> None:
    with (host.image.root / "log").open("wb") as log:
        host.process = subprocess.Popen(
            [*host.image.entry_point(), "train"],
            cwd=host.image.root,
            env=environment(host, request),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _end(host: Host) -> None:
    """Kill what is left of a container, as the end of its first process does."""
    for process in _processes(host):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    if host.process is not None:
        host.process.wait(30)


def _processes(host: Host) -> list[psutil.Process]:
    """The processes of a container, whatever session they are in."""
    return [process for process in psutil.process_iter() if _belongs(process, host)]


def _belongs(process: psutil.Process, host: Host) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get("SAGEMAKER_BASE_DIR") == str(
            host.opt_ml
        )
    except psutil.Error:
        return False


@contextlib.contextmanager
def hold_master_port() -> Iterator[None]:
    """Wait until no other run of these tests is on this machine; then the toolkit's port has to be free."""
    with (Path(tempfile.gettempdir()) / f"toolkit-port-{MASTER_PORT}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", MASTER_PORT))
            except OSError as error:
                raise AssertionError(
                    f"the toolkit wants port {MASTER_PORT} for rank 0 and it is taken: {error}"
                ) from error
        yield
