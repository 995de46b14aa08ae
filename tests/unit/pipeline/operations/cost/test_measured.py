"""What the latest run shows: the number of photos, and how fast its trials trained."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber

from pipeline.operations.cost import measured, rates
from pipeline.operations.cost.measured import Photos
from pipeline.operations.cost.money import Range
from pipeline.operations.dataset import description as dataset
from pipeline.operations.dataset.description import DataSet
from pipeline.operations.models import trials
from pipeline.operations.models.trials import Trial, TuningJob
from pipeline.settings import Settings
from steps.contracts.dataset import DatasetIndex, Shard, Sharding, Split
from steps.contracts.errors import PipelineError
from steps.contracts.shard_summary import Leakage, Overlap, ShardSummary
from steps.contracts.shard_summary import Photos as ShardedPhotos
from tests.unit.pipeline.operations.cost.conftest import stubbed, training
from tests.unit.pipeline.operations.models.test_curves import TRIAL

SHARDING = Sharding(
    split="grouped",
    seed=1,
    fractions={"train": 0.8, "validation": 0.1, "test": 0.1},
    image_size=256,
    quality=90,
)


def split(name: str, samples: int) -> Split:
    shard = Shard(
        uri=f"s3://b/{name}.tar", samples=samples, bytes=2**29, sha256=hashlib.sha256(name.encode()).hexdigest()
    )
    return Split(shards=[shard], class_counts={1: samples})


INDEX = DatasetIndex(
    sharding=SHARDING,
    splits={"train": split("train", 70), "validation": split("validation", 20), "test": split("test", 10)},
)
OVERLAP = Overlap(photos=30, same_bin=0, same_item=0)
SUMMARY = ShardSummary(
    index="s3://b/latest",
    dataset_sha256=INDEX.sha256,
    photos=ShardedPhotos(reused=0, written=100, excluded=0),
    rejects={"not a JPEG": ["1", "2"]},
    leakage=Leakage(split=OVERLAP, random=OVERLAP),
    kept=0,
    assignments="s3://b/assignments",
)
JOB = TuningJob("run1", "tune-1", "Completed", "Bayesian", True, "accuracy", True, "", "", ())
# 30,000 photos per epoch: 29,000 to train on, and a third of 3,000.
PHOTOS = INDEX.model_copy(
    update={"splits": {**INDEX.splits, "train": split("train", 29_000), "validation": split("validation", 3_000)}}
)


def test_the_latest_runs_data_set_is_counted_with_what_it_left_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "find", lambda settings, reference: DataSet(f"s3://b/{reference}", INDEX, SUMMARY))
    photos = measured.photos(settings, None, None)
    assert (photos.total, photos.train, photos.validation, photos.test) == (102, 70, 20, 10)
    assert photos.origin == "the latest run's data set, s3://b/latest"


def test_a_number_as_given_counts_and_the_account_is_not_asked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(dataset, "find")
    photos = measured.photos(settings, 1000, Decimal(2000))
    assert photos == Photos(1000, 800, 100, 100, Decimal(2000), "as given by --photos")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PipelineError("the pipeline bins has no runs yet; start one: python -m pipeline start"), "bins has no runs"),
        (NoCredentialsError(), "(no AWS credentials were found)"),
    ],
)
def test_without_a_run_the_public_data_set_counts_and_the_reason_is_given(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def find(settings: Settings, reference: str) -> DataSet:
        raise error

    monkeypatch.setattr(dataset, "find", find)
    photos = measured.photos(settings, None, None)
    assert photos.total == rates.PUBLIC_PHOTOS
    assert reason in photos.origin
    assert photos.origin.endswith("set the number: --photos N")


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize(
    ("files", "total"),
    [(3, 3), (2_500, 2_500), (measured.COUNTED, measured.COUNTED), (measured.COUNTED + 1, rates.PUBLIC_PHOTOS)],
)
def test_without_a_data_set_the_metadata_files_are_counted_up_to_a_limit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, files: int, total: int, is_new: bool
) -> None:
    class Paginator:
        def paginate(self, PaginationConfig: dict[str, int], **request: str) -> list[dict[str, Any]]:
            assert request == {"Bucket": "photos", "Prefix": "metadata/"}
            return [{"Contents": [{"Key": "metadata/1.json"}] * min(files, PaginationConfig["MaxItems"])}]

    def find(settings: Settings, reference: str) -> DataSet:
        assert not is_new, "the latest run's photos are of another location"
        raise PipelineError("the pipeline bins has no runs yet; start one")

    s3 = SimpleNamespace(get_paginator=lambda name: Paginator())
    monkeypatch.setattr(measured, "client", lambda settings, name: s3)
    monkeypatch.setattr(dataset, "find", find)
    there = settings.model_copy(update={"data": settings.data.model_copy(update={"image_location": "s3://photos"})})
    photos = measured.photos(there, None, None, is_new=is_new)
    assert photos.total == photos.train + photos.validation + photos.test == total
    assert ("s3://photos" in photos.origin) is (files <= measured.COUNTED or is_new)


def test_where_the_account_is_not_to_be_asked_it_is_not(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dataset, "find")
    assert "(--offline)" in measured.photos(settings, None, None, "--offline").origin


def trial(number: int, **values: Any) -> Trial:
    return replace(TRIAL, number=number, name=f"trial-{number}", **{"status": "Completed", "epochs": 10, **values})


def measure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tried: list[Trial], answers: list[dict[str, Any]]
) -> tuple[Range | None, str]:
    """The rate by the trials of the latest run; SageMaker has `answers` about those that are asked for."""
    monkeypatch.setattr(trials, "read", lambda settings, reference: replace(JOB, trials=tuple(tried)))
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
    tried = [trial(1, seconds=1000), trial(2, seconds=1300)]
    rate, note = measure(settings, monkeypatch, tried, [described(), described()])
    # 300,000 photos in 1,300 s, and in 1,000 s without the 300 that a start may take.
    assert rates.STARTUP.value.high == 300
    assert rate is not None
    assert (round(rate.low), round(rate.high)) == (231, 429)
    assert note == "training rate: 231 to 429 photos/s, measured in 2 trials of run run1"


def test_a_short_trial_counts_as_trained_for_half_its_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    rate, _ = measure(settings, monkeypatch, [trial(1, seconds=300)], [described()])
    assert rate == Range.of(1000, 2000)


@pytest.mark.parametrize(
    "answer",
    [
        described(architecture="resnet50"),
        described(**{"image-size": "112"}),
        {**described(), "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        {**described(), "ResourceConfig": {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1}},
    ],
)
def test_trials_of_other_machines_networks_or_sizes_do_not_count(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    rate, note = measure(settings, monkeypatch, [trial(1, seconds=1000)], [answer])
    assert rate is None
    assert "no trial of the latest run completed on such instances and network" in note


def test_trials_that_were_stopped_are_not_asked_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = trial(1, status="Stopped", seconds=100)
    silent = trial(2, epochs=None, seconds=100)
    assert measure(settings, monkeypatch, [stopped, silent], [])[0] is None


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
    assert measured.training_rate(settings) == (None, f"the training rate is assumed: {reason}")
