"""The command of a training job, chosen from the hyperparameters as AWS's training toolkit does.

https://github.com/aws/sagemaker-training-toolkit: hyperparameters that start with `sagemaker_` are the toolkit's own,
the others become `--name value` arguments of the program; `sagemaker_torch_distributed_enabled` starts torchrun.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OWN = "sagemaker_"
CODE = "/opt/ml/code"


class LauncherError(Exception):
    """The hyperparameters select a launcher or a program that this machine cannot run."""


@dataclass(frozen=True)
class Cluster:
    """A host's rank among all hosts, and the address of rank 0."""

    node_rank: int
    nodes: int
    processes_per_host: int
    master_address: str
    master_port: int


def command(hyperparameters: dict[str, str], image: Path, cluster: Cluster) -> list[str]:
    """The command of one host. `image` is the folder of the container's /opt/ml/code. Raises LauncherError."""
    program = hyperparameters.get("sagemaker_program", "")
    # Also absolute paths and links: they would be files of this machine, and no container has those.
    if image.resolve() not in (image / program).resolve().parents and program:
        raise LauncherError(f"the program {program!r} leaves {CODE}")
    if hyperparameters.get("sagemaker_submit_directory") != CODE or not (image / program).is_file():
        raise LauncherError(f"no program {program!r} in {CODE} of the training image")
    if _true(hyperparameters, "sagemaker_distributed_dataparallel_enabled"):
        raise LauncherError(
            "SMDDP exists in AWS's images on p3dn, p4d and p4de instances only; set training.backend: auto to run here"
        )
    arguments = [str(image / program), *_arguments(hyperparameters)]
    if _true(hyperparameters, "sagemaker_torch_distributed_enabled"):
        return [
            "torchrun",
            f"--nnodes={cluster.nodes}",
            f"--nproc_per_node={cluster.processes_per_host}",
            f"--node_rank={cluster.node_rank}",
            f"--master_addr={cluster.master_address}",
            f"--master_port={cluster.master_port}",
            *arguments,
        ]
    if cluster.nodes > 1:
        raise LauncherError("several instances without a launcher: set sagemaker_torch_distributed_enabled to true")
    return ["python3", *arguments]


def chosen(hyperparameters: dict[str, str]) -> bool:
    """Whether the hyperparameters name a program for the toolkit; without one the image is not the toolkit's."""
    return bool({"sagemaker_program", "sagemaker_submit_directory"} & hyperparameters.keys())


def _arguments(hyperparameters: dict[str, str]) -> list[str]:
    names = sorted(hyperparameters.keys() - {"_tuning_objective_metric"})
    return [part for name in names if not name.startswith(OWN) for part in (f"--{name}", hyperparameters[name])]


def _true(hyperparameters: dict[str, str], name: str) -> bool:
    return hyperparameters.get(name, "").lower() == "true"
