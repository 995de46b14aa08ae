"""The compiled definition: the same bytes everywhere, and what must be in them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import ROOT
from pipeline.aws.validation import validate_definition
from pipeline.compiling import step_images as images
from pipeline.compiling.source import Source
from pipeline.operations.caching.freshness import VERSIONS
from pipeline.operations.models import registrations
from pipeline.settings import Settings
from pipeline.settings.fields import PROCESSING_GIGABYTES
from pipeline.settings.file import load_settings
from steps.contracts.evaluation import FILE, Evaluation
from steps.evaluate import versions

Definition = dict[str, Any]
# Compiles a profile with every connection refused; argv: folder, profile.
COMPILE_OFFLINE = """
import socket, sys
def refuse(*_): raise AssertionError("compiling opened a connection")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = refuse
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pipeline.definition import compile_definition
from pipeline.settings.file import load_settings
sys.stdout.write(compile_definition(load_settings(Path(sys.argv[1]) / "pipeline.yaml", sys.argv[2])))
"""
# Hyperparameters that the tuner chooses by default.
SEARCHED = {"learning-rate": "0.001", "weight-decay": "0.05"}


def settings_of(profile: str, **groups: dict[str, Any]) -> Settings:
    """A profile of the project, with values of its groups replaced."""
    settings = load_settings(ROOT / "pipeline.yaml", profile)
    if not groups:
        return settings
    values = settings.model_dump()
    for group, changes in groups.items():
        values[group] = {**values[group], **changes}
    return Settings.model_validate(values)


def tag_of(step: str, root: Path = ROOT) -> str:
    return images.tag(step, settings_of("prod"), root)


def compiled(profile: str, source: Source | None = None, **groups: dict[str, Any]) -> Definition:
    from pipeline.definition import compile_definition

    definition: Definition = json.loads(compile_definition(settings_of(profile, **groups), source))
    return definition


@pytest.fixture(scope="module")
def prod() -> Definition:
    return compiled("prod")


@pytest.fixture(scope="module")
def smddp() -> Definition:
    return compiled("prod", training={"backend": "smddp", "instance_type": "ml.p4d.24xlarge", "spot": False})


@pytest.fixture(scope="module")
def compiled_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The prod definition from a copy of the project in another folder, for another user, with no connections."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("pipeline", "steps", "containers"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pipeline.yaml", folder)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "USER": "somebody-else",
        "PYTHONHASHSEED": "7",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "TZ": "Asia/Tokyo",
        # Importing the SDK makes a client, which looks for credentials at the instance's metadata service.
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-c", COMPILE_OFFLINE, str(folder), "prod"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def steps_of(definition: Definition) -> dict[str, Any]:
    """All steps by name, those of the branches too."""

    def walk(steps: list[Any]) -> Iterator[Any]:
        for step in steps:
            yield step
            yield from walk(step["Arguments"].get("IfSteps", []))
            yield from walk(step["Arguments"].get("ElseSteps", []))

    return {step["Name"]: step for step in walk(definition["Steps"])}


def training_of(definition: Definition) -> Any:
    return steps_of(definition)["TuneModel"]["Arguments"]["TrainingJobDefinition"]


def parameters_of(definition: Definition) -> dict[str, Any]:
    return {one["Name"]: one for one in definition["Parameters"]}


def test_another_folder_user_and_hash_seed_give_the_same_bytes_without_a_connection(compiled_elsewhere: str) -> None:
    from pipeline.definition import compile_definition

    assert compiled_elsewhere == compile_definition(settings_of("prod"))


def test_the_definition_names_nothing_of_this_machine(prod: Definition) -> None:
    text = json.dumps(prod)
    assert str(ROOT) not in text
    assert str(Path.home()) not in text


@pytest.mark.parametrize("changed", ["query", "shard", "train", "evaluate", "serve"])
def test_a_change_to_one_step_changes_only_that_steps_image(tmp_path: Path, changed: str) -> None:
    shutil.copytree(ROOT / "steps", tmp_path / "steps", ignore=shutil.ignore_patterns("__pycache__"))
    before = {step: tag_of(step, tmp_path) for step in images.STEPS}
    (tmp_path / "steps" / changed / "another.py").write_text("ANSWER = 42\n")
    after = {step: tag_of(step, tmp_path) for step in images.STEPS}
    assert [step for step in images.STEPS if before[step] != after[step]] == [changed]


def test_compiled_files_do_not_change_an_image(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "steps", tmp_path / "steps", ignore=shutil.ignore_patterns("__pycache__"))
    before = tag_of("query", tmp_path)
    (tmp_path / "steps" / "query" / "__pycache__").mkdir()
    (tmp_path / "steps" / "query" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert tag_of("query", tmp_path) == before


def test_a_moved_project_keeps_its_images(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "steps", tmp_path / "a" / "steps", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert tag_of("train", tmp_path / "a") == tag_of("train", tmp_path / "b")


def test_each_step_runs_in_its_own_image(prod: Definition) -> None:
    steps = steps_of(prod)
    for name, step in {"QueryMetadata": "query", "ShardImages": "shard", "EvaluateModel": "evaluate"}.items():
        uri = steps[name]["Arguments"]["AppSpecification"]["ImageUri"]
        repository = f"111122223333.dkr.ecr.us-east-1.amazonaws.com/bins-{images.STEPS[step]}"
        assert uri == f"{repository}:{tag_of(step)}"
        assert steps[name]["Arguments"]["AppSpecification"]["ContainerEntrypoint"] == ["python3", "-m", f"steps.{step}"]
    assert training_of(prod)["AlgorithmSpecification"]["TrainingImage"].endswith(f"bins-training:{tag_of('train')}")


# ------------------------------------------------------------------------------------------------ plan and exploration

SPARK = {"planner": "spark", "plan_instance_type": "ml.m5.4xlarge", "plan_instance_count": 3}


def image_name(definition: Definition, step: str) -> str:
    """`REPOSITORY:STEP` of a processing job's image."""
    uri = steps_of(definition)[step]["Arguments"]["AppSpecification"]["ImageUri"]
    return str(uri).rpartition("/")[2].rpartition("-")[0]


