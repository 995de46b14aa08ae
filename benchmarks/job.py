"""A shard job without SageMaker: the folder that its container would have, before it starts and after it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.dataset import IndexPart
from steps.runtime.s3 import S3Uri

LABELS = "processing/input/labels/part-00000.parquet"
OUTPUTS = ("shards", "index", "assignments")


def prepare(base: Path, labels: pa.Table, output: S3Uri, instance: int = 0, instances: int = 1) -> None:
    """Make `base` the container's folder of one of `instances`, with its outputs below `output`."""
    (base / LABELS).parent.mkdir(parents=True)
    pq.write_table(labels, base / LABELS)
    outputs = [{"OutputName": name, "S3Output": {"S3Uri": str(output.join(name))}} for name in OUTPUTS]
    hosts = [f"algo-{number + 1}" for number in range(instances)]
    (base / "config").mkdir()
    for name, config in {
        "processingjobconfig": {"ProcessingOutputConfig": {"Outputs": outputs}},
        "resourceconfig": {"current_host": hosts[instance], "hosts": hosts},
    }.items():
        (base / "config" / f"{name}.json").write_text(json.dumps(config))


def written(base: Path) -> tuple[int, int]:
    """Photos in the shards that the job in `base` names, and the shards' bytes."""
    parts = [IndexPart.model_validate_json(path.read_bytes()) for path in base.rglob("part-*.json")]
    splits = [split for part in parts for split in part.splits.values()]
    return sum(split.samples for split in splits), sum(split.bytes for split in splits)
