"""The golden files: what each profile and variant compiles to, and in words what must be in it."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.aws import instances
from pipeline.aws.validation import validate_definition
from pipeline.aws.validation.definition import all_steps
from pipeline.aws.validation.steps import REQUESTS
from pipeline.compiling import step_images as images
from tests import golden

Definition = dict[str, Any]
DISTRIBUTED = "sagemaker_torch_distributed_enabled"
SMDDP = "sagemaker_distributed_dataparallel_enabled"
NETWORK = ("VpcConfig", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption")
PROCESSING = ("QueryMetadata", "ShardImages", "EvaluateModel")
VPC = {
    "SecurityGroupIds": ["sg-0123456789abcdef0"],
    "Subnets": ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"],
}


@functools.cache
def compiled(name: str) -> Definition:
    """Once for all tests; none changes it."""
    return golden.compiled(name)


def step(name: str, called: str) -> Any:
    (found,) = [one for one in compiled(name)["Steps"] if one["Name"] == called]
    return found["Arguments"]


def trial(name: str) -> Any:
    return step(name, "TuneModel")["TrainingJobDefinition"]


def instance_types(name: str) -> tuple[str, list[str]]:
    """The default and the choices of a run."""
    (found,) = [one for one in compiled(name)["Parameters"] if one["Name"] == "TrainingInstanceType"]
    return found["DefaultValue"], found["EnumValues"]


def default(name: str, parameter: str) -> Any:
    return next(one["DefaultValue"] for one in compiled(name)["Parameters"] if one["Name"] == parameter)


def keys_of(value: Any) -> Iterator[tuple[str, Any]]:
    """All members, however deep."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(value, dict):
            yield key, item
        yield from keys_of(item)


@pytest.mark.parametrize("name", golden.NAMES)
def test_a_definition_is_the_one_that_was_reviewed(name: str) -> None:
    file = golden.path(name)
    before = file.read_text() if file.exists() else ""
    now = golden.reviewed(compiled(name))
    changes = difflib.unified_diff(before.splitlines(), now.splitlines(), "reviewed", "compiled", lineterm="", n=2)
    shown = "\n".join(list(changes)[:40])
    assert before == now, f"{file.name} is not what compiles now; if that is meant: {golden.REWRITE}\n{shown}"


def test_no_golden_file_is_left_over() -> None:
    assert {file.stem for file in golden.FOLDER.glob("*.json")} == set(golden.NAMES), f"run {golden.REWRITE}"


@pytest.mark.parametrize("name", golden.NAMES)
def test_the_service_would_take_every_request(name: str) -> None:
    assert validate_definition(compiled(name)) == []


def test_a_change_of_source_changes_no_golden_file_and_a_change_of_step_does() -> None:
    text = golden.path("prod").read_text()
    train, serve = (images.tag(step, golden.settings("prod")) for step in ("train", "serve"))
    assert train not in text
    for tagged in ("query", "shard", "train", "evaluate", "serve"):
        assert f":{tagged}-<hash>" in text
    other = json.dumps(compiled("prod")).replace(train, "train-0123456789abcdef")
    assert golden.reviewed(json.loads(other)) == golden.reviewed(compiled("prod"))
    moved = json.dumps(compiled("prod")).replace(train, serve)
    assert golden.reviewed(json.loads(moved)) != golden.reviewed(compiled("prod"))


def test_every_job_of_a_definition_has_the_tags_of_the_settings() -> None:
    """All creations of a step's but CreateModelPackage, which has the tags of its group."""
    created = {
        one["Name"]: one["Arguments"].get("Tags")
        for one in all_steps(compiled("secure-cpu")["Steps"])
        if one["Type"] in REQUESTS
    }
    tags = [{"Key": "team", "Value": "vision"}]
    assert created == {**dict.fromkeys((*PROCESSING, "TuneModel"), tags), "RegisterModel": None}
    assert not any(key == "Tags" for key, _ in keys_of(compiled("secure-gpu")))


# ------------------------------------------------------------------------------------------------ launchers


def test_smddp_is_started_by_its_own_launcher_on_the_three_types_that_carry_it() -> None:
    values = trial("smddp-p4d")["StaticHyperParameters"]
    assert (values[SMDDP], values["backend"]) == ("true", "smddp")
    assert values["sagemaker_instance_type"] == {"Get": "Parameters.TrainingInstanceType"}
    assert DISTRIBUTED not in values
    chosen, choices = instance_types("smddp-p4d")
    assert chosen == "ml.p4d.24xlarge"
    assert choices == ["ml.p3dn.24xlarge", "ml.p4d.24xlarge", "ml.p4de.24xlarge"]
    # The toolkit's launcher starts eight processes a host whatever the host has.
    assert {instances.gpus(one) for one in choices} == {8}