def inputs_of(definition: Definition, step: str) -> dict[str, Any]:
    inputs = steps_of(definition)[step]["Arguments"]["ProcessingInputs"]
    return {item["InputName"]: item["S3Input"] for item in inputs}


def outputs_of(definition: Definition, step: str) -> dict[str, Any]:
    outputs = steps_of(definition)[step]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    return {item["OutputName"]: item["S3Output"]["S3Uri"] for item in outputs}


def container_arguments(definition: Definition, step: str) -> dict[str, Any]:
    words = steps_of(definition)[step]["Arguments"]["AppSpecification"]["ContainerArguments"]
    return dict(zip(words[::2], words[1::2], strict=True))


def test_by_default_the_shard_step_plans_and_nothing_explores(prod: Definition) -> None:
    assert not {"PlanShards", "ExploreData"} & set(steps_of(prod))
    assert list(inputs_of(prod, "ShardImages")) == ["labels"]
    root = "s3://bins-111122223333/bin-counting"
    lasting = {name: uri for name, uri in outputs_of(prod, "ShardImages").items() if name != "summary"}
    assert lasting == {name: f"{root}/{name}" for name in ("shards", "assignments", "plans", "indexes")}


@pytest.mark.parametrize(
    ("shard", "image", "instances"),
    [
        ({"planner": "local"}, "bins-processing:plan", 1),
        ({"planner": "spark"}, "bins-spark:plan", 1),
        ({"planner": "spark", "plan_instance_count": 4}, "bins-spark:plan", 4),
        ({"plan_instance_count": 2}, "bins-spark:plan", 2),
    ],
)
def test_a_plan_that_is_made_apart_is_the_shard_steps_input(shard: dict[str, Any], image: str, instances: int) -> None:
    definition = compiled("prod", shard=shard)
    assert image_name(definition, "PlanShards") == image
    cluster = steps_of(definition)["PlanShards"]["Arguments"]["ProcessingResources"]["ClusterConfig"]
    assert (cluster["InstanceCount"], cluster["InstanceType"]) == (instances, "ml.c5.4xlarge")
    assert list(outputs_of(definition, "PlanShards")) == ["summary", "assignments", "plans"]
    plan = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.PlanShards.PropertyFiles.Plan"}, "Path": "uri"}}
    assert {name: source["S3Uri"] for name, source in inputs_of(definition, "ShardImages").items()} == {"plan": plan}
    assert list(outputs_of(definition, "ShardImages")) == ["summary", "shards", "indexes"]
    assert image_name(definition, "ShardImages") == "bins-processing:shard"


@pytest.mark.parametrize(
    ("explore", "image"),
    [
        ({}, "bins-processing:explore"),
        ({"engine": "local"}, "bins-processing:explore"),
        ({"engine": "spark"}, "bins-spark:explore"),
        ({"instance_count": 2}, "bins-spark:explore"),
    ],
)
def test_an_exploration_reads_the_metadata_and_no_step_waits_for_it(explore: dict[str, Any], image: str) -> None:
    definition = compiled("prod", explore={"enabled": True, **explore})
    assert image_name(definition, "ExploreData") == image
    assert set(inputs_of(definition, "ExploreData")) == {"metadata", "labels"}
    metadata = "Steps.QueryMetadata.ProcessingOutputConfig.Outputs['metadata'].S3Output.S3Uri"
    assert inputs_of(definition, "ExploreData")["metadata"]["S3Uri"] == {"Get": metadata}
    others = [step for step in definition["Steps"] if step["Name"] != "ExploreData"]
    assert "ExploreData" not in json.dumps(others)
    assert "DependsOn" not in json.dumps(others)


