"""Kind: a stored plan that changes without a reason, loses a photo, or moves a photo to another split or bucket."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import BUCKET, LEFT_OUT, ShardPlan, parse_plan
from steps.planning import assignments, local
from steps.planning.assigning import shuffle_key
from steps.planning.assignments import Lineage
from steps.planning.duckdb_engine import DuckSession
from steps.planning.local import LocalEngine
from steps.planning.run import Places, StoredPlan, make_plan
from steps.planning.settings import DatasetSettings
from tests.unit.steps.planning.cases import settings, tangled

ENGINE = LocalEngine(memory=200_000_000, threads=2)


class Planner:
    """Plans of labels, stored in a bucket."""

    def __init__(self, folder: Path, s3: Any, bucket: str) -> None:
        self.folder, self.s3, self.bucket = folder, s3, bucket
        self.places = Places(S3Uri(bucket, "out/assignments"), S3Uri(bucket, "out/plans"))
        self.runs = 0

    def plan(self, labels: pa.Table, chosen: DatasetSettings | None = None) -> StoredPlan:
        self.runs += 1
        folder = self.folder / str(self.runs)
        folder.mkdir()
        half = len(labels) // 2
        pq.write_table(labels.slice(half), folder / "a.parquet")
        pq.write_table(labels.slice(0, half), folder / "b.parquet")
        return make_plan(chosen or settings(), folder, self.places, ENGINE)

    def read(self, stored: StoredPlan, name: str) -> bytes:
        key = f"{stored.uri.key.rpartition('/')[0]}/{name}"
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def buckets(self, stored: StoredPlan) -> dict[str, pa.Table]:
        tables = {}
        for bucket in stored.plan.buckets:
            content = self.read(stored, f"buckets/{bucket.name}.parquet")
            assert hashlib.sha256(content).hexdigest() == bucket.sha256
            tables[bucket.name] = pq.read_table(io.BytesIO(content))
            assert tables[bucket.name].schema == BUCKET
            assert len(tables[bucket.name]) == bucket.photos
        return tables

    def splits(self, stored: StoredPlan) -> dict[str, int]:
        rows = [row for table in self.buckets(stored).values() for row in table.to_pylist()]
        splits = {row["image_id"]: row["split"] for row in rows}
        assert len(splits) == len(rows) == stored.plan.photos
        return splits

    def keys(self, prefix: str) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in listed]


@pytest.fixture
def planner(tmp_path: Path, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Planner:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "opt"))
    return Planner(tmp_path, s3, bucket)


def test_each_photo_is_in_a_bucket_or_left_out_and_the_description_says_so(planner: Planner) -> None:
    labels = tangled(300, 1)
    stored = planner.plan(labels)
    plan, tables = stored.plan, planner.buckets(stored)
    assert parse_plan(planner.read(stored, "description/plan.json"), "plan.json") == plan
    assert stored.uri.key == f"out/plans/{plan.key}/description"
    assert [bucket.name for bucket in plan.buckets] == [f"000001-{number:05d}" for number in range(4)]
    left_out = pq.read_table(io.BytesIO(planner.read(stored, "description/left_out.parquet")))
    assert left_out.schema == LEFT_OUT
    assert sum(plan.left_out.values()) == len(left_out) > 0
    ids = sorted([*planner.splits(stored), *left_out["image_id"].to_pylist()])
    assert ids == sorted(labels["image_id"].to_pylist())
    of_label = {row["image_id"]: row for row in labels.to_pylist()}
    for name, table in tables.items():
        rows = table.to_pylist()
        keys = [(row["split"], shuffle_key(1, row["image_id"])) for row in rows]
        assert keys == sorted(keys)
        assert {key & 3 for _, key in keys} == {int(name[-5:])}
        for row in rows:
            label = of_label[row["image_id"]]
            assert all(row[column] == label[column] for column in BUCKET.names if column != "split")
    counted = {
        split: {
            quantity: sum(
                row["split"] == place and row["quantity"] == quantity for t in tables.values() for row in t.to_pylist()
            )
            for quantity in range(4)
        }
        for place, split in enumerate(SPLITS)
    }
    assert plan.class_counts == counted


def test_the_same_photos_are_the_same_plan_at_the_same_place(planner: Planner) -> None:
    labels = tangled(300, 2)
    first = planner.plan(labels)
    before = {key: planner.s3.head_object(Bucket=planner.bucket, Key=key) for key in planner.keys("out/")}
    again = planner.plan(labels.take(pa.array(range(len(labels) - 1, -1, -1))))
    assert again == first
    assert planner.keys("out/") == list(before)
    assert planner.keys("out/assignments/") == [
        f"{Lineage.of(settings(), planner.places.assignments).folder.key}/000001.parquet"
    ]


def test_added_photos_are_in_buckets_of_their_own_and_nothing_else_changes(planner: Planner) -> None:
    labels = tangled(300, 3)
    first = planner.plan(labels.slice(0, 250))
    more = planner.plan(labels)
    old, new = planner.buckets(first), planner.buckets(more)
    assert {name: table for name, table in new.items() if name.startswith("000001")} == old
    assert [name for name in new if name.startswith("000002")] == ["000002-00000"]
    added = set(new["000002-00000"]["image_id"].to_pylist())
    assert added <= set(labels.slice(250)["image_id"].to_pylist())
    assert more.plan.later == len(added)
    assert planner.splits(first).items() <= planner.splits(more).items()
    assert planner.plan(labels) == more


def test_a_data_set_that_begins_anew_has_all_its_photos_in_common_buckets(planner: Planner) -> None:
    labels = tangled(300, 3)
    planner.plan(labels.slice(0, 250))
    planner.plan(labels)
    compacted = planner.plan(labels, settings(compact=1))
    assert {bucket.name[:6] for bucket in compacted.plan.buckets} == {"000002"}
    assert compacted.plan.later == 0
    assert planner.splits(compacted) == planner.splits(planner.plan(labels))


def test_a_removed_photo_leaves_its_bucket_and_comes_back_to_it(planner: Planner) -> None:
    labels = tangled(300, 4)
    whole = planner.plan(labels)
    less = planner.plan(labels.filter(pc.not_equal(labels["image_id"], labels["image_id"][7])))
    assert less.plan.photos == whole.plan.photos - 1
    assert planner.plan(labels) == whole


def test_a_given_split_is_kept_and_its_photos_have_buckets_of_their_own_when_they_are_added(planner: Planner) -> None:
    labels = tangled(300, 5)
    ids = labels["image_id"].to_pylist()
    content = "image_id,split\n" + "".join(f'"{name}",{SPLITS[number % 3]}\n' for number, name in enumerate(ids[:280]))
    planner.s3.put_object(Bucket=planner.bucket, Key="split.csv", Body=content.encode())
    chosen = settings(split="file", split_file_location=S3Uri(planner.bucket, "split.csv"))
    first = planner.plan(labels.slice(0, 200), chosen)
    more = planner.plan(labels, chosen)
    assert more.plan.left_out["not-in-split-file"] > 0
    assert planner.splits(more) == {
        name: number % 3 for number, name in enumerate(ids[:280]) if name in planner.splits(more)
    }
    assert {bucket.name[:6] for bucket in more.plan.buckets} == {"000001", "000002"}
    assert more.plan.buckets[: len(first.plan.buckets)] == first.plan.buckets
    assert more.plan.assignments == f"s3://{planner.bucket}/split.csv"
    assert more.plan.sharding.fractions == pytest.approx(dict.fromkeys(SPLITS, 1 / 3), abs=0.05)


def test_a_large_wave_is_written_in_parts(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = tangled(300, 6)
    expected = planner.splits(planner.plan(labels))
    planner.places = Places(S3Uri(planner.bucket, "parts/assignments"), S3Uri(planner.bucket, "parts/plans"))
    monkeypatch.setattr(local, "IN_OBJECT", 100)
    stored = planner.plan(labels)
    assert planner.splits(stored) == expected
    lineage = Lineage.of(settings(), planner.places.assignments)
    (wave,) = lineage.waves()
    assert len(wave.files) == 3
    assert wave.photos == stored.plan.photos
    assert planner.splits(planner.plan(labels)) == expected


def test_a_job_that_was_overtaken_plans_again(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = tangled(300, 7)
    write: Callable[..., bool] = Lineage.append
    overtaken = []

    def be_overtaken(lineage: Lineage, number: int, files: list[pa.Table]) -> bool:
        if not overtaken:
            overtaken.append(number)
            other = pa.table({"image_id": ["elsewhere"], "split": ["validation"]}, assignments.ASSIGNMENTS)
            assert write(lineage, number, [other])
        return write(lineage, number, files)

    monkeypatch.setattr(Lineage, "append", be_overtaken)
    stored = planner.plan(labels)
    waves = Lineage.of(settings(), planner.places.assignments).waves()
    assert [(wave.number, wave.photos) for wave in waves] == [(1, 1), (2, stored.plan.photos)]
    assert {bucket.name[:6] for bucket in stored.plan.buckets} == {"000002"}


def test_a_job_that_is_overtaken_again_and_again_says_so(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lineage, "append", lambda *_: False)
    with pytest.raises(StepError, match="other jobs assign splits at the same time; run a job"):
        planner.plan(tangled(300, 7))


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing more", None])
def test_damaged_assignments_are_named(planner: Planner, content: bytes | None) -> None:
    planner.plan(tangled(300, 8))
    (key,) = planner.keys("out/assignments/")
    if content is None:
        table = io.BytesIO()
        pq.write_table(pa.table({"id": ["1"]}), table)
        content = table.getvalue()
    planner.s3.put_object(Bucket=planner.bucket, Key=key, Body=content)
    with pytest.raises(StepError, match=rf"^s3://{planner.bucket}/{key}: not split assignments: .*restore an earlier"):
        planner.plan(tangled(300, 8))


def test_a_gap_in_the_assignments_is_named(planner: Planner) -> None:
    labels = tangled(300, 9)
    planner.plan(labels.slice(0, 250))
    planner.plan(labels)
    first, _ = planner.keys("out/assignments/")
    planner.s3.delete_object(Bucket=planner.bucket, Key=first)
    with pytest.raises(StepError, match=r"assignments are numbered without a gap; restore .*000001.parquet"):
        planner.plan(labels)


def test_labels_that_are_none_are_named(planner: Planner, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StepError, match="empty: no labels; the query step wrote no Parquet file there"):
        make_plan(settings(), empty, planner.places, ENGINE)
    pq.write_table(tangled(10, 1).drop_columns(["image_etag"]), empty / "part.parquet")
    with pytest.raises(StepError, match=r"part.parquet: labels do not have the columns image_id, .*image_etag"):
        make_plan(settings(), empty, planner.places, ENGINE)


@pytest.mark.parametrize(
    "lost", ["buckets/000001-00002.parquet", "description/left_out.parquet", "description/plan.json"]
)
def test_a_plan_of_which_a_part_is_gone_is_whole_after_the_next(planner: Planner, lost: str) -> None:
    labels = tangled(300, 1)
    stored = planner.plan(labels)
    before = planner.read(stored, lost)
    planner.s3.delete_object(Bucket=planner.bucket, Key=f"out/plans/{stored.plan.key}/{lost}")
    assert planner.plan(labels) == stored
    assert planner.read(stored, lost) == before


def test_the_file_of_left_out_photos_does_not_depend_on_the_batches_of_an_engine(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tangled(300, 1)
    stored = planner.plan(labels)
    batches = DuckSession.batches

    def few(session: DuckSession, query: str) -> Iterator[pa.RecordBatch]:
        for batch in batches(session, query):
            yield from (batch.slice(begin, 2) for begin in range(0, len(batch), 2))

    monkeypatch.setattr(DuckSession, "batches", few)
    assert sum(stored.plan.left_out.values()) > 2
    assert planner.plan(labels) == stored


def test_nothing_of_the_work_is_left_on_the_disk(planner: Planner, tmp_path: Path) -> None:
    planner.plan(tangled(300, 10))
    assert list((tmp_path / "opt/processing").iterdir()) == []


def test_a_plan_is_checked_when_it_is_read(planner: Planner) -> None:
    stored = planner.plan(tangled(300, 1))
    with pytest.raises(StepError, match=r"plan\.json: not a shard plan of version 1: dataset: "):
        parse_plan(stored.plan.model_dump_json().replace(stored.plan.dataset, "other").encode(), "plan.json")
    assert isinstance(stored.plan, ShardPlan)
