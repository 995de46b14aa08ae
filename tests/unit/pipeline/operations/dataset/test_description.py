"""The data set of a run, read from its index in S3."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from pydantic import BaseModel
from rich.console import Console

from pipeline.cli.output import print_parts
from pipeline.cli.views.dataset import dataset_page
from pipeline.operations.dataset import description as dataset
from pipeline.operations.runs import executions, outputs, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun
from pipeline.settings import Settings
from steps.contracts.dataset import DatasetIndex, Shard, Sharding, Split
from steps.contracts.errors import PipelineError
from steps.contracts.left_out import left_out
from steps.contracts.query_summary import Refusal, Summary
from steps.contracts.shard_summary import Leakage, Overlap, Photos, ShardSummary
from tests.unit.pipeline.console.pages.account_of_data import planned

pytestmark = pytest.mark.usefixtures("account")

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def split(name: str, counts: dict[int, int]) -> Split:
    samples = sum(counts.values())
    shard = Shard(
        uri=f"s3://b/{name}.tar", samples=samples, bytes=1_000_000, sha256=hashlib.sha256(name.encode()).hexdigest()
    )
    return Split(shards=[shard], class_counts=counts)


INDEX = DatasetIndex(
    sharding=Sharding(
        split="grouped",
        seed=1,
        fractions={"train": 0.8, "validation": 0.1, "test": 0.1},
        image_size=256,
        quality=90,
    ),
    splits={
        "train": split("train", {1: 10, 2: 20}),
        "validation": split("validation", {1: 3}),
        "test": split("test", {2: 3}),
    },
)


def summary(index: str) -> ShardSummary:
    overlap = Overlap(photos=6, same_bin=0, same_item=3)
    return ShardSummary(
        index=index,
        dataset_sha256=INDEX.sha256,
        photos=Photos(reused=30, written=6, excluded=0),
        rejects={"truncated": ["7"]},
        leakage=Leakage(split=overlap, random=overlap.model_copy(update={"same_bin": 6})),
        kept=30,
        assignments="s3://b/a",
    )


@pytest.fixture
def put(settings: Settings) -> Any:
    """Write one object of the project's bucket."""
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)

    def one(key: str, content: Any) -> None:
        s3.put_object(Bucket=settings.data.bucket, Key=key, Body=json.dumps(content).encode())

    return one


def json_of(model: BaseModel) -> Any:
    return json.loads(model.model_dump_json())


@pytest.fixture
def latest(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run whose shard step has succeeded; returns the place of the step's summary."""
    place = f"s3://{settings.data.bucket}/runs/abc/shard/summary"
    run = Execution(arn="arn:aws:sagemaker:us-east-1:1:pipeline/p/execution/abc", status="Succeeded", started=NOW)
    monkeypatch.setattr(executions, "resolve", lambda settings, reference: run)
    steps = tuple(
        StepRun(name, "Succeeded", metadata={"ProcessingJob": {"Arn": f"arn:x/{folder}"}})
        for name, folder in (("QueryMetadata", "query"), ("ShardImages", "shard"))
    )
    monkeypatch.setattr(progress, "read", lambda settings, arn: Progress(run, steps, ()))

    def describe(ProcessingJobName: str) -> dict[str, Any]:
        uri = f"{place.rsplit('/', 2)[0]}/{ProcessingJobName}/summary"
        return {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "summary", "S3Output": {"S3Uri": uri}}]}}

    monkeypatch.setattr(outputs, "client", lambda settings, service: SimpleNamespace(describe_processing_job=describe))
    return place


def queried(**refused: int) -> Summary:
    """The summary of a query that refused so many photos for each reason."""
    return Summary(
        image_location="s3://photos",
        data_version="1",
        maximum_quantity=5,
        reader="athena",
        metadata_files=36,
        images=36,
        labels={1: 13, 2: 23},
        refused={reason: Refusal(photos=photos, examples=["8", "9"]) for reason, photos in refused.items()},
        executions=[],
    )


def test_a_runs_data_set_is_the_one_that_its_shard_step_hands_on(settings: Settings, put: Any, latest: str) -> None:
    index = f"s3://{settings.data.bucket}/indexes/{INDEX.key}"
    put("runs/abc/shard/summary/shard.json", json_of(summary(index)))
    put(f"indexes/{INDEX.key}/index.json", json_of(INDEX))

    data = dataset.find(settings, "latest")

    assert (data.uri, data.index, data.summary, data.query) == (index, INDEX, summary(index), None)
    put("runs/abc/shard/summary/plan.json", json_of(planned()))
    assert (data.plan, dataset.find(settings, "latest").plan) == (None, planned())
    assert dataset.find(settings, f"{index}/") == dataset.DataSet(f"{index}/", INDEX, None)


