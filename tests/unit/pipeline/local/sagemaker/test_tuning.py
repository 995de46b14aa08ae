"""Kind: members of a tuning job that are taken and not applied, and counters that do not add up while trials run."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.aws.validation import validate_request, validate_response
from pipeline.local.context import ServiceError
from pipeline.local.sagemaker.tuning import TuningJobs
from tests.unit.pipeline.local.sagemaker.machine import IMAGE, ROLE, Machine

OBJECTIVE = {"Type": "Maximize", "MetricName": "accuracy"}
SINGLE = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 2}
LARGER = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 3}


@pytest.fixture
def tuning(machine: Machine) -> Iterator[TuningJobs]:
    jobs = TuningJobs(machine.services, machine.jobs)
    yield jobs
    jobs.close()


def request_of(machine: Machine, **definition: Any) -> dict[str, Any]:
    return {
        "HyperParameterTuningJobName": "tune",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": OBJECTIVE,
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"IntegerParameterRanges": [{"Name": "rate", "MinValue": "1", "MaxValue": "9"}]},
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+)"}],
            },
            "RoleArn": ROLE,
            "OutputDataConfig": {"S3OutputPath": f"s3://{machine.bucket}/models"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 100},
            **definition,
        },
    }


def finish(tuning: TuningJobs, request: dict[str, Any]) -> dict[str, Any]:
    assert validate_request("sagemaker", "CreateHyperParameterTuningJob", request) == []
    tuning.create(copy.deepcopy(request))
    described = tuning.wait("tune")
    assert validate_response("sagemaker", "DescribeHyperParameterTuningJob", described) == []
    return described


def resources(tuning: TuningJobs, machine: Machine) -> list[dict[str, Any]]:
    """What each trial ran on."""
    trials = tuning.list_training_jobs({"HyperParameterTuningJobName": "tune"})["TrainingJobSummaries"]
    jobs = [machine.jobs.describe({"TrainingJobName": trial["TrainingJobName"]}) for trial in trials]
    return [job["ResourceConfig"] for job in jobs]


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({"ResourceConfig": SINGLE}, SINGLE),
        ({"HyperParameterTuningResourceConfig": SINGLE}, SINGLE),
        (
            {
                "HyperParameterTuningResourceConfig": {
                    **SINGLE,
                    "VolumeKmsKeyId": "key",
                    "AllocationStrategy": "Prioritized",
                }
            },
            {**SINGLE, "VolumeKmsKeyId": "key"},
        ),
        (
            {"HyperParameterTuningResourceConfig": {"InstanceConfigs": [LARGER, SINGLE]}},
            LARGER,
        ),
    ],
)
def test_trials_run_on_the_resources_of_either_configuration(
    machine: Machine, tuning: TuningJobs, given: dict[str, Any], used: dict[str, Any]
) -> None:
    described = finish(tuning, request_of(machine, **given))
    assert resources(tuning, machine) == [used, used]
    (member,) = given
    assert described["TrainingJobDefinition"][member] == given[member]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "either a ResourceConfig or a"),
        ({"ResourceConfig": SINGLE, "HyperParameterTuningResourceConfig": SINGLE}, "either a ResourceConfig or a"),
        (
            {"HyperParameterTuningResourceConfig": {**SINGLE, "InstanceConfigs": [LARGER]}},
            "If you use InstanceConfigs, do not provide values",
        ),
        ({"HyperParameterTuningResourceConfig": {"InstanceType": "ml.m5.large"}}, "has no InstanceCount"),
        ({"HyperParameterTuningResourceConfig": {}}, "has no InstanceType and no InstanceCount"),
        (
            {"HyperParameterTuningResourceConfig": {**SINGLE, "InstanceType": "ml.p4d.24xlarge"}},
            "ml.p4d.24xlarge for training job usage",
        ),
    ],
)
def test_resources_that_no_trial_can_have_are_refused_when_the_job_is_created(
    machine: Machine, tuning: TuningJobs, given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ServiceError, match=problem):
        tuning.create(request_of(machine, **given))


def test_a_description_has_the_members_that_the_sdks_read(machine: Machine, tuning: TuningJobs) -> None:
    described = finish(tuning, request_of(machine, ResourceConfig=SINGLE, StaticHyperParameters={"epochs": "2"}))
    definition = described["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"] == {"epochs": "2", "_tuning_objective_metric": "accuracy"}
    assert definition["OutputDataConfig"]["KmsKeyId"] == ""
    assert definition["EnableNetworkIsolation"] is False
    trials = tuning.list_training_jobs({"HyperParameterTuningJobName": "tune"})["TrainingJobSummaries"]
    job = machine.jobs.describe({"TrainingJobName": trials[0]["TrainingJobName"]})
    assert set(job["HyperParameters"]) == {"epochs", "rate", "_tuning_objective_metric"}


@pytest.mark.parametrize(
    ("trials", "counts"),
    [
        ([], (0, 0, 0)),
        ([("InProgress", None)], (0, 1, 0)),
        ([("InProgress", 0.5)], (0, 1, 0)),
        ([("Completed", 0.5), ("Completed", 0.6), ("InProgress", 0.7), ("InProgress", None)], (2, 2, 0)),
        ([("Completed", None), ("Failed", 0.5), ("Failed", None)], (0, 0, 3)),
        ([("Stopped", 0.5), ("Stopped", None), ("Stopping", 0.5)], (1, 1, 1)),
    ],
)
def test_every_trial_is_in_one_counter_of_its_objective(
    machine: Machine, tuning: TuningJobs, trials: list[tuple[str, float | None]], counts: tuple[int, int, int]
) -> None:
    store = machine.services.context.store
    names = []
    for number, (status, value) in enumerate(trials):
        job = {"TrainingJobName": f"t{number}", "TrainingJobStatus": status, "CreationTime": 1.0}
        if value is not None:
            job["FinalMetricDataList"] = [{"MetricName": "accuracy", "Value": value, "Timestamp": 1.0}]
        store.put("training-job", f"t{number}", job)
        names.append({"name": f"t{number}", "values": {}})
    document = {**request_of(machine, ResourceConfig=SINGLE), "Trials": names}
    store.put("tuning-job", "tune", {**document, "HyperParameterTuningJobStatus": "Completed"})
    described = tuning.describe({"HyperParameterTuningJobName": "tune"})
    assert described["ObjectiveStatusCounters"] == dict(zip(("Succeeded", "Pending", "Failed"), counts, strict=True))
    listed = tuning.list_training_jobs({"HyperParameterTuningJobName": "tune"})["TrainingJobSummaries"]
    assert sorted(trial["ObjectiveStatus"] for trial in listed) == sorted(
        ["Succeeded"] * counts[0] + ["Pending"] * counts[1] + ["Failed"] * counts[2]
    )
