"""SMDDP, as far as it goes without its GPUs: what the toolkit starts for it, and that the processes find each other.

SMDDP itself is AWS's own and in its images alone; gloo stands in for its backend here.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.aws import instances
from steps.train.artifact import is_complete

from ..conftest import free_port
from .definition import Request, settings_of, training_job
from .jobs import HOSTS, TIME_LIMIT, Host, Job, create, environment

P4D = "ml.p4d.24xlarge"
LAUNCH = Path(__file__).with_name("launch.py")
BACKEND = """
import torch.distributed as dist

def create(store, rank, size, timeout):
    return dist.ProcessGroupGloo(store, rank, size, timeout=timeout)

dist.Backend.register_backend("smddp", create, devices=["cpu"])
"""


def asked(instance_type: str, instance_count: int, **training: Any) -> Request:
    return training_job(
        settings_of("demo", backend="smddp", instance_type=instance_type, instance_count=instance_count, **training)
    )


def job_for(request: Request, folder: Path, index: Path, gpus: int) -> Job:
    """Containers in which SMDDP's launcher is installed."""
    job = create(folder, request, index, gpus=gpus)
    for host in job.hosts:
        (host.image.commands / "smddprun").write_text("#!/bin/sh\n")
        (host.image.commands / "smddprun").chmod(0o755)
    return job


def launched(host: Host, request: Request) -> dict[str, Any]:
    """What the toolkit would start on a host."""
    answer = host.image.root / "launch.json"
    done = subprocess.run(
        [sys.executable, LAUNCH, answer],
        env=environment(host, request),
        cwd=host.image.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def option(command: list[str], name: str) -> list[str]:
    """The values of an option that may come several times."""
    return [value for flag, value in itertools.pairwise(command) if flag == name]


@pytest.fixture(scope="module")
def two_hosts(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job on two of the instances that the definition allows."""
    request = asked(P4D, 2)
    return job_for(request, tmp_path_factory.mktemp("hosts"), dataset, instances.gpus(P4D))


def test_the_toolkit_starts_eight_processes_a_host_through_mpirun_and_smddprun(two_hosts: Job) -> None:
    found = launched(two_hosts.hosts[0], two_hosts.request)
    assert found["runner"] == "SMDataParallelRunner"
    command = found["command"]
    assert command[0] == "mpirun"
    assert option(command, "--host") == [",".join(f"{host}:8" for host in HOSTS)]
    assert option(command, "-np") == ["16"]
    exported = option(command, "-x")
    assert "SMDATAPARALLEL_USE_HOMOGENEOUS=1" in exported
    assert f"SMDATAPARALLEL_SERVER_ADDR={HOSTS[0]}" in exported
    # From the hyperparameter sagemaker_instance_type, which the definition fills from the run's parameter.
    assert f"SAGEMAKER_INSTANCE_TYPE={P4D}" in exported
    program = command[command.index("smddprun") + 1 :]
    assert program[1:4] == ["-m", "mpi4py", "steps/train/__main__.py"]
    assert option(program, "--backend") == ["smddp"]


def test_the_other_hosts_wait_for_the_first_ones_mpirun(two_hosts: Job) -> None:
    assert launched(two_hosts.hosts[1], two_hosts.request) == {"runner": "WorkerRunner", "command": []}


def test_every_type_that_may_be_chosen_for_smddp_has_the_eight_gpus_its_launcher_counts_on() -> None:
    assert instances.alternatives("ml.p4d.24xlarge", "smddp") == sorted(instances.SMDDP)
    assert [instances.gpus(one) for one in instances.SMDDP] == [8, 8, 8]


def test_a_type_with_another_number_of_gpus_is_refused_with_those_that_suit() -> None:
    with pytest.raises(ValueError, match=r"backend smddp does not run on ml\.g5\.12xlarge; take ml\.p3dn\.24xlarge"):
        settings_of("demo", backend="smddp", instance_type="ml.g5.12xlarge")


def test_processes_that_mpirun_started_find_each_other_and_train(dataset: Path, tmp_path: Path) -> None:
    request = asked(P4D, 1, architecture="squeezenet1_1", image_size=32, epochs=1, batch_size=20, workers=0)
    (host,) = job_for(request, tmp_path, dataset, 2).hosts
    package = host.opt_ml / "code" / "smdistributed" / "dataparallel" / "torch"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "torch_smddp.py").write_text(BACKEND)
    command = launched(host, request)["command"]
    program, size = command[command.index("smddprun") + 1 :], int(option(command, "-np")[0])
    assert "SMDATAPARALLEL_USE_SINGLENODE=1" in option(command, "-x")
    # As many as the stand-in for nvidia-smi tells.
    assert size == 2
    common = {
        **environment(host, request),
        # What the toolkit sets for its children, and mpirun passes on.
        "MASTER_ADDR": HOSTS[0],
        "MASTER_PORT": str(free_port()),
        "SM_NUM_CPUS": str(os.cpu_count()),
        "SM_NETWORK_INTERFACE_NAME": "lo",
    }
    ranks = [
        subprocess.Popen(
            program,
            cwd=host.opt_ml / "code",
            env={**common, **mpirun_variables(rank, size)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        logs = [rank.communicate(timeout=TIME_LIMIT)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], logs
    assert "backend smddp: requested" in logs[0]
    assert "2 processes on cpu" in logs[0]
    assert is_complete(host.opt_ml / "model")


def mpirun_variables(rank: int, size: int) -> dict[str, str]:
    values = {"RANK": rank, "SIZE": size, "LOCAL_RANK": rank, "LOCAL_SIZE": size}
    return {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in values.items()}
