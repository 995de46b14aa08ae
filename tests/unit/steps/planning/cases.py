"""Labels in which everything happens at once, and plans of them by DuckDB and by the in-process planner."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.dataset import SPLITS
from steps.contracts.labels import SCHEMA
from steps.contracts.s3_uri import S3Uri
from steps.planning.duckdb_engine import DuckSession
from steps.planning.rule import Decision, decide
from steps.planning.settings import DatasetSettings

ASSIGNED = pa.schema([("image_id", pa.string()), ("split", pa.int8()), ("wave", pa.int32())])


def settings(**changes: Any) -> DatasetSettings:
    """Settings of a grouped split with a fifth of the photos held out."""
    values: dict[str, Any] = {
        "image_location": S3Uri("raw-bucket", "raw"),
        "image_size": 64,
        "quality": 90,
        "split": "grouped",
        "seed": 1,
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
        "common_items": 1.0,
        "shard_megabytes": 1.0,
        "compact": 0,
    }
    return DatasetSettings(**values | changes)


def tangled(photos: int, seed: int, *, kinds: int = 60, largest: int = 12) -> pa.Table:
    """Labels with empty bins, hot items, large sets, named groups, copies, and ids and keys that are refused."""
    rng = np.random.default_rng(seed)
    rows = []
    held: list[int] = []
    for number in range(photos):
        if rng.random() < 0.5:
            held = sorted(set((kinds * rng.random(int(rng.integers(0, largest + 1))) ** 3).astype(int).tolist()))
        elif held and rng.random() < 0.5:
            held = held[1:]
        image_id = f"{number:05d}" if rng.random() > 0.02 else f"{number:05d} bad"
        rows.append(
            {
                "image_id": image_id,
                "quantity": int(rng.integers(0, 4)),
                "asins": [f"B{item}" for item in held] + ([None] if rng.random() < 0.1 else []),
                "image_key": f"bin-images/{image_id}.jpg" if rng.random() > 0.02 else f"../{image_id}.jpg",
                "image_etag": f"{int(rng.integers(0, 4 * photos)):032x}",
                "image_bytes": int(rng.integers(0, 3)) * 100,
                "bin_group": f"group-{int(rng.integers(0, 2 * photos))}" if rng.random() < 0.3 else None,
            }
        )
    rng.shuffle(rows)
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["image_id"]), SCHEMA)


def earlier_splits(labels: pa.Table, share: float, seed: int) -> pa.Table:
    """A share of the photos, and some that are gone, each in a random split (image_id, the split's name)."""
    rng = np.random.default_rng(seed)
    ids = [name for name in labels["image_id"].to_pylist() if rng.random() < share] + ["gone"]
    return pa.table({"image_id": ids, "split": [SPLITS[int(rng.integers(0, 3))] for _ in ids]})


def assigned(earlier: pa.Table | None, wave: int = 1) -> pa.Table:
    """Earlier splits as the table `assigned` of a session."""
    if earlier is None:
        return ASSIGNED.empty_table()
    places = [SPLITS.index(split) for split in earlier["split"].to_pylist()]
    return pa.table({"image_id": earlier["image_id"], "split": places, "wave": [wave] * len(places)}).cast(ASSIGNED)


def planned(
    labels: pa.Table, chosen: DatasetSettings, earlier: pa.Table | None = None, given: pa.Table | None = None
) -> tuple[Decision, dict[str, int], dict[str, str]]:
    """The decision, the split of each photo, and the reason of each photo that is left out, by DuckDB."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.parquet"
        pq.write_table(labels, file)
        with DuckSession(Path(folder), seed=chosen.seed, memory=200_000_000, threads=2) as session:
            session.read_parquet("labels", [file], SCHEMA)
            session.register("assigned", assigned(earlier))
            if given is not None:
                session.register("given", assigned(given))
            decision = decide(session, chosen)
            rows = session.rows("SELECT image_id, split FROM planned WHERE split >= 0 ORDER BY image_id")
            out = session.rows("SELECT image_id, reason FROM left_out ORDER BY image_id")
    splits = dict(zip(rows["image_id"].to_pylist(), rows["split"].to_pylist(), strict=True))
    return decision, splits, dict(zip(out["image_id"].to_pylist(), out["reason"].to_pylist(), strict=True))
