"""Plans by Spark: byte by byte those of DuckDB, also after the loss of an executor in mid-plan."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ROOT
from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import parse_plan
from steps.planning import local, rule
from steps.planning.assignments import ASSIGNMENTS, Lineage
from steps.planning.engine import Engine
from steps.planning.local import LocalEngine
from steps.planning.rule import Session
from steps.planning.run import Places, StoredPlan, make_plan
from steps.planning.settings import DatasetSettings
from steps.spark.planning import SparkEngine, SparkPlanning
from steps.spark.staging import Staging
from tests.spark.instances import job
from tests.unit.steps.arguments import PLAN, flags_of
from tests.unit.steps.planning.cases import earlier_splits, settings, tangled


class Plans:
    """Plans of labels in a bucket, by both engines, each beginning with an empty output."""

    def __init__(self, folder: Path, s3: Any, bucket: str) -> None:
        self.s3, self.bucket, self.folder = s3, bucket, folder / "labels"
        self.places = Places(S3Uri(bucket, "out/assignments"), S3Uri(bucket, "out/plans"))
        self.folder.mkdir()

    def put(self, labels: pa.Table) -> None:
        """The labels in two files, in a folder and below a prefix."""
        half = len(labels) // 2
        for number, part in enumerate([labels.slice(half), labels.slice(0, half)]):
            content = io.BytesIO()
            pq.write_table(part, content, row_group_size=100)
            (self.folder / f"part-{number}").write_bytes(content.getvalue())
            self.s3.put_object(Bucket=self.bucket, Key=f"labels/part-{number}", Body=content.getvalue())

    def clear(self) -> None:
        for key in self.objects("out/"):
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    def objects(self, prefix: str) -> dict[str, bytes]:
        keys = [
            entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        ]
        return {key: self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def spark(self, session: Any) -> SparkEngine:
        return SparkEngine(session, S3Uri(self.bucket, "labels"), S3Uri(self.bucket, "jobs/job/tables"))

    def plan(self, engine: Engine, chosen: DatasetSettings) -> StoredPlan:
        return make_plan(chosen, self.folder, self.places, engine)


LOCAL = LocalEngine(memory=200_000_000, threads=2)


@pytest.fixture
def plans(tmp_path: Path, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Plans:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "opt"))
    return Plans(tmp_path, s3, bucket)


def check_equal(
    plans: Plans, spark: Any, chosen: DatasetSettings, prepare: Callable[[], object] = lambda: None
) -> None:
    """Both engines return the same plan and store the same objects, and Spark's tables are gone."""
    stored = []
    for engine in (LOCAL, plans.spark(spark)):
        plans.clear()
        prepare()
        stored.append((plans.plan(engine, chosen), plans.objects("out/")))
    (expected, objects), (plan, others) = stored
    assert plan.plan == expected.plan
    assert plan.uri == expected.uri
    assert others.keys() == objects.keys()
    assert [key for key in objects if others[key] != objects[key]] == []
    assert plans.objects("jobs/") == {}


@pytest.mark.parametrize(
    ("labels", "changes"),
    [
        (tangled(300, 1), {}),
        (tangled(200, 2, kinds=25, largest=30), {"seed": 7, "validation_fraction": 0.1}),
        (tangled(300, 3), {"common_items": 0.2}),
        (tangled(300, 4), {"split": "random"}),
    ],
    ids=["grouped", "large sets", "common items", "random"],
)
def test_a_plan_is_that_of_duckdb(
    plans: Plans, spark: Any, monkeypatch: pytest.MonkeyPatch, labels: pa.Table, changes: dict[str, Any]
) -> None:
    # Fewer than the bins that could calibrate models, so that both engines have to choose.
    monkeypatch.setattr(rule, "CALIBRATION_BINS", 5)
    plans.put(labels)
    check_equal(plans, spark, settings(**changes))


def test_a_given_split_is_that_of_duckdb(plans: Plans, spark: Any) -> None:
    labels = tangled(300, 5)
    plans.put(labels)
    ids = labels["image_id"].to_pylist()[:280]
    content = "image_id,split\n" + "".join(f'"{name}",{SPLITS[number % 3]}\n' for number, name in enumerate(ids))
    plans.s3.put_object(Bucket=plans.bucket, Key="split.csv", Body=content.encode())
    check_equal(plans, spark, settings(split="file", split_file_location=S3Uri(plans.bucket, "split.csv")))


