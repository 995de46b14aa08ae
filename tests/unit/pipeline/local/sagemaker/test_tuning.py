"""Kind: members of a tuning job that are taken and not applied, and counters that do not add up while trials run."""

from __future__ import annotations

import copy
import json
import textwrap
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.aws.validation import validate_request, validate_response
from pipeline.local.context import ServiceError
from pipeline.local.sagemaker import completion
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
    document = {**request_of(machine, ResourceConfig=SINGLE), "Trials": names, "CreationTime": 1.0}
    store.put("tuning-job", "tune", {**document, "HyperParameterTuningJobStatus": "Completed"})
    described = tuning.describe({"HyperParameterTuningJobName": "tune"})
    assert described["ObjectiveStatusCounters"] == dict(zip(("Succeeded", "Pending", "Failed"), counts, strict=True))
    listed = tuning.list_training_jobs({"HyperParameterTuningJobName": "tune"})["TrainingJobSummaries"]
    assert sorted(trial["ObjectiveStatus"] for trial in listed) == sorted(
        ["Succeeded"] * counts[0] + ["Pending"] * counts[1] + ["Failed"] * counts[2]
    )


# Prints the objective by the number of the trial, or waits for its end.
# Two trials that start together must not take the same number, so they number themselves behind a lock.
TRIAL = """
    import fcntl, json, os, time
    with open(os.environ["TRIALS"], "r+") as trials:
        fcntl.flock(trials, fcntl.LOCK_EX)
        number = len(trials.readlines())
        print(number, file=trials)
    values = json.loads(os.environ["VALUES"])
    if number >= len(values):
        time.sleep(600)
    print(f"accuracy={values[number]}", flush=True)
"""


def series(machine: Machine, values: list[float], trials: int = 9, parallel: int = 1, **config: Any) -> dict[str, Any]:
    """A job whose trials report these values, one after another."""
    (machine.images / "train/1/program.py").write_text(textwrap.dedent(TRIAL))
    record = machine.images.parent / "trials"
    record.write_text("")
    environment = {"VALUES": json.dumps(values), "TRIALS": str(record)}
    request = request_of(machine, ResourceConfig=SINGLE, Environment=environment)
    limits = {"MaxNumberOfTrainingJobs": trials, "MaxParallelTrainingJobs": parallel}
    request["HyperParameterTuningJobConfig"] |= {"ResourceLimits": {**limits, **config.pop("limits", {})}, **config}
    return request


@pytest.mark.parametrize(
    ("values", "criteria", "ran"),
    [
        ([0.5, 0.7, 0.9, 0.95], {"TargetObjectiveMetricValue": 0.9}, 3),
        ([0.9, 0.5], {"TargetObjectiveMetricValue": 0.95}, 2),
        (
            [0.5, 0.9, 0.9, 0.905, 0.8, 0.99],
            {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}},
            5,
        ),
        ([0.5, 0.6], {"ConvergenceDetected": {"CompleteOnConvergence": "Disabled"}}, 2),
    ],
)
def test_a_job_ends_by_its_criteria(
    machine: Machine, tuning: TuningJobs, values: list[float], criteria: dict[str, Any], ran: int
) -> None:
    described = finish(tuning, series(machine, values, len(values), TuningJobCompletionCriteria=criteria))
    assert described["HyperParameterTuningJobStatus"] == "Completed", described.get("FailureReason")
    assert described["TrainingJobStatusCounters"]["Completed"] == ran
    assert described["ObjectiveStatusCounters"]["Succeeded"] == ran


def test_trials_that_run_at_the_end_of_the_job_are_stopped(machine: Machine, tuning: TuningJobs) -> None:
    request = series(machine, [0.9], 9, 2, TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 0.9})
    described = finish(tuning, request)
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    counters = described["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["InProgress"]) == (1, 0)
    assert described["ConsumedResources"]["RuntimeInSeconds"] >= 0


def test_a_job_ends_when_its_time_is_over(
    machine: Machine, tuning: TuningJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = series(machine, [0.9], limits={"MaxRuntimeInSeconds": 120})
    record = machine.images.parent / "trials"
    # The time passes when the second trial has begun, which does not end by itself.
    clock = SimpleNamespace(monotonic=lambda: 200.0 if len(record.read_text().splitlines()) == 2 else 0.0)
    monkeypatch.setattr(completion, "time", clock)
    described = finish(tuning, request)
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == pytest.approx(0.9)
    counters = described["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["InProgress"], sum(counters.values())) == (1, 0, 2)


def test_a_trial_that_is_created_at_the_end_of_the_job_is_stopped_too(
    machine: Machine, tuning: TuningJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, create, stop = threading.Event(), machine.jobs.create_trial, tuning._stop_trials

    def create_late(*arguments: Any) -> None:
        assert stopped.wait(60)
        create(*arguments)

    def stop_all(name: str) -> None:
        stop(name)
        stopped.set()

    monkeypatch.setattr(machine.jobs, "create_trial", create_late)
    monkeypatch.setattr(tuning, "_stop_trials", stop_all)
    monkeypatch.setattr(completion.Completion, "reason", lambda *_: "MaxRuntimeInSeconds is over")
    request = series(machine, [0.9], trials=1, limits={"MaxRuntimeInSeconds": 120})
    tuning.create(request)
    counters = tuning.wait("tune")["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["Stopped"]) == (0, 1)


@pytest.mark.parametrize(
    ("values", "maximize", "count"),
    [
        ([], True, 0),
        ([0.5], True, 0),
        ([0.5, 0.504], True, 1),
        ([0.5, 0.504, 0.506], True, 0),
        ([0.5, 0.4, 0.3], True, 2),
        ([0.5, 0.4, 0.3], False, 0),
        ([0.0, 0.0, 0.0], True, 2),
        ([-1.0, -0.995, -0.98], True, 0),
    ],
)
def test_what_is_not_an_improvement_of_one_percent_is_counted(values: list[float], maximize: bool, count: int) -> None:
    assert completion.not_improving(values, maximize=maximize) == count
