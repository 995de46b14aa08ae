"""How fast a pipeline's own trials were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber

from pipeline.operations.cost import measured, rates
from pipeline.operations.cost.money import Range
from pipeline.operations.dataset import description as dataset
from pipeline.operations.dataset.description import DataSet
from pipeline.operations.models import trials
from pipeline.operations.models.trials import Trial, TuningJob
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.cost.conftest import stubbed
from tests.unit.pipeline.operations.cost.test_billing import training
from tests.unit.pipeline.operations.cost.test_facts import INDEX, split
from tests.unit.pipeline.operations.models.test_curves import TRIAL

JOB = TuningJob("run1", "tune-1", "Completed", "Bayesian", True, "accuracy", True, "", "", ())
# 30,000 photos an epoch: 29,000 to train on, and a third of 3,000.
PHOTOS = INDEX.model_copy(
    update={"splits": {**INDEX.splits, "train": split("train", 29_000), "validation": split("validation", 3_000)}}
)


def trial(number: int, **values: Any) -> Trial:
    return replace(TRIAL, number=number, name=f"trial-{number}", **{"status": "Completed", "epochs": 10, **values})


def measure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, found: list[Trial], answers: list[dict[str, Any]]
) -> measured.Measured:
    """What the trials of the latest run say, of which SageMaker describes those that are asked for."""
    monkeypatch.setattr(trials, "read", lambda settings, reference: replace(JOB, trials=tuple(found)))
    monkeypatch.setattr(dataset, "find", lambda settings, reference: DataSet("s3://b/index", PHOTOS, None))
    monkeypatch.setattr(measured, "client", lambda settings, name: stubbed(name))
    with Stubber(stubbed("sagemaker")) as stubber:
        for answer in answers:
            plain = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
            stubber.add_response("describe_training_job", plain)
        rate = measured.training_rate(settings)
        stubber.assert_no_pending_responses()
    return rate


def described(**hyperparameters: str) -> dict[str, Any]:
    given = {"architecture": "resnet34", "image-size": "224", **hyperparameters}
    answer: dict[str, Any] = training("Completed", 1000, 1000, HyperParameters=given)
    return answer


def test_the_rate_is_photos_and_epochs_by_the_time_of_the_slowest_and_the_fastest_trial(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [trial(1, seconds=1000), trial(2, seconds=1300)]
    rate = measure(settings, monkeypatch, found, [described(), described()])
    # 300,000 photos in 1,300 s, and in 1,000 s without the 300 that a start may take.
    assert rates.STARTUP.value.high == 300
    assert rate.photos_per_second is not None
    assert (round(rate.photos_per_second.low), round(rate.photos_per_second.high)) == (231, 429)
    assert rate.note == "trained at 231 to 429 photos/s by 2 trials of run run1"


def test_a_short_trial_is_taken_to_have_trained_for_half_its_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = measure(settings, monkeypatch, [trial(1, seconds=300)], [described()])
    assert rate.photos_per_second == Range.of(1000, 2000)


@pytest.mark.parametrize(
    "answer",
    [
        described(architecture="resnet50"),
        described(**{"image-size": "112"}),
        {**described(), "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        {**described(), "ResourceConfig": {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1}},
    ],
)
def test_trials_of_other_machines_networks_or_sizes_say_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    rate = measure(settings, monkeypatch, [trial(1, seconds=1000)], [answer])
    assert rate.photos_per_second is None
    assert "no trial of the latest run completed on 1 x ml.g5.2xlarge with this network" in rate.note


def test_trials_that_were_stopped_are_not_asked_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = trial(1, status="Stopped", seconds=100)
    silent = trial(2, epochs=None, seconds=100)
    assert measure(settings, monkeypatch, [stopped, silent], []).photos_per_second is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PipelineError("the pipeline bins has no runs yet; start one"), "the pipeline bins has no runs yet"),
        (NoCredentialsError(), "no AWS credentials were found"),
    ],
)
def test_where_there_is_no_run_the_rate_is_assumed_and_the_reason_given(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def read(settings: Settings, reference: str) -> TuningJob:
        raise error

    monkeypatch.setattr(trials, "read", read)
    assert measured.training_rate(settings) == measured.Measured(None, f"the training rate is assumed: {reason}")