def test_added_photos_between_earlier_splits_are_those_of_duckdb_in_parts_too(
    plans: Plans, spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tangled(400, 6)
    # Waves of several files, for the next to read and for the new one to be written in.
    monkeypatch.setattr(local, "IN_OBJECT", 50)
    lineage = Lineage.of(settings(), plans.places.assignments)

    def prepare() -> None:
        earlier = earlier_splits(labels.slice(0, 200), 0.5, 1).cast(ASSIGNMENTS)
        assert lineage.append(1, [earlier.slice(0, 40), earlier.slice(40)])
        plans.put(labels.slice(0, 300))
        plans.plan(LOCAL, settings())
        plans.put(labels)

    check_equal(plans, spark, settings(), prepare)
    waves = lineage.waves()
    assert [len(wave.files) > 1 for wave in waves] == [True, True, True]


def test_groups_are_those_of_all_pairs(plans: Plans, spark: Any) -> None:
    """Brute force: alike sets of items, group names and copies connect photos."""
    labels = tangled(150, 8)
    plans.put(labels)
    stored = plans.plan(plans.spark(spark), settings())
    splits = {
        row["image_id"]: row["split"]
        for key, content in plans.objects("out/plans/").items()
        if "/buckets/" in key
        for row in pq.read_table(io.BytesIO(content)).to_pylist()
    }
    rows = [row for row in labels.to_pylist() if row["image_id"] in splits]
    assert len(rows) == stored.plan.photos
    root = list(range(len(rows)))

    def find(place: int) -> int:
        while root[place] != place:
            place = root[place]
        return place

    for (i, one), (j, other) in itertools.combinations(enumerate(rows), 2):
        if alike(one, other):
            root[max(find(i), find(j))] = min(find(i), find(j))
    groups = defaultdict(set)
    sizes: dict[int, int] = defaultdict(int)
    for place, row in enumerate(rows):
        groups[find(place)].add(splits[row["image_id"]])
        sizes[find(place)] += 1
    assert {len(of_group) for of_group in groups.values()} == {1}
    assert stored.plan.leakage.split.same_bin == 0
    assert stored.plan.largest_group == max(sizes.values())


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    items, others = ({item for item in row["asins"] or () if item is not None} for row in (one, other))
    if items and others and 2 * len(items & others) >= len(items | others):
        return True
    if one["bin_group"] is not None and one["bin_group"] == other["bin_group"]:
        return True
    return one["image_bytes"] != 0 and all(one[name] == other[name] for name in ("image_etag", "image_bytes"))


def test_a_chain_has_the_smallest_node_as_its_root(plans: Plans, spark: Any) -> None:
    staging = Staging(spark, S3Uri(plans.bucket, "jobs/job/tables"))
    session: Session = SparkPlanning(spark, staging, seed=1)
    nodes = [(7 * number) % 97 for number in range(97)]
    pairs = [*itertools.pairwise(nodes), (200, 300), (300, 300), (400, 400)]
    session.register("edges", pa.table({"u": [u for u, _ in pairs], "v": [v for _, v in pairs]}))
    session.connect("roots", "edges")
    rows = session.rows("SELECT node, root FROM roots").to_pylist()
    assert {row["node"]: row["root"] for row in rows} == {**dict.fromkeys(range(1, 97), 0), 300: 200}
    assert len(rows) == 97


def test_rows_come_in_the_order_of_a_query(plans: Plans, spark: Any) -> None:
    session = SparkPlanning(spark, Staging(spark, S3Uri(plans.bucket, "jobs/job/tables")), seed=1)
    spark.conf.set("spark.sql.adaptive.enabled", "false")  # so that there are several tasks
    try:
        session.register("numbers", pa.table({"n": [(37 * number) % 1009 for number in range(1009)]}))
        session.create("spread", "SELECT /*+ REPARTITION(5, n) */ n FROM numbers")
        batches = list(session.batches("SELECT n FROM spread ORDER BY n"))
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", "true")
    assert len(batches) > 1
    assert pa.Table.from_batches(batches)["n"].to_pylist() == list(range(1009))


def test_labels_without_a_column_and_with_nulls_are_named(plans: Plans, spark: Any) -> None:
    whole = tangled(20, 1)
    nulls = whole.set_column(3, pa.field("image_key", pa.string()), pa.nulls(20, pa.string()))
    for labels, line in (
        (
            whole.drop_columns(["image_etag"]),
            rf"s3://{plans.bucket}/labels/part-0: no column image_etag; it has image_id",
        ),
        (nulls, "the labels have 20 rows without image_key; run the query step again"),
    ):
        plans.put(labels)
        with pytest.raises(StepError, match=line):
            plans.plan(plans.spark(spark), settings())
    assert plans.objects("jobs/") == {}


def test_a_plan_survives_the_loss_of_executors_in_the_middle(plans: Plans, tmp_path: Path) -> None:
    plans.put(tangled(300, 9))
    expected, objects = plans.plan(LOCAL, settings()), plans.objects("out/")
    plans.clear()
    with job(tmp_path / "job", plans.bucket, "plan_and_lose_executors", marker=str(tmp_path / "lost")) as planning:
        planning.start(0, 1)
        assert planning.wait(1200) == {0: 0, 1: 0}, planning.logs()
        assert planning.result() == {"key": expected.plan.key}
    lost = [Path(f"{tmp_path}/lost-{table}").read_text() for table in ("sets", "star")]
    assert len(set(lost)) == 2
    assert plans.objects("out/") == objects


@pytest.fixture
def instances(plans: Plans, tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The step's processes on two instances of a job."""
    plans.put(tangled(300, 10))
    hosts, running = ["algo-1", "algo-2"], []
    outputs = [
        {"OutputName": name, "S3Output": {"S3Uri": f"s3://{plans.bucket}/{place}"}}
        for name, place in (
            ("summary", "runs/plan/summary"),
            ("assignments", "out/assignments"),
            ("plans", "out/plans"),
        )
    ]
    config = {
        "ProcessingJobName": "job",
        "ProcessingInputs": [{"InputName": "labels", "S3Input": {"S3Uri": f"s3://{plans.bucket}/labels"}}],
        "ProcessingOutputConfig": {"Outputs": outputs},
    }
    try:
        for host in hosts:
            base = tmp_path / host
            (base / "config").mkdir(parents=True)
            (base / "config/processingjobconfig.json").write_text(json.dumps(config))
            (base / "config/resourceconfig.json").write_text(json.dumps({"current_host": host, "hosts": hosts}))
            arguments = flags_of({**PLAN, "planner": "spark"})
            environment = {
                **os.environ,
                "SAGEMAKER_BASE_DIR": str(base),
                "IMAGE_ALONE": "1",
                "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            }
            with (base / "log").open("wb") as log:
                running.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "steps.plan", *arguments],
                        cwd=ROOT,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        yield running
    finally:
        for process in running:
            process.terminate()
            process.wait()


def test_the_step_on_two_instances_hands_the_plan_on(
    plans: Plans, instances: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    logs = [tmp_path / host / "log" for host in ("algo-1", "algo-2")]
    assert [process.wait(1200) for process in instances] == [0, 0], "".join(log.read_text()[-4000:] for log in logs)
    summary = tmp_path / "algo-1/processing/output/summary"
    plan = parse_plan((summary / "plan.json").read_bytes(), "plan.json")
    objects = plans.objects("out/")
    plans.clear()
    chosen = DatasetSettings(**{name: value for name, value in PLAN.items() if name != "planner"})
    expected = plans.plan(LOCAL, chosen)
    assert plan == expected.plan
    assert objects == plans.objects("out/")
    assert json.loads((summary / "hand_over.json").read_text())["uri"] == str(expected.uri)
    assert "planning with Spark, since --planner is spark" in logs[0].read_text()
    assert "the first instance hands the plan on; this one is done" in logs[1].read_text()
    assert [key for key in plans.objects("runs/") if "/tables/" in key] == []
