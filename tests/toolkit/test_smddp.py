"""SMDDP, as far as it goes without its GPUs: what the toolkit starts for it, and that the processes find each other.

SMDDP itself is AWS's own and in its images alone; gloo stands in for its backend here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import ROOT
from pipeline.aws import instances
from steps.train.artifact import check_complete

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
# Longer than the second that mpirun gives its processes by default.
SLOW_SAVE = """
import time
from steps.train import run

save = run.save

def slow(*arguments):
    time.sleep(4)
    save(*arguments)

run.save = slow
"""
GRACE_SECONDS = runpy.run_path(str(ROOT / "containers" / "training" / "forward_signals.py"))["GRACE_SECONDS"]


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
    # The ranks have time to save, and mpirun ends within the grace of the forwarder: it waits twice.
    assert command[command.index("odls_base_sigkill_timeout") - 1] == "-mca"
    assert 60 < 2 * int(command[command.index("odls_base_sigkill_timeout") + 1]) < GRACE_SECONDS
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
    request = asked(
        P4D, 1, architecture="squeezenet1_1", progressive_resizing=0, image_size=32, epochs=1, batch_size=20, workers=0
    )
    (host,) = job_for(request, tmp_path, dataset, 2).hosts
    install_smddp(host, BACKEND)
    command = launched(host, request)["command"]
    program, size = command[command.index("smddprun") + 1 :], int(option(command, "-np")[0])
    assert "SMDATAPARALLEL_USE_SINGLENODE=1" in option(command, "-x")
    # As many as the stand-in for nvidia-smi tells.
    assert size == 2
    common = of_the_toolkit(host, request)
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
    check_complete(host.opt_ml / "model")


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="needs mpirun: apt-get install openmpi-bin")
def test_sigterm_lets_the_ranks_behind_mpirun_save_before_they_are_killed(dataset: Path, tmp_path: Path) -> None:
    request = asked(
        P4D, 1, architecture="squeezenet1_1", progressive_resizing=0, image_size=32, epochs=200, batch_size=2, workers=0
    )
    (host,) = job_for(request, tmp_path, dataset, 2).hosts
    install_smddp(host, BACKEND + SLOW_SAVE)
    (host.image.commands / "smddprun").write_text('#!/bin/sh\n"$@"\n')
    command = launched(host, request)["command"]
    # The toolkit's library that gives the host its name reads /opt/ml itself, which this machine does not have.
    (preload,) = [place for place, word in enumerate(command) if word.startswith("LD_PRELOAD=")]
    assert command[preload - 1] == "-x"
    del command[preload - 1 : preload + 1]
    forwarder, *_ = [word for word in host.image.entry_point() if word.endswith("forward_signals.py")]
    job = Job(request, [host])
    try:
        with (host.image.root / "log").open("wb") as log:
            host.process = subprocess.Popen(
                [sys.executable, forwarder, *command],
                cwd=host.opt_ml / "code",
                env={**of_the_toolkit(host, request), "OMPI_MCA_rmaps_base_oversubscribe": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(host, "train:loss")
        job.interrupt()
        # Once per rank. mpirun marks the beginnings of what its ranks print, not their lines.
        wait_for(host, r"(?s)SIGTERM: saved epoch.*SIGTERM: saved epoch")
        assert len(job.checkpoints) == 1
    finally:
        for process in job.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if host.process is not None:
            host.process.wait(30)


def wait_for(host: Host, line: str) -> None:
    """Until the log has a line of this pattern."""
    deadline = time.monotonic() + TIME_LIMIT
    while re.search(line, host.log) is None:
        assert host.process is not None
        assert host.process.poll() is None, host.log
        assert "waiting for SIGKILL" not in host.log, host.log
        assert time.monotonic() < deadline, host.log
        time.sleep(0.05)


def install_smddp(host: Host, backend: str) -> None:
    """Put a package in SMDDP's place, with this module."""
    package = host.image.root / "opt" / "program" / "smdistributed" / "dataparallel" / "torch"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "torch_smddp.py").write_text(backend)


def of_the_toolkit(host: Host, request: Request) -> dict[str, str]:
    """What the toolkit sets for its children, and mpirun passes on."""
    return {
        **environment(host, request),
        "MASTER_ADDR": HOSTS[0],
        "MASTER_PORT": str(free_port()),
        "SM_NUM_CPUS": str(os.cpu_count()),
        "SM_NETWORK_INTERFACE_NAME": "lo",
    }


def mpirun_variables(rank: int, size: int) -> dict[str, str]:
    values = {"RANK": rank, "SIZE": size, "LOCAL_RANK": rank, "LOCAL_SIZE": size}
    return {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in values.items()}
