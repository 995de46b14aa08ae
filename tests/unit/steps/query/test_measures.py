"""Weights and sizes of a sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steps.contracts.photo_files import LeftOut
from steps.contracts.s3_uri import S3Uri
from steps.query import measures
from steps.query.inventory import Inventory, merge, write
from steps.query.listing import Entry


def item(**values: Any) -> dict[str, Any]:
    return {name: {"unit": "IN", "value": value} for name, value in values.items()}


@pytest.fixture
def inventory(s3: Any, bucket: str, tmp_path: Path) -> Inventory:
    """Twenty bins of one item whose weight is the bin's number; the last file is malformed."""
    ids = [f"{number:02d}" for number in range(1, 21)]
    for number, image_id in enumerate(ids, start=1):
        body = json.dumps({"BIN_FCSKU_DATA": {"A": item(weight=number)}}) if number < 20 else "{"
        s3.put_object(Bucket=bucket, Key=f"metadata/{image_id}.json", Body=body.encode())
    entries = [Entry(image_id, f"{image_id}.json", "e", 1) for image_id in ids]
    return write(merge([], entries), tmp_path / "inventory.parquet", LeftOut(0))


def weights(sample: measures.MeasureSample) -> list[float]:
    return [row["value"] for row in sample.table.to_pylist() if row["measure"] == "weight"]


def test_all_files_are_read_where_there_are_few(inventory: Inventory, bucket: str) -> None:
    sample = measures.sample(S3Uri(bucket, "metadata"), inventory)
    assert weights(sample) == list(range(1, 20))
    assert sample.files == 19
    assert sample.table.schema == measures.SCHEMA
    assert sample.table.num_rows == 19 * 4


def test_a_sample_is_the_same_for_the_same_seed(inventory: Inventory, bucket: str) -> None:
    first, again, other = (
        weights(measures.sample(S3Uri(bucket, "metadata"), inventory, files=6, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert 5 <= len(first) <= 6


def test_only_positive_finite_numbers_are_measures() -> None:
    data = {"A": item(weight="3", length=True, width=-1, height=0), "B": None, "C": {"WEIGHT": {"value": 5e-05}}}
    text = json.dumps({"bin_fcsku_data": data | {"D": item(weight=float("nan"), length=10**400)}})
    bins = measures.parse(text.encode())
    assert [[measure.value for measure in item_measures] for item_measures in bins] == [
        [None] * 4,
        [None] * 4,
        [5e-05, None, None, None],
        [None] * 4,
    ]
    assert bins[0][0] == ("weight", "IN", None)
