"""Kind: an input of a processing job that arrives whole, or as its own list, where a part of it was requested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.local import members
from pipeline.local.sagemaker.processing import ProcessingJobs
from tests.unit.pipeline.local.sagemaker.machine import IMAGE, ROLE, Machine


@pytest.fixture
def processing(machine: Machine) -> Iterator[ProcessingJobs]:
    jobs = ProcessingJobs(machine.services)
    yield jobs
    jobs.close()


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