@pytest.mark.parametrize(
    ("name", "instance_type", "count", "gpus"),
    [("nccl-g5", "ml.g5.12xlarge", 2, 4), ("nccl-g4dn", "ml.g4dn.xlarge", 1, 1)],
)
def test_nccl_is_started_by_torchrun_on_any_type_with_gpus(
    name: str, instance_type: str, count: int, gpus: int
) -> None:
    values = trial(name)["StaticHyperParameters"]
    assert (values[DISTRIBUTED], values["backend"]) == ("true", "nccl")
    assert not {SMDDP, "sagemaker_instance_type"} & set(values)
    chosen, choices = instance_types(name)
    assert (chosen, default(name, "TrainingInstanceCount")) == (instance_type, count)
    # torchrun starts a process a GPU.
    assert instances.gpus(instance_type) == gpus
    assert all(instances.gpus(one) for one in choices)
    assert {"ml.g4dn.xlarge", "ml.g5.12xlarge", "ml.p4d.24xlarge"} <= set(choices)


def test_gloo_is_started_by_torchrun_on_cpus() -> None:
    values = trial("gloo-c5")["StaticHyperParameters"]
    assert (values[DISTRIBUTED], values["backend"]) == ("true", "gloo")
    assert SMDDP not in values
    chosen, choices = instance_types("gloo-c5")
    assert (chosen, default("gloo-c5", "TrainingInstanceCount")) == ("ml.c5.4xlarge", 2)
    assert {"ml.m5.xlarge", "ml.c5.4xlarge"} <= set(choices)
    assert not any(instances.gpus(one) for one in choices)


@pytest.mark.parametrize("name", golden.PROFILES)
def test_the_profiles_leave_the_backend_to_the_hardware(name: str) -> None:
    values = trial(name)["StaticHyperParameters"]
    assert (values[DISTRIBUTED], values["backend"]) == ("true", "auto")
    chosen, choices = instance_types(name)
    assert {bool(instances.gpus(one)) for one in choices} == {bool(instances.gpus(chosen))}


def test_hyperband_stops_trials_by_itself() -> None:
    config = step("hyperband", "TuneModel")["HyperParameterTuningJobConfig"]
    assert (config["Strategy"], config["TrainingJobEarlyStoppingType"]) == ("Hyperband", "Off")
    assert config["StrategyConfig"] == {"HyperbandStrategyConfig": {"MinResource": 3}}


# ------------------------------------------------------------------------------------------------ network and keys


@pytest.mark.parametrize("name", ["secure-gpu", "secure-cpu"])
def test_trials_get_what_the_sdks_tuner_drops(name: str) -> None:
    job = trial(name)
    assert {key: job[key] for key in NETWORK} == {
        "VpcConfig": VPC,
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
    }
    assert job["OutputDataConfig"]["KmsKeyId"] == golden.KEY


@pytest.mark.parametrize("name", ["secure-gpu", "secure-cpu"])
def test_isolated_trials_read_shards_through_a_channel(name: str) -> None:
    channels = {one["ChannelName"]: one.get("InputMode") for one in trial(name)["InputDataConfig"]}
    assert channels == {"index": None, "shards": "FastFile"}
    assert "shards-location" in trial(name)["StaticHyperParameters"]


def test_a_run_may_take_only_types_that_agree_on_the_volumes_key() -> None:
    _, gpus = instance_types("secure-gpu")
    assert all(map(instances.has_own_disks, gpus))
    assert "VolumeKmsKeyId" not in trial("secure-gpu")["ResourceConfig"]
    _, cpus = instance_types("secure-cpu")
    assert not any(map(instances.has_own_disks, cpus))
    assert trial("secure-cpu")["ResourceConfig"]["VolumeKmsKeyId"] == golden.KEY


@pytest.mark.parametrize("called", PROCESSING)
def test_processing_jobs_run_in_the_vpc_with_a_network_of_their_own(called: str) -> None:
    job = step("secure-gpu", called)
    # They call Athena, SageMaker and S3, so they are not isolated; only shards are made by several instances.
    encrypted = {"EnableInterContainerTrafficEncryption": True} if called == "ShardImages" else {}
    assert job["NetworkConfig"] == {"VpcConfig": VPC, "EnableNetworkIsolation": False, **encrypted}
    assert job["ProcessingOutputConfig"]["KmsKeyId"] == golden.KEY
    assert job["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == golden.KEY


@pytest.mark.parametrize("name", [name for name in golden.NAMES if not name.startswith("secure")])
def test_nothing_of_it_is_asked_for_where_nothing_is_set(name: str) -> None:
    found = {key for key, _ in keys_of(compiled(name))}
    assert not found & {*NETWORK, "NetworkConfig", "VolumeKmsKeyId", "KmsKeyId"}
