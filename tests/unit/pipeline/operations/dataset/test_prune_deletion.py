"""Carrying a plan out: what goes in which order, what remains, and that every data set that stays reads whole."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pipeline.operations.dataset import prune_deletion as deletion
from pipeline.operations.dataset import prune_plan as plan
from pipeline.operations.dataset.prune_deletion import Refused, Removed
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.answers import Answers
from tests.unit.pipeline.operations.dataset.data import KEY, NOW, Data, generation

pytestmark = pytest.mark.usefixtures("account")


@pytest.fixture
def data(account: None, settings: Settings) -> Data:
    return Data(settings.data.bucket, settings.data.prefix)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The keys of each DeleteObjects, in their order."""
    seen: list[list[str]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        seen.append([item["Key"].split("/", 1)[1] for item in params["Delete"]["Objects"]])

    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register("before-parameter-build.s3.DeleteObjects", note)
    return seen


def prune(settings: Settings) -> list[Removed]:
    return list(deletion.carry_out(settings, plan.make(settings, 90, NOW)))


def refusing(*keys: str) -> str:
    """S3's answer to DeleteObjects that refuses these keys."""
    errors = "".join(
        f"<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>Access\n Denied</Message></Error>" for key in keys
    )
    return f'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{errors}</DeleteResult>'


def test_what_goes_is_gone_and_a_second_time_there_is_nothing(settings: Settings, data: Data) -> None:
    uris = data.generation(1, age=100)
    data.labels(1, age=100)
    data.labels(2, age=100)
    other = data.generation(2, age=100)
    index = data.index(other, age=5)
    foreign = data.put("shards/notes.txt", age=900)
    removed = prune(settings)
    assert (sum(item.objects for item in removed), sum(item.size for item in removed)) == (9, 3 * 1_001 + 3 + 2)
    assert not any(data.has(uri) for uri in uris)
    assert all(data.has(uri) for uri in other)
    left = data.listed()
    assert f"shards/{generation(2)}/complete.json" in left
    assert not any(key.startswith(f"shards/{generation(1)}/") for key in left)
    assert {foreign.split("/", 1)[1], f"{index.split('/', 4)[4]}/index.json"} <= left
    assert plan.make(settings, 90, NOW).empty
    assert prune(settings) == []


def test_a_plan_goes_from_its_description_on(
    settings: Settings, data: Data, batches: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [data.plan(number, age=100) for number in (1, 2)]
    data.plan(3, age=1)
    data.put(f"plans/layouts/{KEY}.json", age=100)
    prune(settings)
    descriptions, others, layouts = batches
    assert descriptions == [f"plans/{key}/description/plan.json" for key in keys]
    assert len(others) == 6
    assert layouts == [f"plans/layouts/{KEY}.json"]
    assert {key.split("/")[1] for key in data.listed("plans")} == {f"{3:032x}"}


def test_a_plan_whose_description_stays_stays_whole(settings: Settings, data: Data) -> None:
    refused = data.plan(1, age=100)
    data.plan(2, age=100)
    data.plan(3, age=1)
    place = f"{data.prefix}/plans/{refused}/description/plan.json"
    Answers().say_xml("s3.DeleteObjects", refusing(place), times=1)
    removed = prune(settings)
    assert [item.refused for item in removed if item.refused] == [(Refused(place, "AccessDenied: Access Denied"),)]
    assert {key for key in data.listed("plans") if "/buckets/" in key or "left_out" in key} == {
        f"plans/{number:032x}/{name}"
        for number in (1, 3)
        for name in ("description/left_out.parquet", "buckets/000001-00000.parquet", "buckets/000001-00001.parquet")
    }


def test_records_go_before_their_tars_and_the_marker_last(
    settings: Settings, data: Data, batches: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "BATCH", 2)
    data.generation(1, age=100, shards=3)
    data.shard(generation(1), "train", 9, age=100, record=False)
    prune(settings)
    order = [key for batch in batches for key in batch]
    assert max(map(len, batches)) == 2
    assert order[-1].endswith("complete.json")
    records = [key for key in order if key.endswith(".parquet")]
    assert len(records) == 3
    for record in records:
        assert order.index(record) < order.index(record.replace(".parquet", ".tar"))
        # S3 removes the keys of one request in any order.
        assert not any({record, record.replace(".parquet", ".tar")} <= set(batch) for batch in batches)


def test_no_request_has_more_keys_than_s3_takes(settings: Settings, data: Data, batches: list[list[str]]) -> None:
    for number in range(1_001):
        data.put(f"shards/{generation(1)}/train/train-000-{number:06d}.tar", age=100)
    data.put(f"shards/{generation(1)}/complete.json", age=100)
    prune(settings)
    assert list(map(len, batches)) == [1_000, 1, 1]
    assert data.listed() == set()


def test_a_record_that_remains_keeps_its_tar_and_the_marker(settings: Settings, data: Data) -> None:
    uris = data.generation(1, age=100)
    record = uris[1].split("/", 3)[3].replace(".tar", ".parquet")
    answers = Answers()
    answers.say_xml("s3.DeleteObjects", refusing(record), times=1)
    removed = prune(settings)
    assert [item for batch in removed for item in batch.refused] == [Refused(record, "AccessDenied: Access Denied")]
    assert data.has(uris[1])
    assert f"shards/{generation(1)}/complete.json" in data.listed()


def test_a_tar_that_remains_is_named_and_goes_the_next_time(settings: Settings, data: Data) -> None:
    data.put(f"shards/{generation(1)}/complete.json", age=100)
    # Their records went before: what a prune that was broken off leaves.
    uris = [data.shard(generation(1), "train", number, age=100, record=False) for number in range(3)]
    keys = [uri.split("/", 3)[3] for uri in uris]
    Answers().say_xml("s3.DeleteObjects", refusing(*keys), times=1)
    assert [item.key for batch in prune(settings) for item in batch.refused] == keys
    assert f"shards/{generation(1)}/complete.json" in data.listed()
    prune(settings)
    assert data.listed() == set()


def test_a_request_that_fails_ends_it_and_it_goes_on_the_next_time(settings: Settings, data: Data) -> None:
    data.generation(1, age=100)
    Answers().error("s3.DeleteObjects", "AccessDenied", "no", status=403, times=1)
    with pytest.raises(ClientError, match="AccessDenied"):
        prune(settings)
    assert len(data.listed()) == 7
    prune(settings)
    assert data.listed() == set()


@pytest.mark.parametrize("what", ["an index written again", "a new index", "an approval"])
def test_what_has_changed_since_it_was_shown_ends_it(settings: Settings, data: Data, what: str) -> None:
    uris = data.generation(1, age=200, shards=4)
    index = data.index(uris[:3], age=200)
    shown = plan.make(settings, 90, NOW)
    before = data.listed()
    if what == "an approval":
        data.approve(index)
    else:
        data.index(uris if what == "a new index" else uris[:3], age=0)
    with pytest.raises(PipelineError, match="nothing was deleted: run this again"):
        list(deletion.carry_out(settings, shown))
    assert before <= data.listed()


@pytest.mark.parametrize("started", [1, 2, 3])
def test_a_run_that_starts_meanwhile_ends_it_before_the_next_shards(
    settings: Settings, data: Data, monkeypatch: pytest.MonkeyPatch, started: int
) -> None:
    monkeypatch.setattr(deletion, "BATCH", 2)
    data.generation(1, age=100, shards=4)
    shown = plan.make(settings, 90, NOW)
    answers: list[list[str]] = [[], [], []]
    answers[started - 1] = ["abc"]
    monkeypatch.setattr(plan.executions, "running", lambda settings: answers.pop(0))
    with pytest.raises(PipelineError, match="python -m pipeline stop abc"):
        list(deletion.carry_out(settings, shown))
    left = data.listed("shards")
    assert len([key for key in left if key.endswith(".tar")]) == (4 if started < 3 else 2)
    assert len([key for key in left if key.endswith(".parquet")]) == (4 if started < 3 else 2)


def test_in_a_versioned_bucket_an_earlier_version_is_left(settings: Settings, data: Data) -> None:
    data.s3.put_bucket_versioning(Bucket=data.bucket, VersioningConfiguration={"Status": "Enabled"})
    uris = data.generation(1, age=100)
    prune(settings)
    assert data.listed() == set()
    versions = data.s3.list_object_versions(Bucket=data.bucket)
    assert len(versions["Versions"]) == len(versions["DeleteMarkers"]) == 2 * len(uris) + 1
