"""Two versions side by side."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import PipelineError
from pipeline.operations import comparison
from pipeline.settings import Settings

from .test_registry import register, sagemaker

__all__ = ["sagemaker"]
pytestmark = pytest.mark.usefixtures("account")
PHOTOS = [f"{number:05d}" for number in range(40)]
TRUTH = [number % 4 for number in range(40)]


def evaluation(accuracy: float, sha256: str = "a", split: str = "grouped") -> dict[str, Any]:
    return {
        "multiclass_classification_metrics": {"accuracy": {"value": accuracy}},
        "regression_metrics": {"rmse": {"value": 1.0}},
        "per_class": {"0": {"accuracy": accuracy}, "10": {"accuracy": 0.1}, "2": {"accuracy": 0.2}},
        "dataset": {"sha256": sha256, "split": split},
    }


def add(
    sagemaker: Any,
    settings: Settings,
    name: str,
    content: dict[str, Any],
    counts: Sequence[int] | None = None,
    photos: Sequence[str] = PHOTOS,
) -> None:
    register(sagemaker, settings, f"{name}/evaluation.json", json.dumps(content).encode())
    if counts is None:
        return
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image_id": photos, "quantity": TRUTH[: len(photos)], "predicted": counts}), buffer)
    key = f"{name}/predictions.parquet"
    boto3.client("s3", region_name="us-east-1").put_object(Bucket=settings.data.bucket, Key=key, Body=buffer.getvalue())


def test_metrics_stand_side_by_side_with_the_second_less_the_first(sagemaker: Any, settings: Settings) -> None:
    add(sagemaker, settings, "a", evaluation(0.5))
    add(sagemaker, settings, "b", evaluation(0.75))
    found = comparison.compare(settings, "1", "2")
    rows = {row.name: row for row in found.metrics}
    assert (rows["accuracy"].first, rows["accuracy"].second, rows["accuracy"].difference) == (0.5, 0.75, 0.25)
    # An evaluation of an earlier release does not tell it.
    assert rows["calibration error"].difference is None
    assert [row.name for row in found.by_quantity] == ["0", "2", "10"]
    assert found.caveat == ""
    assert found.paired is None


def test_predictions_of_the_same_photos_are_compared_in_pairs(sagemaker: Any, settings: Settings) -> None:
    wrong = [(one + 1) % 4 if place < 10 else one for place, one in enumerate(TRUTH)]
    add(sagemaker, settings, "a", evaluation(0.75), wrong)
    add(sagemaker, settings, "b", evaluation(1.0), TRUTH)
    paired = comparison.compare(settings, "1", "2").paired
    assert paired is not None
    assert paired.photos == 40
    assert paired.accuracy.value == pytest.approx(10 / 40)
    assert 0 < paired.accuracy.lower < 10 / 40 < paired.accuracy.upper
    assert paired.rmse.upper < 0


def test_only_photos_that_both_counted_are_compared(sagemaker: Any, settings: Settings) -> None:
    add(sagemaker, settings, "a", evaluation(1.0), TRUTH)
    add(sagemaker, settings, "b", evaluation(1.0), TRUTH[:30], photos=PHOTOS[:30])
    paired = comparison.compare(settings, "1", "2").paired
    assert paired is not None
    assert (paired.photos, paired.accuracy.value) == (30, 0)


def test_without_photos_in_common_there_are_no_pairs(sagemaker: Any, settings: Settings) -> None:
    add(sagemaker, settings, "a", evaluation(0.5), TRUTH)
    add(sagemaker, settings, "b", evaluation(0.5), TRUTH, photos=[f"x{one}" for one in PHOTOS])
    assert comparison.compare(settings, "1", "2").paired is None


@pytest.mark.parametrize(
    ("other", "caveat"),
    [
        (evaluation(0.5, split="random"), "evaluated on different splits (grouped, random)"),
        (evaluation(0.5, sha256="b"), "evaluated on different data"),
    ],
)
def test_figures_that_do_not_compare_are_said_to(
    sagemaker: Any, settings: Settings, other: dict[str, Any], caveat: str
) -> None:
    add(sagemaker, settings, "a", evaluation(0.5))
    add(sagemaker, settings, "b", other)
    assert comparison.compare(settings, "1", "2").caveat == caveat


def test_a_version_whose_evaluation_is_gone_is_named(sagemaker: Any, settings: Settings) -> None:
    add(sagemaker, settings, "a", evaluation(0.5))
    register(sagemaker, settings, "gone/evaluation.json")
    assert "version 2" in comparison.compare(settings, "1", "2").caveat


def test_a_version_is_not_compared_with_itself(sagemaker: Any, settings: Settings) -> None:
    add(sagemaker, settings, "a", evaluation(0.5))
    with pytest.raises(PipelineError, match="the same version 1"):
        comparison.compare(settings, "1", "latest")


def test_predictions_that_are_damaged_are_named(sagemaker: Any, settings: Settings) -> None:
    add(sagemaker, settings, "a", evaluation(0.5), TRUTH)
    add(sagemaker, settings, "b", evaluation(0.5), TRUTH)
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.put_object(Bucket=settings.data.bucket, Key="b/predictions.parquet", Body=b"no table")
    with pytest.raises(PipelineError, match=r"b/predictions\.parquet: not predictions"):
        comparison.compare(settings, "1", "2")
