"""The data set of a run, read from its index in S3."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from pipeline.errors import PipelineError
from pipeline.operations import dataset, executions, progress
from pipeline.operations.executions import Execution
from pipeline.operations.progress import Progress, StepRun
from pipeline.settings import Settings

pytestmark = pytest.mark.usefixtures("account")

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def part(instance: int, instances: int = 2) -> dict[str, Any]:
    """The part of one instance: 10 photos of 1 and 20 of 2 in training, 3 in each other split."""

    def split(name: str, counts: dict[str, int]) -> dict[str, Any]:
        shard = {
            "uri": f"s3://b/{name}-{instance}.tar",
            "samples": sum(counts.values()),
            "bytes": 1_000_000,
            "sha256": "0" * 64,
        }
        return {"shards": [shard], "class_counts": counts}

    overlap = {"photos": 12, "same_bin": 0, "same_item": 3}
    return {
        "instance": instance,
        "instances": instances,
        "sharding": {
            "split": "grouped",
            "seed": 1,
            "fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "image_size": 256,
            "quality": 90,
            "labels_sha256": "",
        },
        "splits": {
            "train": split("train", {"1": 10, "2": 20}),
            "validation": split("validation", {"1": 3}),
            "test": split("test", {"2": 3}),
        },
        "rejects": {"truncated": [f"{instance}"]},
        "facts": {
            "leakage": {"split": overlap, "random": overlap | {"same_bin": 6}},
            "kept": 60 - instance,
            "assignments": "s3://b/a",
        },
    }


@pytest.fixture
def put(settings: Settings) -> Any:
    """Write one object of the project's bucket."""
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)

    def one(key: str, content: Any) -> None:
        s3.put_object(Bucket=settings.data.bucket, Key=key, Body=json.dumps(content).encode())

    return one


def test_the_parts_below_a_prefix_are_one_index(settings: Settings, put: Any) -> None:
    put("run/index/part-000.json", part(0))
    put("run/index/part-001.json", part(1))
    put("run/index/notes.json", {})
    put("run/index-of-another/part-002.json", part(2))

    index = dataset.read(settings, f"s3://{settings.data.bucket}/run/index/")

    assert index.splits["train"].class_counts == {1: 20, 2: 40}
    assert index.rejects == {"truncated": ["0", "1"]}
    assert index.facts is not None
    assert index.facts.leakage.random.same_bin == 6
    assert index.facts.kept == 59  # of the instance that planned first


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({}, "no dataset index"),
        ({"part-000.json": part(0)}, "wants parts of instances 0 to 1 but has 0"),
        ({"part-000.json": {"version": 9}}, r"run/index/part-000.json: not a dataset index of version 1: version"),
    ],
)
def test_an_index_that_is_not_whole_is_one_line(settings: Settings, put: Any, objects: Any, message: str) -> None:
    for name, content in objects.items():
        put(f"run/index/{name}", content)
    with pytest.raises(PipelineError, match=message):
        dataset.read(settings, f"s3://{settings.data.bucket}/run/index")


@pytest.mark.parametrize(
    ("uri", "message"),
    [("s3://no-such-bucket/index", "there is no bucket no-such-bucket"), ("/tmp/index", "write s3://BUCKET/PREFIX")],
)
def test_a_place_that_cannot_be_is_one_line(settings: Settings, uri: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        dataset.read(settings, uri)


def test_a_run_without_a_data_set_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Execution(arn="arn:aws:sagemaker:us-east-1:1:pipeline/p/execution/abc", status="Failed", started=NOW)
    monkeypatch.setattr(executions, "resolve", lambda settings, reference: run)
    steps = (StepRun("ShardImages", "Failed", metadata={"ProcessingJob": {"Arn": "arn:x/job"}}),)
    monkeypatch.setattr(progress, "read", lambda settings, arn: Progress(run, steps, ()))

    with pytest.raises(PipelineError, match=r"the run abc has made no data set \(ShardImages: Failed\)"):
        dataset.locate(settings, "latest")


def test_a_uri_is_taken_as_it_is(settings: Settings) -> None:
    assert dataset.locate(settings, "s3://b/index") == "s3://b/index"
