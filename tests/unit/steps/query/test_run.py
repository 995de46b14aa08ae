"""The step against the local Athena, a real S3 server and moto's Glue."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from steps.contracts import exploration
from steps.contracts.errors import StepError
from steps.contracts.labels import SCHEMA, read_labels
from steps.contracts.query_summary import Summary
from steps.contracts.s3_uri import S3Uri
from steps.query import direct, statements
from steps.query.inventory import list_inventory
from tests.unit.pipeline.local.athena.front import Front
from tests.unit.steps.arguments import QUERY, flags_of
from tests.unit.steps.query.conftest import (
    EXPECTED_REFUSALS,
    PHOTO,
    Job,
    add_bins_that_athena_reads,
    bin_metadata,
    refused,
)

Tables = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def finished(aws: Front, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Job, Summary]]:
    """A run over bins that Athena can read, and the surroundings it left."""
    bucket = f"test-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=bucket)
    job = Job(s3, bucket, f"bins_{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("job"))
    job.declare()
    add_bins_that_athena_reads(job)
    yield job, job.run(data_version="7")
    s3.delete_bucket(Bucket=bucket)


def test_labels_are_written_and_every_other_id_is_counted_by_reason(finished: tuple[Job, Summary]) -> None:
    job, summary = finished
    assert summary.reader == "athena"
    photo = {"image_etag": hashlib.md5(PHOTO).hexdigest(), "image_bytes": len(PHOTO), "bin_group": None}
    assert job.written("labels").to_pylist() == [
        {"image_id": "00001", "quantity": 2, "asins": ["B1", "B2"], "image_key": "bin-images/00001.jpg", **photo},
        {"image_id": "1", "quantity": 1, "asins": ["B2"], "image_key": "bin-images/1.jpg", **photo},
        {"image_id": "NaN", "quantity": 0, "asins": [], "image_key": "bin-images/NaN.jpg", **photo},
        {"image_id": "whole", "quantity": 2, "asins": ["B3"], "image_key": "bin-images/whole.jpg", **photo},
    ]
    assert refused(summary) == EXPECTED_REFUSALS
    assert summary.refused["malformed-metadata"].examples == ["empty", "two"]
    assert all(len(refusal.examples) == refusal.photos for refusal in summary.refused.values())
    assert summary.labels == {0: 1, 1: 1, 2: 2}
    assert (summary.metadata_files, summary.images) == (13, 13)
    assert summary.labelled + sum(refused(summary).values()) == 14


@pytest.mark.parametrize("with_a_fault", [False, True])
def test_a_group_of_own_metadata_reaches_the_labels_by_either_reader(job: Job, with_a_fault: bool) -> None:
    for image_id, group in (("1", "shelf 7, bin 3"), ("2", " b "), ("3", ""), ("4", None), ("5", "gr\u00fcn")):
        job.add(image_id, bin_metadata(1) | {"group": group})
    job.add("6", bin_metadata(2, "B1") | {"GROUP": "7"})
    job.add("7", bin_metadata(2, "B1"))
    if with_a_fault:
        job.add("8", b"not JSON")
    summary = job.run()
    assert summary.reader == ("direct" if with_a_fault else "athena")
    groups = ["shelf 7, bin 3", "b", None, None, "gr\u00fcn", "7", None]
    assert job.written("labels")["bin_group"].to_pylist() == groups


def test_files_that_are_no_photos_by_their_names_are_counted_with_the_refused_ones(job: Job) -> None:
    """The kind: a file that is passed over in silence, or taken by one command and not by another."""
    for image_id, name in (("1", "1.JPG"), ("2", "2.jpeg"), ("3", "3.png"), ("4", "4.jpg"), ("4", "4.JPG")):
        job.add(image_id, bin_metadata(1, "B1"), photo=False)
        job.s3.put_object(Bucket=job.bucket, Key=f"raw/bin-images/{name}", Body=PHOTO)
    for key in ("bin-images/._1.jpg", "bin-images/.DS_Store", "bin-images/5.HEIC", "metadata/5.JSON"):
        job.s3.put_object(Bucket=job.bucket, Key=f"raw/{key}", Body=b"{}")
    summary = job.run()
    assert job.written("labels")["image_key"].to_pylist() == ["bin-images/1.JPG", "bin-images/2.jpeg"]
    assert refused(summary) == {
        "hidden-file": 2,
        "metadata-without-image": 1,
        "other-file": 1,
        "other-format": 2,
        "several-photos": 1,
    }
    assert summary.refused["other-format"].examples == ["bin-images/3.png", "bin-images/5.HEIC"]


def test_the_summary_is_left_for_the_job_to_upload(finished: tuple[Job, Summary]) -> None:
    job, summary = finished
    left = json.loads((job.base / "processing" / "output" / "summary" / "query.json").read_text())
    assert left == json.loads(summary.model_dump_json())
    assert left["data_version"] == "7"
    assert [execution["statement"] for execution in left["executions"]][:2] == ["create raw", "consolidate"]
    assert all(each["state"] == "SUCCEEDED" and len(each["id"]) == 36 for each in left["executions"])
    consolidated = left["executions"][1]
    assert consolidated["data_scanned_bytes"] > 0
    assert consolidated["engine_milliseconds"] > 0


def test_the_labels_follow_their_contract(finished: tuple[Job, Summary], tmp_path: Path) -> None:
    job, summary = finished
    for number, entry in enumerate(job.s3.list_objects_v2(Bucket=job.bucket, Prefix="run/labels/")["Contents"]):
        job.s3.download_file(job.bucket, entry["Key"], str(tmp_path / f"{number}.parquet"))
    labels = read_labels(tmp_path)
    assert labels.schema == SCHEMA
    assert labels.num_rows == summary.labelled


def test_the_data_is_described_for_people_and_as_numbers(finished: tuple[Job, Summary]) -> None:
    job, _ = finished
    left = job.base / "processing" / "output" / "summary"
    assert "Exploratory data analysis" in (left / "eda.html").read_text()
    tables = {path.stem: pq.read_table(path).to_pydict() for path in (left / "eda").iterdir()}
    # Items of the labelled photos: B1 and B2 in 00001, B2 in 1, none in NaN, B3 in whole.
    assert tables["items_per_bin"] == {"items": [0, 1, 2], "photos": [1, 2, 1]}
    assert tables["photos_per_item"] == {"photos": [1, 2], "items": [2, 1]}
    assert tables["units_per_item"] == {"units": [1], "occurrences": [4]}
    assert tables["quantities"]["quantity"] == [0, 1, 2, 6]
    assert tables["quantities"]["labelled"] == [True, True, True, False]
    assert dict(zip(tables["refused"]["reason"], tables["refused"]["photos"], strict=True)) == EXPECTED_REFUSALS
    assert tables["measures"] == {
        "measure": ["height", "length", "weight", "width"],
        "state": ["missing", "missing", "measured", "missing"],
        "value": [None, None, 0.4, None],
        "items": [10, 10, 10, 10],
        "units": [10, 10, 10, 10],
    }
    explored = exploration.parse_exploration((left / "eda.json").read_bytes(), "eda.json")
    assert explored.items_per_bin.numbers == {0: 1, 1: 2, 2: 1}
    assert (explored.items, explored.repeated) == (3, 1)
    assert (explored.measures[0].measure, explored.measures[0].median) == ("weight", 0.4)


def test_the_number_of_files_follows_the_number_of_metadata_files(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "ROWS_PER_FILE", 10)
    for number in range(40):
        job.add(f"{number:02d}", bin_metadata(1, f"B{number}"))
    job.run()
    for output in ("metadata", "labels"):
        assert job.s3.list_objects_v2(Bucket=job.bucket, Prefix=f"run/{output}/")["KeyCount"] == 4
        assert job.written(output)["image_id"].to_pylist() == [f"{number:02d}" for number in range(40)]


@pytest.mark.parametrize(("rows", "files"), [(0, 1), (1, 1), (250_000, 1), (250_001, 2), (535_234, 3), (10**9, 100)])
def test_a_table_has_a_file_for_so_many_rows_and_no_more_than_athena_writes(rows: int, files: int) -> None:
    assert statements.bucket_count(rows) == files


def test_a_quantity_beyond_all_integers_is_above_the_maximum(job: Job) -> None:
    job.add("1", bin_metadata(1, "B1"))
    job.add("huge", b'{"EXPECTED_QUANTITY": 1e300}')
    assert refused(job.run()) == {"above-maximum": 1}


def test_both_readers_consolidate_to_the_same_rows(finished: tuple[Job, Summary], tmp_path: Path) -> None:
    job, _ = finished
    raw = S3Uri.parse(job.location)
    ids = list_inventory(raw, tmp_path).metadata_ids()
    assert direct.consolidate(raw.join("metadata"), ids, S3Uri(job.bucket, "run/direct")) == 2
    by_athena, directly = job.written("metadata").to_pylist(), job.written("direct").to_pylist()
    # A column is NULL for a missing key and for a null; the step reads those files again.
    for row in directly:
        row["quantity_kind"] = row["quantity_kind"].replace("missing", "null")
    # Files with an unusable id are not read directly.
    assert [row for row in by_athena if "." not in row["image_id"]] == directly


def sized(**values: Any) -> dict[str, Any]:
    """A document of one item with these measures."""
    return {"BIN_FCSKU_DATA": {"K": {"asin": "A", "quantity": 2, **values}, "L": None}, "EXPECTED_QUANTITY": 2}


def readings(job: Job, scratch: Path) -> tuple[list[Any], list[Any]]:
    """The rows of a finished job, and those of the direct reader over the same files."""
    raw = S3Uri.parse(job.location)
    direct.consolidate(
        raw.join("metadata"), list_inventory(raw, scratch).metadata_ids(), S3Uri(job.bucket, "run/direct")
    )
    return job.written("metadata").to_pylist(), job.written("direct").to_pylist()


def test_measures_are_kept_as_in_the_files_by_either_reader(job: Job, tmp_path: Path) -> None:
    smallest = b'{"EXPECTED_QUANTITY": 1, "BIN_FCSKU_DATA": {"K": {"height": {"value": 0.00012345678901234567}}}}'
    job.add("1", sized(weight={"unit": "pounds", "value": 0.022046001186074866}, length={"unit": "IN", "value": 3}))
    job.add("2", sized(weight={"unit": "pounds"}, width={"value": -0.1}, height=None))
    job.add("3", smallest)
    job.add("4", {"EXPECTED_QUANTITY": 0, "BIN_FCSKU_DATA": None})
    assert job.run().reader == "athena"
    by_athena, directly = readings(job, tmp_path)
    assert by_athena == directly
    items = [dict(row["items"] or []) for row in directly]
    assert items[0]["K"]["weight"] == {"unit": "pounds", "value": 0.022046001186074866}
    assert items[0]["K"]["length"] == {"unit": "IN", "value": 3.0}
    assert items[0]["L"]["weight"] == {"unit": None, "value": None}
    assert (items[1]["K"]["width"], items[1]["K"]["height"]["value"]) == ({"unit": None, "value": -0.1}, None)
    assert items[2]["K"]["height"]["value"] == 0.00012345678901234567
    assert directly[3]["items"] is None


@pytest.mark.parametrize("weight", [5e-05, 1e300, "0.4", True])
def test_a_measure_that_the_serde_refuses_is_read_directly(job: Job, weight: Any) -> None:
    job.add("1", sized(weight={"unit": "pounds", "value": weight}))
    summary = job.run()
    assert (summary.reader, summary.labelled) == ("direct", 1)
    [(_, item), _] = job.written("metadata")["items"][0].as_py()
    assert item["weight"]["value"] == (weight if isinstance(weight, float) else None)


def test_real_metadata_have_sizes_and_weights_by_either_reader(job: Job, abid: Path, tmp_path: Path) -> None:
    with tarfile.open(abid / "originals.tar") as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            if content is not None and entry.name.endswith(".json"):
                job.add(Path(entry.name).stem, content.read())
    assert job.run(maximum_quantity=1_000).reader == "athena"
    by_athena, directly = readings(job, tmp_path)
    assert len(directly) == 458
    assert by_athena == directly
    left = job.base / "processing" / "output" / "summary"
    explored = exploration.parse_exploration((left / "eda.json").read_bytes(), "eda.json")
    weight, length, width, height = explored.measures
    assert not any(each.other_units for each in explored.measures)
    assert (weight.items + weight.missing, weight.missing) == (1255, 40)
    assert weight.units > weight.items
    # As the data set's authors sort them: the length is the longest side, and the height the shortest.
    assert (length.median or 0) > (width.median or 0) > (height.median or 0) > 0


def test_a_second_try_of_a_job_replaces_its_output_and_its_tables(
    job: Job, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.add("1", bin_metadata(1, "B2"))
    job.add("2", bin_metadata(1, "B2"))
    with monkeypatch.context() as patch:
        # The first try ends as if it was killed.
        patch.setattr("steps.query.run.drop", lambda _: None)
        job.run()
    assert len(tables(job.database)) == 4
    job.s3.delete_object(Bucket=job.bucket, Key="raw/bin-images/2.jpg")
    job.run()
    assert job.written("labels")["image_id"].to_pylist() == ["1"]
    assert tables(job.database) == []


def test_the_tables_are_dropped_after_a_failure_too(job: Job, tables: Tables) -> None:
    job.add("1", bin_metadata(9))
    with pytest.raises(StepError, match=r"no photo below .* has a quantity of 0 to 5 \(above-maximum: 1\)"):
        job.run()
    assert tables(job.database) == []


@pytest.mark.parametrize(
    ("missing", "key"), [("metadata/*.json", "raw/bin-images/1.jpg"), ("bin-images/*.jpg", "raw/metadata/1.json")]
)
def test_a_location_without_one_of_its_folders_is_refused(job: Job, missing: str, key: str) -> None:
    job.s3.put_object(Bucket=job.bucket, Key=key, Body=b"{}")
    job.s3.put_object(Bucket=job.bucket, Key="raw/metadata/deeper/1.json", Body=b"{}")
    with pytest.raises(StepError) as refusal:
        job.run()
    assert str(refusal.value).startswith(f"no {missing} below {job.location};")


def test_a_missing_bucket_is_one_line(job: Job) -> None:
    with pytest.raises(StepError, match="NoSuchBucket") as refusal:
        job.run(image_location="s3://no-such-bucket-here/raw")
    assert "\n" not in str(refusal.value)
    assert "s3://no-such-bucket-here/raw" in str(refusal.value)


def test_an_unknown_work_group_is_one_line(job: Job) -> None:
    job.add("1", bin_metadata(1))
    with pytest.raises(StepError, match="InvalidRequestException: WorkGroup absent is not found"):
        job.run(workgroup="absent")


def test_a_query_that_fails_gives_the_reason_of_the_service(job: Job) -> None:
    job.add("1", bin_metadata(1))
    job.declare(metadata=f"s3://{job.bucket}/run/summary/staged-labels")
    with pytest.raises(StepError, match="write labels: HIVE_PATH_ALREADY_EXISTS"):
        job.run()


@pytest.mark.parametrize("output", ["raw", "raw/metadata", "raw/metadata/new", ""])
def test_an_output_that_reaches_into_the_raw_data_is_refused_and_nothing_is_removed(job: Job, output: str) -> None:
    job.add("1", bin_metadata(1))
    job.declare(metadata=f"s3://{job.bucket}/{output}")
    with pytest.raises(StepError, match="overlaps the raw data"):
        job.run()
    assert job.s3.list_objects_v2(Bucket=job.bucket, Prefix="raw/")["KeyCount"] == 2


def test_the_process_ends_with_the_reason_where_sagemaker_reads_it(job: Job, aws: Front) -> None:
    command = ["--image-location", job.location, "--maximum-quantity", "5", "--data-version", "1"]
    command += ["--database", job.database, "--workgroup", "primary", "--timeout-minutes", "10"]
    ended = subprocess.run(
        [sys.executable, "-m", "steps.query", *command],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(job.base)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert (job.base / "output" / "message").read_text().startswith("no bin-images/*.jpg below")
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_wrong_argument_is_the_jobs_failure_reason(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "steps.query", *flags_of(QUERY), "--maximum-quantity", "many"],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)},
        check=False,
        capture_output=True,
    )
    assert ended.returncode == 1
    reason = (tmp_path / "output" / "message").read_text()
    assert reason.startswith("python3 -m steps.query: --maximum-quantity is 'many': ")
