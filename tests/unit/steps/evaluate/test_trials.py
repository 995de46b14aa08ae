"""The trials of the tuning job in the report."""

import datetime
import json

import pytest
from botocore.exceptions import ClientError

from steps.contracts.errors import StepError
from steps.evaluate import trials
from tests.unit.steps.train.photos import photos

STARTED = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def summary(name, objective, **more):
    metric = {} if objective is None else {"FinalHyperParameterTuningJobObjectiveMetric": {"Value": objective}}
    return {
        "TrainingJobName": name,
        "TrainingJobStatus": "Completed",
        "TrainingStartTime": STARTED,
        "TrainingEndTime": STARTED + datetime.timedelta(minutes=3),
        "TunedHyperParameters": {"learning-rate": "0.0031415926535897"},
        **metric,
        **more,
    }


class Tuning:
    """SageMaker's two operations that trials are read with."""

    def __init__(self, summaries, kind="Maximize"):
        self.summaries, self.kind = summaries, kind

    def describe_hyper_parameter_tuning_job(self, HyperParameterTuningJobName):
        objective = {"Type": self.kind, "MetricName": "validation:best_accuracy"}
        return {
            "HyperParameterTuningJobConfig": {"Strategy": "Bayesian", "HyperParameterTuningJobObjective": objective},
            "BestTrainingJob": {"TrainingJobName": "good"},
        }

    def get_paginator(self, _):
        return self

    def paginate(self, HyperParameterTuningJobName):
        for trial in self.summaries:
            yield {"TrainingJobSummaries": [trial]}


@pytest.fixture
def tuning(monkeypatch):
    def answer(client):
        monkeypatch.setattr("boto3.client", lambda service: client)

    return answer


TRIALS = [summary("poor", 0.2), summary("none", None, TrainingJobStatus="Failed"), summary("good", 0.5)]


def test_the_best_come_first_and_those_without_an_objective_last(tuning):
    tuning(Tuning(TRIALS))
    job = trials.read("job", "")
    assert [trial.name for trial in job.trials] == ["good", "poor", "none"]
    assert job.best == "good"
    assert job.trials[0].seconds == 180
    tuning(Tuning(TRIALS, "Minimize"))
    assert [trial.name for trial in trials.read("job", "").trials] == ["poor", "good", "none"]


def test_the_report_shows_them(tuning, job):
    tuning(Tuning([*TRIALS, *(summary(f"more-{number}", 0.1) for number in range(40))]))
    job.store(photos(3, 100))
    job.put_model()
    evaluation = job.run(tuning_job="job")
    assert evaluation["provenance"]["tuning_job"] == "job"
    assert evaluation["provenance"]["training_job"] == "good"
    report = job.report()
    assert "good (this model)" in report
    assert "0.003142" in report
    assert "18 more trials with a worse objective are not shown" in report


def test_a_tuning_job_that_cannot_be_read_ends_the_step_with_the_rights_it_wants(tuning):
    class Denied(Tuning):
        def describe_hyper_parameter_tuning_job(self, **_):
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Describe")

    tuning(Denied([]))
    with pytest.raises(StepError, match="sagemaker:DescribeHyperParameterTuningJob"):
        trials.read("job", "")


TIED = [summary("poor", 0.2), summary("good", 0.5), summary("same", 0.5, TrainingEndTime=STARTED)]


@pytest.mark.parametrize("kind", ["Maximize", "Minimize"])
def test_of_trials_with_one_objective_the_models_own_is_named(tuning, kind):
    tuning(Tuning(TIED, kind))
    job = trials.read("job", "s3://bucket/models/same/output/model.tar.gz")
    assert (job.best, job.best_ended) == ("same", STARTED)
    names = [trial.name for trial in job.trials]
    assert names.index("same") == names.index("good") - 1


@pytest.mark.parametrize(
    "model",
    ["", "s3://bucket/models/other/output/model.tar.gz", "s3://bucket/same/model.tar.gz", "output/model.tar.gz"],
)
def test_a_model_of_no_trial_leaves_the_best_that_sagemaker_names(tuning, model):
    tuning(Tuning(TIED))
    assert trials.read("job", model).best == "good"


def test_the_provenance_names_the_trial_of_the_models_uri(tuning, job):
    tuning(Tuning(TIED))
    job.store(photos(3, 100))
    job.put_model()
    config = job.base / "config" / "processingjobconfig.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    uri = "s3://bucket/models/same/output/model.tar.gz"
    inputs = [{"InputName": "model", "S3Input": {"S3Uri": uri}}]
    config.write_text(json.dumps({"ProcessingJobName": "evaluate", "ProcessingInputs": inputs}))
    assert job.run(tuning_job="job")["provenance"]["training_job"] == "same"
