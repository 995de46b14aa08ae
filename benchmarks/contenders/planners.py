"""Plans of the same labels, by DuckDB out of core, by Spark, and in the memory of a process."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from benchmarks.child import Work
from steps.contracts.s3_uri import S3Uri
from steps.planning.run import bucket_rows
from steps.planning.settings import DatasetSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Memory that Spark's processes divide.
SPARK_BYTES = 6 << 30


def settings() -> DatasetSettings:
    """Settings of a grouped split as in `pipeline.yaml`."""
    return DatasetSettings(
        image_location=S3Uri("a-bucket", "raw"),
        image_size=256,
        quality=90,
        split="grouped",
        seed=1,
        validation_fraction=0.1,
        test_fraction=0.1,
        common_items=1.0,
        shard_megabytes=200.0,
        compact=0,
    )


def duckdb(labels: str, memory: int) -> Work:
    """The planner of the shard step, with `memory` bytes for DuckDB: everything but the transfer to and from S3."""
    from steps.contracts.labels import SCHEMA
    from steps.planning.duckdb_engine import DuckSession
    from steps.planning.local import by_bucket
    from steps.planning.rule import decide
    from steps.runtime.machine import available_cores

    pa.set_memory_pool(pa.system_memory_pool())

    def work() -> dict[str, float]:
        chosen = settings()
        with (
            tempfile.TemporaryDirectory(dir=Path(labels).parent) as folder,
            DuckSession(Path(folder), seed=chosen.seed, memory=memory, threads=available_cores()) as session,
        ):
            session.read_parquet("labels", [Path(labels)], SCHEMA)
            session.register("assigned", _nothing_assigned())
            decision = decide(session, chosen)
            session.register("mask", pa.table({"wave": [1], "mask": [127]}))
            rows = session.batches(f"{bucket_rows('1')} ORDER BY 1, 2, p.split, p.key, p.image_id")
            written = sum(len(table) for _, _, table in by_bucket(rows))
            assert written == sum(sum(counts.values()) for counts in decision.class_counts.values())
            splits = (
                (batch.column(0), batch.column(1))
                for batch in session.batches("SELECT image_id, split FROM planned ORDER BY image_id")
            )
            return {"plan": _digest(splits)}

    return work


def spark(labels: str, folder: str, scratch: str) -> Work:
    """Spark on two cores of this machine, over the labels below an S3 URI; tables are staged below `folder`."""
    from benchmarks.tree import watched
    from steps.planning.rule import decide
    from steps.runtime.container import Instance
    from steps.runtime.machine import Machine
    from steps.spark.cluster import Cluster, run
    from steps.spark.planning import SparkEngine

    alone = Cluster(
        instance=Instance(0, 1, "algo-1"),
        folder=S3Uri.parse(folder),
        scratch=Path(scratch),
        machine=Machine(cores=2, memory=SPARK_BYTES),
    )

    def plan(session: SparkSession) -> float:
        chosen = settings()
        engine = SparkEngine(session, S3Uri.parse(labels), alone.folder.join("tables"))
        with engine.session(chosen, Path(), [], None) as planning:
            decide(planning, chosen)
            planning.register("mask", pa.table({"wave": [1], "mask": [127]}))
            planning.write_buckets(bucket_rows("1"))
            ordered = planning.batches("SELECT image_id, split FROM planned ORDER BY image_id")
            return _digest((batch.column(0), batch.column(1)) for batch in ordered)

    def work() -> dict[str, float]:
        with watched() as figures:
            digest = run(alone, plan)
        assert digest is not None
        return {**figures, "plan": digest}

    return work


def in_process(labels: str) -> Work:
    """The planner that every instance ran before: arrays over all labels."""
    import pyarrow.parquet as pq

    from benchmarks.contenders.planning.plan import make_plan
    from steps.contracts.labels import SCHEMA

    pa.set_memory_pool(pa.system_memory_pool())

    def work() -> dict[str, float]:
        plan = make_plan(pq.read_table(labels).cast(SCHEMA), settings())
        ids = plan.labels["image_id"].combine_chunks()
        return {"plan": _digest([(ids, pa.array(plan.splits))])}

    return work


def _nothing_assigned() -> pa.Table:
    return pa.schema([("image_id", pa.string()), ("split", pa.int8()), ("wave", pa.int32())]).empty_table()


def _digest(splits: Iterable[tuple[pa.Array, pa.Array]]) -> float:
    """48 bits of a hash of all photos with their splits, in the order of ids."""
    digest = hashlib.sha256()
    for ids, places in splits:
        for begin in range(0, len(ids), 10_000):
            pairs = zip(ids.slice(begin, 10_000).to_pylist(), places.slice(begin, 10_000).to_pylist(), strict=True)
            digest.update("".join(f"{name}={place};" for name, place in pairs).encode())
    return float(int.from_bytes(digest.digest()[:6]))
