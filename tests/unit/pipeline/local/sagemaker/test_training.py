"""Kind: a member of a training job that is taken, and has no effect on what runs or on what is described."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.local.context import ServiceError
from pipeline.local.sagemaker import hosts
from pipeline.local.sagemaker.training import LOG_GROUP
from tests.unit.pipeline.local.sagemaker.machine import IMAGE, Machine


def algorithm(**more: Any) -> dict[str, Any]:
    return {"TrainingImage": IMAGE, "TrainingInputMode": "File", **more}


def channel(uri: str, kind: str = "S3Prefix", **more: Any) -> dict[str, Any]:
    distribution = {"S3DataDistributionType": more.pop("distribution")} if "distribution" in more else {}
    source = {"S3DataSource": {"S3DataType": kind, "S3Uri": uri, **distribution}}
    return {"ChannelName": "train", "DataSource": source, **more}


@pytest.mark.parametrize(
    ("specification", "printed"),
    [
        ({}, "arguments ['train']"),
        ({"ContainerArguments": ["--rate", "0.1"]}, "arguments ['--rate', '0.1']"),
        ({"ContainerEntrypoint": ["python3", "program.py"]}, "arguments []"),
        ({"ContainerEntrypoint": ["python3", "program.py"], "ContainerArguments": ["a b"]}, "arguments ['a b']"),
        (
            {"ContainerEntrypoint": ["/bin/bash"], "ContainerArguments": ["-c", "echo by hand: $0"]},
            "by hand: /bin/bash",
        ),
    ],
)
def test_the_command_is_that_of_the_request_or_of_the_image(
    machine: Machine, specification: dict[str, Any], printed: str
) -> None:
    described = machine.run(AlgorithmSpecification=algorithm(**specification))
    assert described["TrainingJobStatus"] == "Completed"
    assert machine.lines()[0] == printed
    assert described["AlgorithmSpecification"] == algorithm(**specification)


def test_an_entry_point_reads_the_files_of_its_channels_by_their_paths_in_a_container(machine: Machine) -> None:
    specification = {"ContainerEntrypoint": ["cat"], "ContainerArguments": ["/opt/ml/input/data/train/a"]}
    channels = [channel(f"s3://{machine.bucket}/train")]
    machine.run(AlgorithmSpecification=algorithm(**specification), InputDataConfig=channels)
    assert machine.lines() == ["a"]


def test_an_entry_point_that_fails_fails_the_job(machine: Machine) -> None:
    described = machine.run(AlgorithmSpecification=algorithm(ContainerEntrypoint=["python3", "none.py"]))
    assert described["TrainingJobStatus"] == "Failed"
    assert "exit code: 2" in described["FailureReason"]


@pytest.mark.parametrize(
    ("source", "hosts", "read"),
    [
        ({"uri": "train"}, 1, {"algo-1": ["train/a a", "train/b b", "train/c c", "train/d d"]}),
        (
            {"uri": "train", "distribution": "ShardedByS3Key"},
            2,
            {"algo-1": ["train/a a", "train/c c"], "algo-2": ["train/b b", "train/d d"]},
        ),
        ({"uri": "train", "distribution": "FullyReplicated"}, 2, {"algo-2": [f"train/{n} {n}" for n in "abcd"]}),
        ({"uri": "lists/train.manifest", "kind": "ManifestFile"}, 1, {"algo-1": ["train/b b", "train/d d"]}),
        (
            {"uri": "lists/train.manifest", "kind": "ManifestFile", "distribution": "ShardedByS3Key"},
            2,
            {"algo-1": ["train/d d"], "algo-2": ["train/b b"]},
        ),
        ({"uri": "train", "InputMode": "Pipe"}, 1, {"algo-1": ["train_0 abcd"]}),
        ({"uri": "lists/train.manifest", "kind": "ManifestFile", "InputMode": "Pipe"}, 1, {"algo-1": ["train_0 db"]}),
        (
            {"uri": "train", "InputMode": "Pipe", "distribution": "ShardedByS3Key"},
            2,
            {"algo-1": ["train_0 ac"], "algo-2": ["train_0 bd"]},
        ),
    ],
)
def test_each_host_reads_what_the_channel_says(
    machine: Machine, source: dict[str, Any], hosts: int, read: dict[str, list[str]]
) -> None:
    source = {**source, "uri": f"s3://{machine.bucket}/{source['uri']}"}
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 1}
    described = machine.run(InputDataConfig=[channel(**source)], ResourceConfig=resources)
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    for host, lines in read.items():
        assert [line for line in machine.lines(host) if line.startswith("train")] == lines


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_an_instance_without_an_object_of_its_own_runs_without_data(machine: Machine, mode: str) -> None:
    source = channel(f"s3://{machine.bucket}/train/a", distribution="ShardedByS3Key", InputMode=mode)
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
    described = machine.run(InputDataConfig=[source], ResourceConfig=resources)
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    read = [line.strip() for host in ("algo-1", "algo-2") for line in machine.lines(host) if line.startswith("train")]
    assert read == (["train/a a"] if mode == "File" else ["train_0 a", "train_0"])


def test_the_channels_description_has_what_the_request_says(machine: Machine) -> None:
    more = {"ContentType": "image/jpeg", "InputMode": "Pipe", "RecordWrapperType": "RecordIO"}
    source = channel(f"s3://{machine.bucket}/train", distribution="ShardedByS3Key", **more)
    printed = {
        "ContainerEntrypoint": ["cat"],
        "ContainerArguments": ["/opt/ml/input/config/inputdataconfig.json"],
    }
    machine.run(AlgorithmSpecification=algorithm(**printed), InputDataConfig=[source])
    assert json.loads(machine.lines()[-1]) == {
        "train": {
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "ShardedByS3Key",
            "RecordWrapperType": "RecordIO",
            "ContentType": "image/jpeg",
        }
    }


@pytest.mark.parametrize(
    "more", [{"CompressionType": "Gzip"}, {"RecordWrapperType": "RecordIO", "InputMode": "FastFile"}]
)
def test_members_of_pipe_mode_are_refused_in_the_others(machine: Machine, more: dict[str, str]) -> None:
    with pytest.raises(ServiceError, match="of channel train is supported in Pipe mode only"):
        machine.run(InputDataConfig=[channel(f"s3://{machine.bucket}/train", **more)])


@pytest.mark.parametrize(
    ("uri", "kind", "reason"),
    [
        ("none/", "S3Prefix", "No S3 objects found"),
        ("train/a", "ManifestFile", "Expecting value"),
        ("none.manifest", "ManifestFile", "NoSuchKey"),
    ],
)
@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_a_channel_that_cannot_be_read_fails_the_job(
    machine: Machine, uri: str, kind: str, reason: str, mode: str
) -> None:
    described = machine.run(InputDataConfig=[channel(f"s3://{machine.bucket}/{uri}", kind, InputMode=mode)])
    assert described["TrainingJobStatus"] == "Failed"
    assert reason in described["FailureReason"]


def test_a_description_has_the_members_that_the_sdks_read(machine: Machine) -> None:
    described = machine.run()
    assert described["OutputDataConfig"] == {"KmsKeyId": "", "S3OutputPath": f"s3://{machine.bucket}/models"}
    flags = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")
    assert [described[flag] for flag in flags] == [False, False, False]


def test_metrics_of_the_log_and_of_the_machine_go_to_cloudwatch(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "USAGE_SECONDS", 0.1)
    command = ["-c", "echo loss=0.5; echo loss=0.25; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 1"]
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    specification = algorithm(
        ContainerEntrypoint=["/bin/bash"], ContainerArguments=command, MetricDefinitions=definitions
    )
    machine.run(AlgorithmSpecification=specification)
    assert {namespace for namespace, _, _ in machine.metrics} == {LOG_GROUP}
    losses = [values["loss"] for _, where, values in machine.metrics if where == {"TrainingJobName": "job"}]
    assert losses == [0.5, 0.25]
    used = [values for _, where, values in machine.metrics if where == {"Host": "job/algo-1"}]
    assert {name for values in used for name in values} == {"CPUUtilization", "MemoryUtilization"}
    assert max(values.get("CPUUtilization", 0) for values in used) > 0
    assert all(0 < values["MemoryUtilization"] < 100 for values in used if "MemoryUtilization" in values)
