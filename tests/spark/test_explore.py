"""The exploration on a cluster of two instances: the numbers of DuckDB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.spark.instances import job
from tests.unit.steps.explore.conftest import Bin, Inputs, item

BINS = [
    Bin("1", 2.0, [item("A", 2, weight=("lb", 0.4), height=("cm", 5.08)), item("B", None, weight=("stone", 1.0))]),
    Bin("2", 1.0, [item("B", 3, weight=("KG", 7.0)), item("A", 0, weight=("lb", 9e9))], etag="x"),
    Bin("3", 3.0, [item(None, 3, width=(None, 2.0), height=("IN", -1.0))], etag="x"),
    Bin("4", 0.0),
    Bin("5", 9.0, None, labelled=False),
    Bin("6", 2.5, [item("A", 1, length=("IN", 4.9999999949))], labelled=False),
    Bin("7", None, [], kind="missing", labelled=False),
    *(Bin(f"usual-{number}", 1.0, [item("A", weight=("lb", 1 + number / 10))]) for number in range(12)),
    Bin("heavy", 1.0, [item("C", 1, weight=("lb", 8000.0))]),
]


def upload(s3: Any, bucket: str, inputs: Inputs) -> None:
    for name in ("metadata", "labels"):
        for path in inputs.folder(name).iterdir():
            s3.upload_file(str(path), bucket, f"{name}/{path.name}")


def test_spark_explores_to_the_numbers_of_duckdb(s3: Any, bucket: str, tmp_path: Path) -> None:
    inputs = Inputs(tmp_path / "inputs").write(BINS)
    whole = inputs.run()
    assert whole is not None
    assert {example.image_id for example in whole.outliers[0].examples} == {"2", "heavy"}
    assert whole.explored.measures[0].other_units == {"stone": 1}
    upload(s3, bucket, inputs)
    with job(tmp_path / "job", bucket, "explore") as explored:
        explored.start(0, 1)
        assert explored.wait() == {0: 0, 1: 0}, explored.logs()
    result = explored.result()
    expected = json.loads(whole.model_dump_json()) | {"engine": "Spark", "engine_reason": "of the test"}
    assert result["whole"] == expected
    for path in inputs.output("").glob("*.parquet"):
        assert result["tables"][path.stem] == pq.read_table(path).to_pylist(), path.stem


def test_metadata_without_a_column_is_one_line(s3: Any, bucket: str, tmp_path: Path) -> None:
    inputs = Inputs(tmp_path / "inputs").write(BINS)
    for path in inputs.folder("metadata").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["items"]), path)
    upload(s3, bucket, inputs)
    with job(tmp_path / "job", bucket, "explore") as explored:
        explored.start(0, 1)
        assert explored.wait() == {0: 1, 1: 1}, explored.logs()
    assert "no column items; it has image_id, quantity" in explored.reason(0)
