"""What a step's job was asked for, by each kind of job, and what is not shown of it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.operations.runs import details
from pipeline.operations.runs.details import NOT_SHOWN, JobDetails
from pipeline.operations.runs.progress import StepRun
from pipeline.settings import Settings
from tests.answers import Answers

pytestmark = pytest.mark.usefixtures("account")
PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"
SIGNED = "https://b.s3.amazonaws.com/k?X-Amz-Signature=s3cret"
START = 1_790_000_000.0
PROCESSING: dict[str, Any] = {
    "ProcessingJobName": "shard-1",
    "ProcessingJobStatus": "Failed",
    "ExitMessage": "no room",
    "ProcessingStartTime": START,
    "ProcessingEndTime": START + 60,
    "RoleArn": "arn:aws:iam::111122223333:role/bins-job",
    "AppSpecification": {
        "ImageUri": "shard:1",
        "ContainerEntrypoint": ["python3", "-m", "steps.shard"],
        "ContainerArguments": ["first", "--seed", "7", "--fast", "--quality=90", "last"],
    },
    "Environment": {"PLAIN": "value", "SIGNED": SIGNED},
    "ProcessingInputs": [
        {"InputName": "labels", "S3Input": {"S3Uri": "s3://b/labels", "LocalPath": "/opt/ml/labels"}},
        {"InputName": "elsewhere"},
    ],
    "ProcessingOutputConfig": {
        "Outputs": [{"OutputName": "index", "S3Output": {"S3Uri": "s3://b/index", "LocalPath": "/opt/ml/index"}}]
    },
    "ProcessingResources": {
        "ClusterConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30}
    },
    "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    "NetworkConfig": {"VpcConfig": {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}},
}
TRAINING: dict[str, Any] = {
    "TrainingJobName": "trial-1",
    "TrainingJobStatus": "Completed",
    "AlgorithmSpecification": {"TrainingImage": "train:1"},
    "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "HyperParameters": {"learning-rate": "0.1"},
    "FinalMetricDataList": [{"MetricName": "validation:rmse", "Value": 1.25}],
    "EnableManagedSpotTraining": True,
    "TrainingTimeInSeconds": 90,
    "BillableTimeInSeconds": 30,
    "SecondaryStatusTransitions": [
        {"Status": "Starting", "StartTime": START, "StatusMessage": "Insufficient capacity"},
        {"Status": "Training", "StartTime": START + 5},
    ],
}
TUNING: dict[str, Any] = {
    "HyperParameterTuningJobName": "tune-1",
    "HyperParameterTuningJobStatus": "InProgress",
    "CreationTime": START,
    "HyperParameterTuningJobConfig": {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:best_accuracy"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "ContinuousParameterRanges": [
                {"Name": "rate", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
            ],
            "IntegerParameterRanges": [{"Name": "size", "MinValue": "8", "MaxValue": "64"}],
            "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["adamw", "sgd"]}],
        },
    },
    "TrainingJobDefinition": {
        "StaticHyperParameters": {"epochs": "30"},
        "HyperParameterTuningResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2},
    },
}


def step(kind: str, arn: str, **more: Any) -> StepRun:
    return StepRun("Step", "Succeeded", metadata={kind: {"Arn": f"{PREFIX}:{arn}", **more}})


def rows(job: JobDetails | None, title: str) -> dict[str, str]:
    assert job is not None
    return dict(next(section.rows for section in job.sections if section.title == title))


@pytest.fixture
def processed(settings: Settings) -> JobDetails | None:
    Answers().say("sagemaker.DescribeProcessingJob", PROCESSING)
    return details.of_step(settings, step("ProcessingJob", "processing-job/shard-1"))


def test_arguments_are_pairs_and_those_without_a_name_stand_alone(processed: JobDetails | None) -> None:
    assert processed is not None
    [arguments] = [section.rows for section in processed.sections if section.title == "Arguments"]
    assert arguments == (("", "first"), ("--seed", "7"), ("--fast", ""), ("--quality", "90"), ("", "last"))


def test_a_processing_job_has_its_places_its_instances_and_its_network(processed: JobDetails | None) -> None:
    assert processed is not None
    assert rows(processed, "Inputs") == {"labels": "s3://b/labels at /opt/ml/labels", "elsewhere": ""}
    assert rows(processed, "Outputs") == {"index": "s3://b/index at /opt/ml/index"}
    assert (processed.instances, processed.hosts, processed.has_ended) == ("2 x ml.c5.xlarge", 2, True)
    job = rows(processed, "Job")
    assert (job["entry point"], job["longest run time"]) == ("python3 -m steps.shard", "600 s")
    assert (job["subnets"], job["security groups"]) == ("subnet-1, subnet-2", "sg-1")


def test_the_message_of_an_exit_is_the_reason_where_aws_has_none(processed: JobDetails | None) -> None:
    assert processed is not None
    assert processed.failure == "no room"


def test_a_signed_address_is_not_shown(processed: JobDetails | None) -> None:
    assert rows(processed, "Environment") == {"PLAIN": "value", "SIGNED": NOT_SHOWN}
    assert details.shown({"a": SIGNED}) == NOT_SHOWN
    assert details.shown({"a": 1}) == '{"a": 1}'


def test_a_trial_has_its_metrics_what_spot_saved_and_its_states(settings: Settings) -> None:
    Answers().say("sagemaker.DescribeTrainingJob", TRAINING)
    tuning = step("TuningJob", "hyper-parameter-tuning-job/tune-1")
    trial = details.of_step(settings, tuning, "trial-1")
    assert trial is not None
    assert rows(trial, "Metrics at the end") == {"validation:rmse": "1.25"}
    assert rows(trial, "Job")["billed per instance"] == "30 s"
    assert [(status, message) for _, status, message in trial.changes] == [
        ("Starting", "Insufficient capacity"),
        ("Training", ""),
    ]
    assert [section.title for section in trial.sections] == ["Hyperparameters", "Metrics at the end", "Job"]


def test_a_tuning_job_has_its_search_and_ranges_with_their_scale(settings: Settings) -> None:
    Answers().say("sagemaker.DescribeHyperParameterTuningJob", TUNING)
    tuning = details.of_step(settings, step("TuningJob", "hyper-parameter-tuning-job/tune-1"))
    assert tuning is not None
    assert rows(tuning, "Search") == {
        "strategy": "Bayesian",
        "objective": "Maximize validation:best_accuracy",
        "trials": "8",
        "at a time": "2",
    }
    assert rows(tuning, "Ranges") == {
        "rate": "0.001 to 0.1, Logarithmic",
        "size": "8 to 64",
        "optimizer": "adamw, sgd",
    }
    assert (tuning.instances, tuning.hosts, tuning.has_ended) == ("2 x ml.g5.xlarge per trial", 2, False)


def test_a_function_has_its_outputs_and_asks_nothing(settings: Settings) -> None:
    answers = Answers()
    deploy = StepRun(
        "DeployModel",
        "Succeeded",
        metadata={
            "Lambda": {
                "Arn": "arn:aws:lambda:us-east-1:111122223333:function:bins-deploy",
                "OutputParameters": [{"Name": "decision", "Value": "started"}],
            }
        },
    )
    function = details.of_step(settings, deploy)
    assert function is not None
    assert (function.kind, function.name, function.hosts) == ("function", "bins-deploy", 0)
    assert rows(function, "Outputs") == {"decision": "started"}
    assert answers.asked.total() == 0


def test_a_step_without_a_job_and_one_whose_job_is_gone_have_no_details(settings: Settings) -> None:
    assert details.of_step(settings, StepRun("QualityGate", "Succeeded", metadata={"Condition": {}})) is None
    Answers().error("sagemaker.DescribeProcessingJob", "ValidationException", "Could not find requested job")
    assert details.of_step(settings, step("ProcessingJob", "processing-job/shard-1")) is None


def test_credentials_that_may_not_look_are_an_error_and_no_missing_job(settings: Settings) -> None:
    from botocore.exceptions import ClientError

    Answers().error("sagemaker.DescribeProcessingJob", "AccessDeniedException", "no")
    with pytest.raises(ClientError, match="AccessDenied"):
        details.of_step(settings, step("ProcessingJob", "processing-job/shard-1"))
