"""Two versions beside each other: differences, classes, and the photos that both counted."""

from __future__ import annotations

from typing import Any

import boto3
import numpy as np
import pytest

from pipeline.operations.models import comparison
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.evaluation import PREDICTIONS
from tests.unit.pipeline.operations.models.evaluated import package, register

pytestmark = pytest.mark.usefixtures("registry")
TRUTH = [1, 2, 3, 4] * 50
BETTER = [1, 2, 3, 5] * 50
WORSE = [1, 2, 5, 2] * 50


@pytest.fixture
def registry(account: None, settings: Settings) -> None:
    group = settings.registry.group
    boto3.client("sagemaker", region_name="us-east-1").create_model_package_group(ModelPackageGroupName=group)
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=settings.data.bucket)


def s3() -> Any:
    return boto3.client("s3", region_name="us-east-1")


def test_differences_are_the_second_less_the_first(settings: Settings) -> None:
    register(settings, "a", TRUTH, WORSE)
    register(settings, "b", TRUTH, BETTER)
    found = comparison.compare(settings, "1", "2")
    assert found.differences["accuracy"] == pytest.approx(0.25)
    assert found.differences["rmse"] == pytest.approx(0.5 - np.sqrt(2))
    assert found.differences["mae"] == pytest.approx(0.25 - 1)
    assert found.differences["within_one"] == pytest.approx(1 - 0.5)
    assert found.per_class == {"1": 0, "2": 0, "3": 1, "4": 0}
    assert found.other_data == ""


def test_photos_that_both_counted_are_bootstrapped_in_pairs(settings: Settings) -> None:
    register(settings, "a", TRUTH, WORSE)
    register(settings, "b", TRUTH, BETTER)
    found = comparison.compare(settings, "1", "2").shared
    assert found is not None
    assert (found.photos, found.relabelled) == (200, 0)
    assert found.accuracy.value == pytest.approx(0.25)
    # The standard error of a share of a quarter among 200 photos is 0.031.
    assert found.accuracy.lower == pytest.approx(0.25 - 1.96 * 0.0306, abs=0.012)
    assert found.accuracy.upper == pytest.approx(0.25 + 1.96 * 0.0306, abs=0.012)
    assert found.rmse.value == pytest.approx(0.5 - np.sqrt(2))
    assert found.accuracy.certain
    assert found.rmse.upper < 0


def test_photos_are_matched_by_their_id_whatever_their_order(settings: Settings) -> None:
    ids = [f"{number:03d}" for number in range(200)]
    register(settings, "a", TRUTH, BETTER, ids=ids)
    register(settings, "b", TRUTH[::-1], BETTER[::-1], ids=ids[::-1])
    found = comparison.compare(settings, "1", "2").shared
    assert found is not None
    assert (found.photos, found.accuracy.value, found.accuracy.lower, found.accuracy.upper) == (200, 0, 0, 0)
    assert not found.accuracy.certain


def test_other_data_is_said_and_only_shared_photos_with_one_truth_are_compared(settings: Settings) -> None:
    register(settings, "a", [1, 2, 3], [1, 2, 3], ids=["x", "y", "z"])
    register(settings, "b", [1, 3, 3], [2, 3, 3], ids=["x", "y", "w"], sha256="b" * 64)
    found = comparison.compare(settings, "1", "2")
    assert found.other_data == "the data sets differ: aaaaaaaaaaaa for version 1, bbbbbbbbbbbb for version 2"
    assert found.shared is not None
    assert (found.shared.photos, found.shared.relabelled, found.shared.accuracy.value) == (1, 1, -1)
    assert found.flat()["comparable"] is False


def test_other_splits_are_said(settings: Settings) -> None:
    register(settings, "a", TRUTH, BETTER)
    register(settings, "b", TRUTH, BETTER, split="random")
    found = comparison.compare(settings, "1", "2")
    assert found.other_data == "the splits differ: grouped for version 1, random for version 2"


@pytest.mark.parametrize(
    ("truth", "ids", "why"),
    [
        ([1], ["elsewhere"], "the two have no photo in common"),
        ([2], ["00000"], "every common photo had another truth each time"),
    ],
)
def test_nothing_to_bootstrap_is_said(settings: Settings, truth: list[int], ids: list[str], why: str) -> None:
    register(settings, "a", [1], [1])
    register(settings, "b", truth, [1], ids=ids, sha256="b" * 64)
    found = comparison.compare(settings, "1", "2")
    assert (found.shared, found.not_shared) == (None, why)


def test_predictions_that_are_gone_are_said_and_the_figures_stay(settings: Settings) -> None:
    register(settings, "a", TRUTH, WORSE)
    register(settings, "b", TRUTH, BETTER)
    s3().delete_object(Bucket=settings.data.bucket, Key=f"runs/b/{PREDICTIONS}")
    found = comparison.compare(settings, "1", "2")
    assert found.not_shared == "the predictions of version 2 no longer exist"
    assert found.differences["accuracy"] == pytest.approx(0.25)


@pytest.mark.parametrize("content", [b"no parquet", b"", None])
def test_predictions_that_are_damaged_are_named(settings: Settings, content: bytes | None) -> None:
    register(settings, "a", TRUTH, WORSE)
    register(settings, "b", TRUTH, BETTER)
    s3().put_object(Bucket=settings.data.bucket, Key=f"runs/a/{PREDICTIONS}", Body=content or other_columns())
    with pytest.raises(PipelineError, match=rf"runs/a/{PREDICTIONS}: not the predictions of an evaluation"):
        comparison.compare(settings, "1", "2")


def other_columns() -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": ["a"]}), buffer)
    return buffer.getvalue()


def test_a_version_is_not_compared_with_itself(settings: Settings) -> None:
    register(settings, "a", TRUTH, WORSE)
    with pytest.raises(PipelineError, match="1 and latest are both version 1; name two versions"):
        comparison.compare(settings, "1", "latest")


def test_a_version_without_figures_is_not_compared(settings: Settings) -> None:
    register(settings, "a", TRUTH, WORSE)
    lost = package(settings, f"s3://{settings.data.bucket}/gone/evaluation.json")
    boto3.client("sagemaker", region_name="us-east-1").create_model_package(**lost)
    with pytest.raises(PipelineError, match=r"version 2 has no figures: its evaluation is no longer at .*gone"):
        comparison.compare(settings, "1", "2")