def test_both_jobs_of_the_shards_have_the_same_data_set() -> None:
    definition = compiled("prod", shard={**SPARK, "split": "file", "split_file": "s3://bins/split.csv"})
    plan, shard = container_arguments(definition, "PlanShards"), container_arguments(definition, "ShardImages")
    assert plan.pop("--planner") == "spark"
    assert {name: shard.pop(name) for name in plan} == plan
    assert set(shard) == {"--maximum-rejects", "--maximum-removed"}
    assert plan["--split-file-location"] == "s3://bins/split.csv"


def test_the_plan_step_takes_the_arguments_that_it_is_passed() -> None:
    from steps.plan.settings import Settings as Arguments
    from steps.runtime.arguments import parse

    given = container_arguments(compiled("prod", shard={**SPARK, "common_items": 0.05}), "PlanShards")
    assert given["--image-location"] == {"Get": "Parameters.ImageLocation"}
    given["--image-location"] = "s3://photos"
    parsed = parse(Arguments, [word for pair in given.items() for word in pair])
    assert (parsed.planner, parsed.common_items, parsed.image_size) == ("spark", 0.05, 256)


def test_instances_of_a_cluster_share_the_copies_of_their_input_and_have_the_volume_that_is_asked_for() -> None:
    definition = compiled(
        "prod",
        shard={**SPARK, "plan_volume_gigabytes": 500},
        explore={"enabled": True, "instance_count": 2},
    )
    for step in ("PlanShards", "ExploreData"):
        kinds = {source["S3DataDistributionType"] for source in inputs_of(definition, step).values()}
        assert kinds == {"ShardedByS3Key"}
    volumes = {
        step: steps_of(definition)[step]["Arguments"]["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"]
        for step in ("PlanShards", "ExploreData", "ShardImages")
    }
    assert volumes == {"PlanShards": 500, "ExploreData": 30, "ShardImages": 30}
    one = compiled("prod", shard={"planner": "local"}, explore={"enabled": True})
    for step in ("PlanShards", "ExploreData", "ShardImages"):
        kinds = {source["S3DataDistributionType"] for source in inputs_of(one, step).values()}
        assert kinds == {"FullyReplicated"}


def test_traffic_between_the_instances_of_a_cluster_is_encrypted_and_that_of_one_instance_is_none() -> None:
    several = compiled(
        "prod", network={"encrypt_traffic": True}, shard=SPARK, explore={"enabled": True, "instance_count": 2}
    )
    vpc = {"subnets": ["subnet-01234567"], "security_groups": ["sg-01234567"]}
    one = compiled(
        "prod", network={"encrypt_traffic": True, **vpc}, shard={"planner": "spark"}, explore={"enabled": True}
    )
    for step in ("PlanShards", "ExploreData"):
        network = {"EnableNetworkIsolation": False, "EnableInterContainerTrafficEncryption": True}
        assert steps_of(several)[step]["Arguments"]["NetworkConfig"] == network
        assert "EnableInterContainerTrafficEncryption" not in steps_of(one)[step]["Arguments"]["NetworkConfig"]


def test_a_version_of_the_shards_plans_again_too() -> None:
    environment = steps_of(compiled("prod", shard=SPARK))["PlanShards"]["Arguments"]["Environment"]
    assert environment["SHARD_VERSION"] == {"Get": "Parameters.ShardVersion"}


def test_a_model_names_the_image_that_planned_its_data(prod: Definition) -> None:
    def properties(definition: Definition) -> Any:
        (register,) = [step for name, step in steps_of(definition).items() if name.startswith("RegisterModel")]
        return register["Arguments"]["CustomerMetadataProperties"]

    assert "plan_image" not in properties(prod)
    planned = properties(compiled("prod", shard=SPARK))
    assert "/bins-spark:plan-" in planned["plan_image"]
    assert len(planned) <= 50  # CustomerMetadataMap of botocore's model


def test_only_query_shard_and_tune_are_cached(prod: Definition) -> None:
    cached = {name: step["CacheConfig"] for name, step in steps_of(prod).items() if "CacheConfig" in step}
    assert cached == {
        "QueryMetadata": {"Enabled": True, "ExpireAfter": "PT12H"},
        "ShardImages": {"Enabled": True, "ExpireAfter": "P30D"},
        "TuneModel": {"Enabled": True, "ExpireAfter": "P30D"},
    }


