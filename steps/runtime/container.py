"""The layout of a SageMaker container, and the configuration of a job in it.

All paths are below `/opt/ml`. `SAGEMAKER_BASE_DIR` moves them (the variable of AWS's own training toolkit), so that the
same code runs as a child process. Layouts:
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def base() -> Path:
    """The folder `/opt/ml` of a container."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


@dataclass(frozen=True)
class Instance:
    """This instance among those of its job; `index` counts from 0 in the sorted order of host names."""

    index: int
    count: int
    host: str


def job_name() -> str | None:
    """This processing job's name, the same in a retry of its process; None outside a job."""
    config = _job_config()
    return str(config["ProcessingJobName"]) if config else None


def _job_config() -> dict[str, Any]:
    path = base() / "config" / "processingjobconfig.json"
    return _read(path) if path.exists() else {}


def _read(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text())
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object")
    return value


def resource_config() -> dict[str, Any]:
    """`resourceconfig.json` of a processing or training job; empty without that file."""
    paths = (base() / "config" / "resourceconfig.json", base() / "input" / "config" / "resourceconfig.json")
    return next((_read(path) for path in paths if path.exists()), {})


def instance() -> Instance:
    """This instance, from `resourceconfig.json`; without that file, a single instance."""
    config = resource_config()
    if not config:
        return Instance(0, 1, "algo-1")
    hosts = sorted(config["hosts"], key=_host_number)
    return Instance(hosts.index(config["current_host"]), len(hosts), config["current_host"])


def _host_number(host: str) -> tuple[int, str]:
    digits = "".join(c for c in host if c.isdigit())
    return (int(digits) if digits else 0, host)


def processing_input(name: str) -> Path:
    """Local folder of the processing input `name`."""
    return base() / "processing" / "input" / name


def processing_input_uri(name: str) -> str:
    """S3 URI of the processing input `name`; empty outside a job."""
    inputs = _job_config().get("ProcessingInputs", [])
    return next((str(item["S3Input"]["S3Uri"]) for item in inputs if item["InputName"] == name), "")


def processing_output(name: str) -> Path:
    """Local folder of the processing output `name`; SageMaker uploads it when the job ends."""
    path = base() / "processing" / "output" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def processing_output_uri(name: str) -> str:
    """S3 URI (no trailing slash) of the processing output `name`, from `processingjobconfig.json`.

    A step that streams its output to S3 writes to this URI. It is never an argument: SageMaker's step cache compares
    arguments but not outputs.
    """
    config = _read(base() / "config" / "processingjobconfig.json")
    for output in config["ProcessingOutputConfig"]["Outputs"]:
        if output["OutputName"] == name:
            return str(output["S3Output"]["S3Uri"]).rstrip("/")
    raise KeyError(f"processingjobconfig.json declares no output {name!r}")


def training_channel(name: str) -> Path:
    """Local folder of the training channel `name`."""
    return base() / "input" / "data" / name


def model_dir() -> Path:
    """The folder that becomes `model.tar.gz` of a training job, and holds its content in a serving container."""
    return base() / "model"


def output_data_dir() -> Path:
    """The folder that becomes `output.tar.gz` of a training job, next to `model.tar.gz`."""
    return base() / "output" / "data"


def training_job_name() -> str:
    """This training job's name; empty outside a job."""
    return os.environ.get("TRAINING_JOB_NAME", "")


def checkpoint_dir() -> Path:
    """This training job's own folder below the checkpoint path, which SageMaker synchronises with S3."""
    return base() / "checkpoints" / (training_job_name() or "job")


def failure_files() -> list[Path]:
    """The files of a failure reason: `message` of a processing job, `failure` of a training job."""
    return [base() / "output" / "message", base() / "output" / "failure"]
