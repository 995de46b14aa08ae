import copy

import pytest

from pipeline.local.sagemaker.execution import cache_key, find_cached

ARGUMENTS = {
    "AppSpecification": {"ImageUri": "image:1", "ContainerArguments": ["--a", "1"]},
    "Environment": {"A": "1"},
    "ProcessingInputs": [{"InputName": "labels", "S3Input": {"S3Uri": "s3://b/labels"}}],
    "ProcessingOutputConfig": {"Outputs": [{"OutputName": "x", "S3Output": {"S3Uri": "s3://b/run-1"}}]},
    "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1}},
}
STEP = {"Name": "Shard", "Type": "Processing", "CacheConfig": {"Enabled": True, "ExpireAfter": "PT12H"}}


def changed(path, value):
    arguments = copy.deepcopy(ARGUMENTS)
    target = arguments
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return arguments


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("AppSpecification", "ImageUri"), "image:2"),
        (("AppSpecification", "ContainerArguments"), ["--a", "2"]),
        (("Environment", "A"), "2"),
        (("ProcessingInputs", 0, "S3Input", "S3Uri"), "s3://b/other"),
    ],
)
def test_image_arguments_environment_and_inputs_count(path, value):
    assert cache_key("Processing", changed(path, value)) != cache_key("Processing", ARGUMENTS)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("ProcessingOutputConfig", "Outputs", 0, "S3Output", "S3Uri"), "s3://b/run-2"),
        (("ProcessingResources", "ClusterConfig", "InstanceCount"), 4),
        (("ProcessingResources", "ClusterConfig", "VolumeKmsKeyId"), "key"),
        (("ProcessingOutputConfig", "KmsKeyId"), "key"),
        (("NetworkConfig",), {"EnableNetworkIsolation": False}),
    ],
)
def test_outputs_instances_networks_and_keys_do_not_count(path, value):
    assert cache_key("Processing", changed(path, value)) == cache_key("Processing", ARGUMENTS)


def test_of_a_tuning_step_ranges_and_static_hyperparameters_count_and_outputs_do_not():
    arguments = {
        "HyperParameterTuningJobConfig": {"ParameterRanges": {"a": 1}},
        "TrainingJobDefinition": {"StaticHyperParameters": {"epochs": "3"}, "OutputDataConfig": {"S3OutputPath": "x"}},
    }
    other_epochs = {**arguments, "TrainingJobDefinition": {"StaticHyperParameters": {"epochs": "4"}}}
    other_ranges = {**arguments, "HyperParameterTuningJobConfig": {"ParameterRanges": {"a": 2}}}
    other_output = copy.deepcopy(arguments)
    other_output["TrainingJobDefinition"]["OutputDataConfig"]["S3OutputPath"] = "y"
    other_output["TrainingJobDefinition"]["EnableNetworkIsolation"] = True
    key = cache_key("Tuning", arguments)
    assert key not in (cache_key("Tuning", other_epochs), cache_key("Tuning", other_ranges))
    assert key == cache_key("Tuning", other_output)


def test_a_condition_has_no_cache():
    assert cache_key("Condition", {"Conditions": []}) is None


def execution(name, key="k", status="Succeeded", end=1000.0, **more):
    return {"name": name, "Steps": {"Shard": {"StepStatus": status, "CacheKey": key, "EndTime": end, **more}}}


def test_the_newest_run_with_the_same_key_is_used():
    executions = [execution("old"), execution("new"), execution("other", key="x"), execution("bad", status="Failed")]
    assert find_cached(executions, STEP, "k", at=2000.0)["name"] == "new"


def test_a_run_that_is_too_old_is_not_used():
    assert find_cached([execution("old")], STEP, "k", at=1000.0 + 12 * 3600)["name"] == "old"
    assert find_cached([execution("old")], STEP, "k", at=1001.0 + 12 * 3600) is None


def test_a_cached_result_is_not_passed_on_beyond_its_time():
    hit = execution("hit", CacheHitResult={"SourcePipelineExecutionArn": "arn"})
    assert find_cached([hit], STEP, "k", at=1000.0) is None


def test_a_copied_result_is_no_source():
    copied = execution("copied", SelectiveExecutionResult={"SourcePipelineExecutionArn": "arn"})
    assert find_cached([copied], STEP, "k", at=1000.0) is None
    assert find_cached([execution("old"), copied], STEP, "k", at=1000.0)["name"] == "old"


def test_a_step_without_a_cache_runs_again():
    assert find_cached([execution("old")], {"Name": "Shard", "Type": "Processing"}, "k", at=1000.0) is None
