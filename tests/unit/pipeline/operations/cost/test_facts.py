"""How many photos an estimate is for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from botocore.exceptions import NoCredentialsError

from pipeline.operations.cost import facts, rates
from pipeline.operations.dataset import description as dataset
from pipeline.operations.dataset.description import DataSet
from pipeline.settings import Settings
from steps.contracts.dataset import DatasetIndex, Shard, Sharding, Split
from steps.contracts.errors import PipelineError
from steps.contracts.shard_summary import Leakage, Overlap, Photos, ShardSummary

SHARDING = Sharding(
    split="grouped",
    seed=1,
    fractions={"train": 0.8, "validation": 0.1, "test": 0.1},
    image_size=256,
    quality=90,
)


def split(name: str, samples: int) -> Split:
    shard = Shard(uri=f"s3://b/{name}.tar", samples=samples, bytes=2**29, sha256="0" * 64)
    return Split(shards=[shard], class_counts={1: samples})


INDEX = DatasetIndex(
    sharding=SHARDING,
    splits={"train": split("train", 70), "validation": split("validation", 20), "test": split("test", 10)},
)
OVERLAP = Overlap(photos=30, same_bin=0, same_item=0)
SUMMARY = ShardSummary(
    index="s3://b/latest",
    dataset_sha256=INDEX.sha256,
    photos=Photos(reused=0, written=100, excluded=0),
    rejects={"not a JPEG": ["1", "2"]},
    leakage=Leakage(split=OVERLAP, random=OVERLAP),
    kept=0,
    assignments="s3://b/assignments",
)


def test_the_latest_runs_data_set_is_counted_with_what_it_left_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "find", lambda settings, reference: DataSet(f"s3://b/{reference}", INDEX, SUMMARY))
    found = facts.find(settings, None, None)
    assert (found.photos, found.train, found.validation, found.test) == (102, 70, 20, 10)
    assert found.shard_gigabytes == Decimal("1.5")
    assert found.origin == "the latest run's data set, s3://b/latest"


def test_what_somebody_says_is_taken_and_nobody_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dataset, "find")
    found = facts.find(settings, 1000, Decimal(2000))
    assert (found.photos, found.train, found.validation, found.test) == (1000, 800, 100, 100)
    assert (found.kilobytes, found.origin) == (2000, "as given by --photos")
    # Resized: 20 KB each.
    assert found.shard_gigabytes == Decimal(20_000) / 2**20


def test_photos_that_are_not_resized_keep_their_size(settings: Settings) -> None:
    kept = settings.model_copy(update={"shard": settings.shard.model_copy(update={"image_size": 0})})
    assert facts.assumed(kept, 2**10, Decimal(1024), "").shard_gigabytes == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PipelineError("the pipeline bins has no runs yet; start one: python -m pipeline start"), "bins has no runs"),
        (NoCredentialsError(), "(no AWS credentials were found)"),
    ],
)
def test_without_a_run_the_public_data_set_stands_for_it_and_the_reason_is_given(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def find(settings: Settings, reference: str) -> DataSet:
        raise error

    monkeypatch.setattr(dataset, "find", find)
    found = facts.find(settings, None, None)
    assert found.photos == rates.PUBLIC_PHOTOS
    assert reason in found.origin
    assert found.origin.endswith("say how many: --photos N")


def test_where_the_account_is_not_to_be_asked_it_is_not(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dataset, "find")
    assert "(nothing was asked: --offline)" in facts.find(settings, None, None, "nothing was asked: --offline").origin
