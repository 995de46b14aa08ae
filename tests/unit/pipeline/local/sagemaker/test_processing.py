"""Kind: an input of a processing job that arrives whole, or as its own list, where a part of it was requested."""

from __future__ import annotations

import venv
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.local import members
from pipeline.local.machine import interpreters
from pipeline.local.sagemaker.processing import ProcessingJobs
from tests.unit.pipeline.local.sagemaker.machine import IMAGE, ROLE, Machine


@pytest.fixture
def processing(machine: Machine) -> Iterator[ProcessingJobs]:
    jobs = ProcessingJobs(machine.services, SimpleNamespace(emit=lambda *_: None))  # type: ignore[arg-type]
    yield jobs
    jobs.close()


def test_the_events_of_a_job_have_its_description_without_its_environment(machine: Machine) -> None:
    events: list[tuple[str, list[str], dict[str, Any]]] = []
    jobs = ProcessingJobs(machine.services, SimpleNamespace(emit=lambda *event: events.append(event)))  # type: ignore[arg-type]
    jobs.create({**request_of(machine, "train/", "S3Prefix"), "Environment": {"SECRET": "x"}})
    jobs.wait("job")
    jobs.close()
    details = [detail for kind, _, detail in events if kind == "SageMaker Processing Job State Change"]
    assert [detail["ProcessingJobStatus"] for detail in details] == ["InProgress", "Completed"]
    assert details[-1]["ProcessingEndTime"] >= details[-1]["CreationTime"] > 10**12
    assert all("Environment" not in detail for detail in details)


def request_of(machine: Machine, uri: str, kind: str, instances: int = 1, **more: str) -> dict[str, Any]:
    source = {"S3Uri": f"s3://{machine.bucket}/{uri}", "S3DataType": kind, "LocalPath": "/opt/ml/processing/input"}
    return {
        "ProcessingJobName": "job",
        "RoleArn": ROLE,
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["/bin/sh", "-c", 'cd "$1" && echo $(cat *)', "sh"],
            "ContainerArguments": ["/opt/ml/processing/input"],
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": instances, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "ProcessingInputs": [{"InputName": "letters", "S3Input": {**source, **more}}],
    }


@pytest.mark.parametrize(
    ("uri", "kind", "more", "printed"),
    [
        ("train", "S3Prefix", {}, ["abcd"]),
        ("train", "S3Prefix", {"S3DataDistributionType": "ShardedByS3Key"}, ["ac", "bd"]),
        ("lists/train.manifest", "ManifestFile", {}, ["bd"]),
        ("lists/train.manifest", "ManifestFile", {"S3DataDistributionType": "FullyReplicated"}, ["bd", "bd"]),
        ("lists/train.manifest", "ManifestFile", {"S3DataDistributionType": "ShardedByS3Key"}, ["d", "b"]),
    ],
)
def test_each_host_reads_what_the_input_says(
    machine: Machine, processing: ProcessingJobs, uri: str, kind: str, more: dict[str, str], printed: list[str]
) -> None:
    request = request_of(machine, uri, kind, len(printed), **more)
    assert members.problems("sagemaker", "CreateProcessingJob", request) == []
    processing.create(request)
    described = processing.wait("job")
    assert described["ProcessingJobStatus"] == "Completed", described.get("FailureReason")
    hosts = [machine.lines(f"algo-{number}") for number in range(1, len(printed) + 1)]
    assert hosts == [[line] for line in printed]


@pytest.mark.parametrize("uri", ["train/a", "none.manifest"])
def test_what_is_no_manifest_fails_the_job(machine: Machine, processing: ProcessingJobs, uri: str) -> None:
    processing.create(request_of(machine, uri, "ManifestFile"))
    assert processing.wait("job")["FailureReason"].startswith("ClientError: ")


# ------------------------------------------------------------------------------------------------ Spark


def publish_spark(machine: Machine, folder: Path) -> str:
    """An image with Spark's container."""
    dockerfile = folder / "containers/spark/Dockerfile"
    dockerfile.parent.mkdir(parents=True)
    dockerfile.write_text('ENTRYPOINT ["python3", "-m", "steps.plan"]\n')
    machine.services.images.publish("bins-spark", "plan-1", folder, [Path("containers/spark/Dockerfile")])
    return "123456789012.dkr.ecr.us-east-1.amazonaws.com/bins-spark:plan-1"


def spark_job(machine: Machine, uri: str) -> dict[str, Any]:
    request = request_of(machine, "train", "S3Prefix")
    program = (
        "import os, sys; print('packages', sys.prefix != sys.base_prefix, only_spark.VALUE, os.environ['IMAGE_ALONE'])"
    )
    entry_point = ["python3", "-c", f"import only_spark; {program}"]
    return {**request, "AppSpecification": {"ImageUri": uri, "ContainerEntrypoint": entry_point}}


def test_a_job_of_an_image_of_spark_fails_with_a_line_where_that_is_not_set_up(
    machine: Machine, processing: ProcessingJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "SPARK", tmp_path / "nowhere")
    processing.create(spark_job(machine, publish_spark(machine, tmp_path / "source")))
    described = processing.wait("job")
    assert (described["ProcessingJobStatus"], described["FailureReason"]) == (
        "Failed",
        "ClientError: this step starts Spark, which is not installed on this machine; run: make setup-spark",
    )


def test_a_job_of_an_image_of_spark_runs_with_the_packages_of_its_set_up(
    machine: Machine, processing: ProcessingJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "venv"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(installed)
    (packages,) = installed.glob("lib/python*/site-packages")
    (packages / "only_spark.py").write_text("VALUE = 42\n")
    (installed / ".installed").touch()
    monkeypatch.setattr(interpreters, "SPARK", installed)
    processing.create(spark_job(machine, publish_spark(machine, tmp_path / "source")))
    described = processing.wait("job")
    assert described["ProcessingJobStatus"] == "Completed", described.get("FailureReason")
    assert machine.lines() == ["packages True 42 1"]