@pytest.mark.parametrize("refused", [{}, {"malformed": 286}, {"malformed": 1, "above-maximum": 40, "missing-image": 7}])
def test_what_the_query_refused_is_left_out_too_and_the_same_everywhere(
    settings: Settings, put: Any, latest: str, refused: dict[str, int]
) -> None:
    """The kind: two places that say different things. One list has what the query and the shards left out."""
    index = f"s3://{settings.data.bucket}/indexes/{INDEX.key}"
    put("runs/abc/shard/summary/shard.json", json_of(summary(index)))
    put("runs/abc/query/summary/query.json", json_of(queried(**refused)))
    put(f"indexes/{INDEX.key}/index.json", json_of(INDEX))

    data = dataset.find(settings, "latest")

    each = left_out(data.query, data.summary)
    assert {entry.reason: entry.photos for entry in each} == {**refused, "truncated": 1}
    assert [entry.photos for entry in each[:-1]] == sorted(refused.values(), reverse=True)
    shown = [" ".join(str(part).split()) for part in printed(data)]
    for reason, photos in refused.items():
        assert any(line.startswith(f"{reason} {photos} QueryMetadata 8, 9") for line in shown)
    assert any(line.startswith("truncated 1 ShardImages 7") for line in shown)


@pytest.mark.parametrize("content", [None, {"version": 9}, "not a summary"])
def test_an_unknown_query_is_not_nothing(settings: Settings, put: Any, latest: str, content: Any) -> None:
    index = f"s3://{settings.data.bucket}/indexes/{INDEX.key}"
    put("runs/abc/shard/summary/shard.json", json_of(summary(index).model_copy(update={"rejects": {}})))
    put(f"indexes/{INDEX.key}/index.json", json_of(INDEX))
    if content is not None:
        put("runs/abc/query/summary/query.json", content)
    data = dataset.find(settings, "latest")
    assert "query.json" in data.query_problem
    text = "\n".join(printed(data))
    assert "left out by the query: not known (" in text
    assert "left out: nothing" not in text


def printed(data: dataset.DataSet) -> list[str]:
    console = Console(file=io.StringIO(), width=150)
    print_parts(console, *dataset_page(data))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def test_a_summary_that_is_gone_or_damaged_is_one_line(settings: Settings, put: Any, latest: str) -> None:
    with pytest.raises(PipelineError, match=rf"^there is no {latest}/shard.json; "):
        dataset.find(settings, "latest")
    put("runs/abc/shard/summary/shard.json", {"version": 9})
    with pytest.raises(PipelineError, match=r"summary/shard.json: not a shard summary of version 1: version"):
        dataset.find(settings, "latest")


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({}, r"there is no s3://.*/run/index/index.json"),
        ({"index.json": {"version": 9}}, r"run/index/index.json: not a dataset index of version 2: version"),
        (
            {"index.json": json_of(INDEX) | {"splits": {"train": json_of(INDEX.splits["train"])}}},
            "the validation split is empty",
        ),
    ],
)
def test_an_index_that_is_not_whole_is_one_line(settings: Settings, put: Any, objects: Any, message: str) -> None:
    for name, content in objects.items():
        put(f"run/index/{name}", content)
    with pytest.raises(PipelineError, match=message):
        dataset.read(settings, f"s3://{settings.data.bucket}/run/index")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://no-such-bucket/index", "there is no s3://no-such-bucket/index"),
        ("/tmp/index", "write s3://bucket/prefix"),
    ],
)
def test_a_place_that_cannot_be_is_one_line(settings: Settings, uri: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        dataset.read(settings, uri)


def test_a_run_without_a_data_set_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Execution(arn="arn:aws:sagemaker:us-east-1:1:pipeline/p/execution/abc", status="Failed", started=NOW)
    monkeypatch.setattr(executions, "resolve", lambda settings, reference: run)
    steps = (StepRun("ShardImages", "Failed", metadata={"ProcessingJob": {"Arn": "arn:x/job"}}),)
    monkeypatch.setattr(progress, "read", lambda settings, arn: Progress(run, steps, ()))

    with pytest.raises(PipelineError, match=r"the run abc has created no data set \(ShardImages: Failed\)"):
        dataset.find(settings, "latest")
