"""A plan in numbers, and where a run's plan is read from."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from pipeline.operations.dataset import planned
from pipeline.operations.dataset.planned import PlanFacts, Spread
from pipeline.settings import Settings
from steps.contracts.dataset import DatasetIndex, Shard, Split
from steps.contracts.errors import PipelineError
from steps.contracts.shard_plan import Bucket, ShardPlan, Uneven
from tests.unit.pipeline.console.pages.account_of_data import INDEX
from tests.unit.pipeline.console.pages.account_of_data import planned as plan_of

UNEVEN = Uneven(quantity=2, split="validation", share=0.0, wanted=0.1)


def plan(*photos: int) -> ShardPlan:
    """A plan whose buckets have these photos."""
    buckets = [
        Bucket(name=f"000001-{number:05d}", photos=count, sha256="0" * 64) for number, count in enumerate(photos)
    ]
    return plan_of(UNEVEN).model_copy(update={"buckets": buckets})


def index(**shards: int) -> DatasetIndex:
    """A data set with so many training shards in each bucket, by the bucket's name after a letter."""
    uris = [
        f"s3://b/shards/0123456789abcdef/{name[1:].replace('_', '-')}/000001-0123456789abcdef/train/train-{number}.tar"
        for name, count in shards.items()
        for number in range(count)
    ]
    written = [Shard(uri=uri, samples=1, bytes=1, sha256="0" * 64) for uri in uris]
    return INDEX.model_copy(update={"splits": {"train": Split(shards=written, class_counts={1: len(uris)})}})


@pytest.mark.parametrize(
    ("photos", "shards", "expected"),
    [
        ((5,), {"b000001_00000": 2}, PlanFacts(1, Spread(5, 5), Spread(2, 2), 9, (UNEVEN,))),
        (
            (5, 9, 7),
            {"b000001_00000": 2, "b000001_00002": 4},
            PlanFacts(3, Spread(5, 9), Spread(2, 4), 9, (UNEVEN,)),
        ),
        # Shards of no bucket of the plan.
        ((5,), {"b000009_00000": 2}, PlanFacts(1, Spread(5, 5), None, 9, (UNEVEN,))),
    ],
)
def test_a_plan_is_its_buckets_with_their_photos_and_shards(
    photos: tuple[int, ...], shards: dict[str, int], expected: PlanFacts
) -> None:
    assert planned.facts(plan(*photos), index(**shards)) == expected


def test_before_the_shards_are_written_their_number_is_unknown() -> None:
    found = planned.facts(plan(5), None)
    assert found is not None
    assert found.shards is None


def test_a_plan_without_buckets_has_nothing_to_show() -> None:
    assert planned.facts(plan(), None) is None


def test_a_spread_is_a_number_where_both_ends_are_the_same() -> None:
    assert [str(Spread(1200, 1200)), str(Spread(3, 1200))] == ["1,200", "3 to 1,200"]


@pytest.fixture
def s3(account: None, settings: Settings) -> Any:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)
    return s3


def test_a_folder_has_its_plan_or_none(s3: Any, settings: Settings) -> None:
    folder = f"s3://{settings.data.bucket}/runs/x/plan/summary"
    assert planned.read(settings, folder) is None
    content = plan(5).model_dump_json(indent=2).encode()
    s3.put_object(Bucket=settings.data.bucket, Key="runs/x/plan/summary/plan.json", Body=content)
    assert planned.read(settings, folder) == plan(5)


def test_a_damaged_plan_is_named(s3: Any, settings: Settings) -> None:
    s3.put_object(Bucket=settings.data.bucket, Key="summary/plan.json", Body=b"{}")
    with pytest.raises(PipelineError, match=r"^s3://.*/summary/plan\.json"):
        planned.read(settings, f"s3://{settings.data.bucket}/summary")