def test_nothing_that_a_step_is_asked_holds_the_run(prod: Definition) -> None:
    """The cache compares arguments, inputs and environment: a run's own id there would make it miss always."""
    for name in ("QueryMetadata", "ShardImages"):
        arguments = steps_of(prod)[name]["Arguments"]
        compared = {key: value for key, value in arguments.items() if key != "ProcessingOutputConfig"}
        assert "Execution." not in json.dumps(compared)


def test_an_inventory_is_an_argument_of_the_query_where_there_is_one(prod: Definition) -> None:
    def arguments(definition: Definition) -> list[str]:
        app = steps_of(definition)["QueryMetadata"]["Arguments"]["AppSpecification"]
        return [str(argument) for argument in app["ContainerArguments"]]

    assert "--inventory" not in arguments(prod)
    place = "s3://lists/daily/aft-vbi-pds/photos"
    with_it = arguments(compiled("prod", data={"inventory": place}))
    assert with_it[with_it.index("--inventory") + 1] == place
    assert sorted({*with_it} - {*arguments(prod)}) == ["--inventory", place]


def test_trials_run_on_spot_and_keep_checkpoints(prod: Definition) -> None:
    training = training_of(prod)
    assert training["EnableManagedSpotTraining"] is True
    assert training["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400, "MaxWaitTimeInSeconds": 172800}
    assert training["CheckpointConfig"]["LocalPath"] == "/opt/ml/checkpoints"
    assert "s3://bins-111122223333/bin-counting" in json.dumps(training["CheckpointConfig"]["S3Uri"])
    assert training["RetryStrategy"] == {"MaximumRetryAttempts": 3}


def test_without_spot_nothing_waits_for_capacity(smddp: Definition) -> None:
    training = training_of(smddp)
    assert not training.get("EnableManagedSpotTraining", False)
    assert training["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}


def test_torchrun_is_asked_for_by_the_toolkits_hyperparameter(prod: Definition) -> None:
    values = training_of(prod)["StaticHyperParameters"]
    assert values["sagemaker_torch_distributed_enabled"] == "true"
    assert values["sagemaker_program"] == "steps/train/__main__.py"
    assert values["sagemaker_submit_directory"] == "/opt/ml/code"
    assert "sagemaker_distributed_dataparallel_enabled" not in values


def test_smddp_is_asked_for_with_the_instance_type_its_launcher_wants(smddp: Definition) -> None:
    values = training_of(smddp)["StaticHyperParameters"]
    assert values["sagemaker_distributed_dataparallel_enabled"] == "true"
    assert values["sagemaker_instance_type"] == {"Get": "Parameters.TrainingInstanceType"}
    assert "sagemaker_torch_distributed_enabled" not in values


def test_trials_log_to_no_tracker_and_profile_nothing_unless_asked(prod: Definition) -> None:
    values = training_of(prod)["StaticHyperParameters"]
    assert values["profile-steps"] == "0"
    assert not [name for name in values if name.startswith("track")]


def test_a_tracker_is_asked_for_by_its_place_and_the_name_of_its_secret() -> None:
    server = "arn:aws:sagemaker:us-east-1:111122223333:mlflow-tracking-server/team"
    mlflow = compiled("prod", tracking={"kind": "mlflow", "mlflow_server": server})
    values = training_of(mlflow)["StaticHyperParameters"]
    asked = {name: value for name, value in values.items() if name.startswith("track")}
    assert asked == {"tracker": "mlflow", "tracking-server": server, "tracking-experiment": "bins"}
    # Not a hyperparameter, which the step cache would compare.
    assert training_of(mlflow)["Environment"]["PIPELINE_EXECUTION_ARN"] == {"Get": "Execution.PipelineExecutionArn"}

    wandb = compiled("prod", tracking={"kind": "wandb", "wandb_secret": "wandb-key", "experiment": "team/bins"})
    values = training_of(wandb)["StaticHyperParameters"]
    asked = {name: value for name, value in values.items() if name.startswith("track")}
    assert asked == {"tracker": "wandb", "tracking-secret": "wandb-key", "tracking-experiment": "team/bins"}
    assert "PIPELINE_EXECUTION_ARN" not in training_of(wandb)["Environment"]


def test_the_trainer_takes_every_hyperparameter_that_it_is_passed(prod: Definition) -> None:
    from steps.train.recipe import read_recipe

    tracked = compiled("prod", tracking={"kind": "wandb", "wandb_secret": "wandb-key"})
    values = training_of(tracked)["StaticHyperParameters"] | {"epochs": "3", "version": "1"} | SEARCHED
    flags = [f"--{name}={value}" for name, value in values.items() if not name.startswith("sagemaker_")]
    assert read_recipe(flags).tracking_experiment == "bins"


def test_a_run_may_choose_among_instance_types_that_suit_the_launcher(prod: Definition, smddp: Definition) -> None:
    gpus = parameters_of(prod)["TrainingInstanceType"]
    assert gpus["DefaultValue"] in gpus["EnumValues"]
    assert "ml.m5.large" not in gpus["EnumValues"]
    supported = ["ml.p3dn.24xlarge", "ml.p4d.24xlarge", "ml.p4de.24xlarge"]
    assert parameters_of(smddp)["TrainingInstanceType"]["EnumValues"] == supported


def test_a_run_may_choose_a_v100_in_an_image_of_ones_own_and_not_in_awss_of_cuda_13(prod: Definition) -> None:
    from pipeline.compiling.context import Parameters

    volta = {"ml.p3.2xlarge", "ml.p3.8xlarge", "ml.p3.16xlarge", "ml.p3dn.24xlarge"}
    assert not volta & set(parameters_of(prod)["TrainingInstanceType"]["EnumValues"])
    own = settings_of("prod", images={"training_base": "own.example/of-cuda-12:1"})
    assert volta <= set(Parameters.of(own).training_instance_type.enum_values or [])


def test_a_run_approves_its_version_only_where_the_settings_let_it(prod: Definition) -> None:
    assert parameters_of(prod)["ApprovalStatus"]["EnumValues"] == ["PendingManualApproval"]
    approving = parameters_of(compiled("prod", registry={"approval": "Approved"}))["ApprovalStatus"]
    assert (approving["DefaultValue"], approving["EnumValues"]) == ("Approved", ["PendingManualApproval", "Approved"])


def test_each_cached_step_has_a_version_in_what_the_cache_compares(prod: Definition) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html."""
    steps = steps_of(prod)
    assert {name for name, step in steps.items() if step.get("CacheConfig", {}).get("Enabled")} == set(VERSIONS)
    compared = {
        "DataVersion": steps["QueryMetadata"]["Arguments"]["AppSpecification"]["ContainerArguments"],
        "ShardVersion": steps["ShardImages"]["Arguments"]["Environment"].values(),
        "TrainingVersion": training_of(prod)["StaticHyperParameters"].values(),
    }
    for name, values in compared.items():
        assert {"Get": f"Parameters.{name}"} in values
        assert parameters_of(prod)[name]["DefaultValue"] == "1"
    assert list(compared) == list(VERSIONS.values())


def test_a_plan_is_fresh_with_the_shards_and_an_exploration_with_the_query() -> None:
    """--fresh sets the parameter that is in the plan's request, and that gives the exploration another input."""
    definition = compiled("prod", shard=SPARK, explore={"enabled": True})
    steps = steps_of(definition)
    cached = {name for name, step in steps.items() if step.get("CacheConfig", {}).get("Enabled")}
    assert cached == {*VERSIONS, "PlanShards", "ExploreData"}
    assert {steps[name]["CacheConfig"]["ExpireAfter"] for name in ("PlanShards", "ExploreData")} == {"P30D"}
    shard_version = {"Get": f"Parameters.{VERSIONS['ShardImages']}"}
    assert steps["PlanShards"]["Arguments"]["Environment"]["SHARD_VERSION"] == shard_version
    # A property of the job, which is another one whenever the query runs.
    assert "Steps.QueryMetadata" in inputs_of(definition, "ExploreData")["metadata"]["S3Uri"]["Get"]


def test_versions_are_settings() -> None:
    found = parameters_of(compiled("prod", shard={"version": "2"}, training={"version": "bigger-photos"}))
    assert (found["ShardVersion"]["DefaultValue"], found["TrainingVersion"]["DefaultValue"]) == ("2", "bigger-photos")


def test_every_parameter_is_used(prod: Definition) -> None:
    text = json.dumps(prod["Steps"])
    unused = [name for name in parameters_of(prod) if f'"Parameters.{name}"' not in text]
    assert unused == []


def test_a_searched_hyperparameter_is_not_set_too(prod: Definition) -> None:
    ranges = steps_of(prod)["TuneModel"]["Arguments"]["HyperParameterTuningJobConfig"]["ParameterRanges"]
    searched = {one["Name"] for kind in ranges.values() for one in kind}
    assert searched == {"learning-rate", "weight-decay"}
    assert not searched & set(training_of(prod)["StaticHyperParameters"])


def test_trials_are_ranked_by_a_metric_that_the_log_is_searched_for(prod: Definition) -> None:
    objective = steps_of(prod)["TuneModel"]["Arguments"]["HyperParameterTuningJobConfig"][
        "HyperParameterTuningJobObjective"
    ]
    assert objective == {"MetricName": "validation:best_accuracy", "Type": "Maximize"}
    metrics = {one["Name"] for one in training_of(prod)["AlgorithmSpecification"]["MetricDefinitions"]}
    assert objective["MetricName"] in metrics


def tuning_of(definition: Definition) -> Any:
    return steps_of(definition)["TuneModel"]["Arguments"]["HyperParameterTuningJobConfig"]


def test_the_search_is_as_the_settings_say(prod: Definition) -> None:
    config = tuning_of(prod)
    assert config["Strategy"] == "Bayesian"
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 12, "MaxParallelTrainingJobs": 3}
    assert config["TrainingJobEarlyStoppingType"] == "Auto"
    assert config["RandomSeed"] == 1
    assert "StrategyConfig" not in config


def test_hyperband_gets_its_bounds_and_no_other_early_stopping() -> None:
    bounds = {"minimum_epochs": 2, "maximum_epochs": 18}
    definition = compiled("prod", tuning={"strategy": "Hyperband", "hyperband": bounds})
    config = tuning_of(definition)
    assert (config["Strategy"], config["TrainingJobEarlyStoppingType"]) == ("Hyperband", "Off")
    assert config["StrategyConfig"] == {"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 18}}
    assert validate_definition(definition) == []


def test_without_a_maximum_hyperband_takes_the_runs_own_epochs() -> None:
    definition = compiled("prod", tuning={"strategy": "Hyperband"})
    assert tuning_of(definition)["StrategyConfig"] == {"HyperbandStrategyConfig": {"MinResource": 3}}
    # The service infers the maximum from this hyperparameter.
    assert training_of(definition)["StaticHyperParameters"]["epochs"] == {
        "Std:Join": {"On": "", "Values": [{"Get": "Parameters.Epochs"}]}
    }


def test_early_stopping_can_be_turned_off() -> None:
    assert tuning_of(compiled("prod", tuning={"early_stopping": False}))["TrainingJobEarlyStoppingType"] == "Off"


def test_trials_ask_for_no_warm_pool_since_a_tuning_job_has_its_own(prod: Definition) -> None:
    assert set(training_of(prod)["ResourceConfig"]) == {"InstanceCount", "InstanceType", "VolumeSizeInGB"}


def test_processing_jobs_have_the_volume_that_an_estimate_counts(prod: Definition) -> None:
    clusters = [
        step["Arguments"]["ProcessingResources"]["ClusterConfig"]
        for step in prod["Steps"]
        if step["Type"] == "Processing"
    ]
    assert {cluster["VolumeSizeInGB"] for cluster in clusters} == {PROCESSING_GIGABYTES}


def test_a_trial_and_its_step_are_retried(prod: Definition) -> None:
    assert training_of(prod)["RetryStrategy"] == {"MaximumRetryAttempts": 3}
    retried = {kind for policy in steps_of(prod)["TuneModel"]["RetryPolicies"] for kind in policy["ExceptionType"]}
    assert retried == {
        "Step.SERVICE_FAULT",
        "Step.THROTTLING",
        "SageMaker.CAPACITY_ERROR",
        "SageMaker.RESOURCE_LIMIT",
    }


def test_the_gate_wants_accuracy_and_rmse_and_no_loss_against_the_champion(prod: Definition) -> None:
    conditions = steps_of(prod)["QualityGate"]["Arguments"]["Conditions"]
    read = [
        (one["Type"], one["LeftValue"]["Std:JsonGet"]["Path"], one["RightValue"]["Get"].removeprefix("Parameters."))
        for one in conditions
    ]
    assert read == [
        ("GreaterThanOrEqualTo", "multiclass_classification_metrics.accuracy.value", "MinimumAccuracy"),
        ("LessThanOrEqualTo", "regression_metrics.rmse.value", "MaximumRmse"),
        ("LessThanOrEqualTo", "gate.accuracy_loss", "MaximumAccuracyLoss"),
        ("GreaterThanOrEqualTo", "gate.sure_accuracy", "MinimumSureAccuracy"),
    ]


def branches_of(condition: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    taken, other = (
        [(step["Name"], step["Type"]) for step in condition["Arguments"][branch]] for branch in ("IfSteps", "ElseSteps")
    )
    return taken, other


def test_a_gate_that_is_not_passed_fails_the_run(prod: Definition) -> None:
    assert branches_of(steps_of(prod)["QualityGate"]) == ([], [("QualityGateFailed", "Fail")])


def test_a_new_version_that_passes_the_gate_is_registered_then_deployed_and_else_nothing_is_done(
    prod: Definition,
) -> None:
    steps = steps_of(prod)
    assert branches_of(steps["NewVersion"]) == ([("RegisterModel", "RegisterModel"), ("DeployModel", "Lambda")], [])
    *gate, new = steps["NewVersion"]["Arguments"]["Conditions"]
    assert gate == steps["QualityGate"]["Arguments"]["Conditions"]
    assert (new["Type"], new["LeftValue"]["Std:JsonGet"]["Path"], new["RightValue"]) == (
        "GreaterThanOrEqualTo",
        "registration.wanted",
        1,
    )


def test_no_condition_stands_in_a_branch_of_another_and_nothing_waits_for_one(prod: Definition) -> None:
    conditions = [step["Name"] for step in prod["Steps"] if step["Type"] == "Condition"]
    assert conditions == [name for name, step in steps_of(prod).items() if step["Type"] == "Condition"]
    for step in steps_of(prod).values():
        assert not set(step.get("DependsOn", [])) & set(conditions)
        assert not [name for name in conditions if f'"Steps.{name}.' in json.dumps(step["Arguments"])]


def arguments_of(step: Any) -> dict[str, Any]:
    flags = step["Arguments"]["AppSpecification"]["ContainerArguments"]
    return dict(zip(flags[::2], flags[1::2], strict=True))


def test_the_evaluation_looks_for_a_version_by_what_a_version_is_registered_with(prod: Definition) -> None:
    steps = steps_of(prod)
    arguments, register = arguments_of(steps["EvaluateModel"]), steps["RegisterModel"]["Arguments"]
    origin = register["CustomerMetadataProperties"]
    assert {name for name in vars(versions.Identity("", "", "", "", "")) if name != "artifact"} <= set(origin)
    assert (origin["evaluation_image"], origin["serving_image"], origin["decision"]) == (
        arguments["--evaluation-image"],
        arguments["--serving-image"],
        arguments["--decision"],
    )
    assert origin["evaluation_image"] == steps["EvaluateModel"]["Arguments"]["AppSpecification"]["ImageUri"]
    (container,) = register["InferenceSpecification"]["Containers"]
    (model,) = [
        one["S3Input"]["S3Uri"]
        for one in steps["EvaluateModel"]["Arguments"]["ProcessingInputs"]
        if one["InputName"] == "model"
    ]
    assert (container["Image"], container["ModelDataUrl"]) == (arguments["--serving-image"], model)
    assert register["ModelPackageGroupName"] == arguments["--group"]


def test_a_run_may_register_the_same_again_as_the_setting_says_or_as_it_is_started(prod: Definition) -> None:
    asked = parameters_of(prod)["RegisterAgain"]
    assert (asked["DefaultValue"], asked["EnumValues"]) == ("no", ["no", "yes"])
    arguments = arguments_of(steps_of(prod)["EvaluateModel"])
    assert arguments["--register-again"] == {"Get": "Parameters.RegisterAgain"}
    assert arguments["--approval"] == {"Get": "Parameters.ApprovalStatus"}
    always = compiled("prod", registry={"register_again": True})
    assert parameters_of(always)["RegisterAgain"]["DefaultValue"] == "yes"


def test_the_evaluation_takes_every_argument_that_it_is_passed(
    prod: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steps.evaluate import __main__ as program

    given = {
        flag: value if isinstance(value, str) else {"--register-again": "yes"}.get(flag, "0.5")
        for flag, value in arguments_of(steps_of(prod)["EvaluateModel"]).items()
    }
    taken: list[Any] = []
    monkeypatch.setattr(program, "run", taken.append)
    monkeypatch.setattr(sys, "argv", ["steps.evaluate", *(part for pair in given.items() for part in pair)])
    program.main()
    assert {f"--{name.replace('_', '-')}": str(value) for name, value in vars(taken[0]).items()} == {
        "--batch-size": "64",
        **given,
    }


def test_the_evaluation_is_left_where_the_commands_look_for_it(prod: Definition) -> None:
    (output,) = steps_of(prod)["EvaluateModel"]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    place = output["S3Output"]["S3Uri"]["Std:Join"]
    values = ["run1" if value == {"Get": "Execution.PipelineExecutionId"} else value for value in place["Values"]]
    assert registrations.evaluation_uri(settings_of("prod"), "run1") == f"{place['On'].join(values)}/{FILE}"


def test_every_value_that_is_read_from_the_evaluation_is_in_it(prod: Definition) -> None:
    schema = Evaluation.model_json_schema()

    def known(node: dict[str, Any], path: list[str]) -> bool:
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return not path or (path[0] in node.get("properties", {}) and known(node["properties"][path[0]], path[1:]))

    paths = re.findall(
        r'"Path": "([^"]+)", "PropertyFile": {"Get": "Steps.EvaluateModel.PropertyFiles.Evaluation"}',
        json.dumps(prod, sort_keys=True),
    )
    assert len(set(paths)) > 8
    assert [path for path in paths if not known(schema, path.split("."))] == []


def test_the_registered_version_carries_its_evidence(prod: Definition) -> None:
    arguments = steps_of(prod)["RegisterModel"]["Arguments"]
    statistics = arguments["ModelMetrics"]["ModelQuality"]["Statistics"]
    # The SDK writes empty members for reports that no step makes.
    quality = {"ModelQuality": {"Statistics": statistics}}
    assert arguments["ModelMetrics"] == {**quality, "Bias": {}, "Explainability": {}}
    assert statistics["ContentType"] == "application/json"
    assert statistics["S3Uri"]["Std:Join"]["Values"][-2:] == ["evaluation", "evaluation.json"]
    assert arguments["DriftCheckBaselines"]["ModelQuality"]["Statistics"] == statistics
    assert arguments["ModelCard"] == {
        "ModelCardContent": {
            "Std:JsonGet": {
                "PropertyFile": {"Get": "Steps.EvaluateModel.PropertyFiles.ModelCard"},
                "Path": "content",
            }
        },
        "ModelCardStatus": "PendingReview",
    }
    assert arguments["InferenceSpecification"]["SupportedContentTypes"] == ["image/jpeg", "application/json"]


def test_the_registered_version_carries_its_origin(prod: Definition) -> None:
    origin = steps_of(prod)["RegisterModel"]["Arguments"]["CustomerMetadataProperties"]
    assert origin["pipeline_execution_arn"] == {"Get": "Execution.PipelineExecutionArn"}
    assert {f"parameter_{one['Name']}" for one in prod["Parameters"]} <= set(origin)
    assert origin["shard_image"].endswith(f":{tag_of('shard')}")
    # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
    assert len(origin) <= 50


def test_the_registered_version_names_its_commit(prod: Definition) -> None:
    found = compiled("prod", Source("0123abcd", "https://example.com/owner/name"))
    generated_by = {"Get": "Execution.PipelineExecutionArn"}
    assert steps_of(found)["RegisterModel"]["Arguments"]["MetadataProperties"] == {
        "CommitId": "0123abcd",
        "Repository": "https://example.com/owner/name",
        "GeneratedBy": generated_by,
    }
    assert steps_of(prod)["RegisterModel"]["Arguments"]["MetadataProperties"] == {"GeneratedBy": generated_by}


@pytest.mark.parametrize(("setting", "mode"), [("fastfile", "FastFile"), ("file", "File")])
def test_shards_may_come_through_a_channel(setting: str, mode: str) -> None:
    definition = compiled("prod", training={"input": setting})
    job = steps_of(definition)["TuneModel"]["Arguments"]["TrainingJobDefinition"]
    channel = {channel["ChannelName"]: channel for channel in job["InputDataConfig"]}["shards"]
    assert channel["InputMode"] == mode
    source = channel["DataSource"]["S3DataSource"]
    if setting == "fastfile":
        assert source["S3DataType"] == "S3Prefix"
        assert source["S3Uri"] == {"Get": "Steps.ShardImages.ProcessingOutputConfig.Outputs['shards'].S3Output.S3Uri"}
    else:  # the prefix has the shards of all data sets, which would be copied to every instance of every trial
        assert source["S3DataType"] == "ManifestFile"
        assert source["S3Uri"] == {
            "Std:JsonGet": {"PropertyFile": {"Get": "Steps.ShardImages.PropertyFiles.Index"}, "Path": "manifest"}
        }
    (output,) = [
        output["S3Output"]["S3Uri"]
        for output in steps_of(definition)["ShardImages"]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
        if output["OutputName"] == "shards"
    ]
    assert job["StaticHyperParameters"]["shards-location"] == output


def test_shards_stream_without_a_channel(prod: Definition) -> None:
    job = steps_of(prod)["TuneModel"]["Arguments"]["TrainingJobDefinition"]
    assert [channel["ChannelName"] for channel in job["InputDataConfig"]] == ["index"]
    assert "shards-location" not in job["StaticHyperParameters"]


def test_every_hyperparameter_is_one_that_the_training_step_takes() -> None:
    from steps.train.recipe import read_recipe

    definition = compiled(
        "prod",
        training={"input": "fastfile", "weights": "s3://a-bucket/resnet34.pth", "profile_steps": 5},
        tracking={"kind": "wandb", "wandb_secret": "wandb-key"},
    )
    job = steps_of(definition)["TuneModel"]["Arguments"]["TrainingJobDefinition"]
    given = {name: value for name, value in job["StaticHyperParameters"].items() if not name.startswith("sagemaker_")}
    given |= SEARCHED
    flags = [part for name, value in given.items() for part in (f"--{name}", "7" if isinstance(value, dict) else value)]
    recipe = read_recipe(flags)
    assert (recipe.weights, recipe.epochs, recipe.sync_batch_norm) == ("s3://a-bucket/resnet34.pth", 7, False)
