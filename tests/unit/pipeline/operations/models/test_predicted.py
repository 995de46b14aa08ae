"""What a version counted in each photo."""

from __future__ import annotations

import io

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.operations.models import predicted, registry
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.evaluation import PREDICTIONS, PREDICTIONS_SCHEMA
from tests.unit.pipeline.operations.models import evaluated


@pytest.fixture(autouse=True)
def version(account: None, settings: Settings) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=settings.data.bucket)
    boto3.client("sagemaker", region_name="us-east-1").create_model_package_group(
        ModelPackageGroupName=settings.registry.group
    )
    evaluated.register(settings, "a", [1, 2, 3], [1, 3, 3], ids=["x", "y", "z"])


def replace(settings: Settings, content: bytes) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.put_object(Bucket=settings.data.bucket, Key=f"runs/a/{PREDICTIONS}", Body=content)


def read(settings: Settings, *columns: str) -> pa.Table:
    table = predicted.read(settings, registry.resolve(settings, "1"), columns)
    assert table is not None
    return table


def test_every_photo_has_a_row_with_all_columns_of_the_contract(settings: Settings) -> None:
    table = read(settings)
    assert table.schema == PREDICTIONS_SCHEMA
    assert table.column("image_id").to_pylist() == ["x", "y", "z"]
    assert table.column("predicted").to_pylist() == [1, 3, 3]


def test_only_the_columns_that_are_asked_for_are_read_in_their_order(settings: Settings) -> None:
    assert read(settings, "predicted", "quantity").column_names == ["predicted", "quantity"]


def test_predictions_that_are_gone_are_none(settings: Settings) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.delete_object(Bucket=settings.data.bucket, Key=f"runs/a/{PREDICTIONS}")
    assert predicted.read(settings, registry.resolve(settings, "1")) is None


def parquet(columns: dict[str, list[object]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no parquet",
        parquet({"image_id": ["x"]}),
        parquet({"image_id": ["x"], "quantity": ["many"], "predicted": [1]}),
        parquet({"image_id": ["x"], "quantity": [None], "predicted": [1]}),
    ],
    ids=["empty", "other bytes", "a column less", "no number", "no value"],
)
def test_damaged_predictions_are_named(settings: Settings, content: bytes) -> None:
    replace(settings, content)
    with pytest.raises(PipelineError, match=rf"runs/a/{PREDICTIONS}: not the predictions of an evaluation"):
        read(settings, "image_id", "quantity", "predicted")
