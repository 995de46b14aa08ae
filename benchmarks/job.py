"""A shard job without SageMaker: the folder of its container, before it starts and after it ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts import dataset, hand_over, shard_plan
from steps.contracts.hand_over import HandOver
from steps.contracts.s3_uri import S3Uri
from steps.planning.run import StoredPlan
from steps.runtime.s3 import open_store
from steps.shard.gathering import Part

LABELS = "processing/input/labels/part-00000.parquet"
OUTPUTS = ("shards", "indexes", "assignments", "plans", "summary")
NAME = "benchmark"


def prepare(
    base: Path, labels: pa.Table, output: S3Uri, instance: int = 0, instances: int = 1, *, job: str = NAME
) -> None:
    """Create the container's folder `base` of one of `instances` of `job`, with its outputs below `output`."""
    (base / LABELS).parent.mkdir(parents=True)
    pq.write_table(labels, base / LABELS)
    _configure(base, output, (instance, instances), job)


def prepare_planned(base: Path, plan: StoredPlan, output: S3Uri, instance: int = 0, instances: int = 1) -> None:
    """As `prepare`, for a job with a plan as its input."""
    folder = base / "processing" / "input" / "plan"
    folder.mkdir(parents=True)
    (folder / shard_plan.NAME).write_bytes(_read(plan.uri.join(shard_plan.NAME)))
    inputs = [{"InputName": "plan", "S3Input": {"S3Uri": str(plan.uri)}}]
    _configure(base, output, (instance, instances), NAME, inputs)


def _configure(
    base: Path, output: S3Uri, place: tuple[int, int], job: str, inputs: Sequence[dict[str, object]] = ()
) -> None:
    """Write the configuration of an instance; `place` is its number and the number of all."""
    instance, instances = place
    outputs = [{"OutputName": name, "S3Output": {"S3Uri": str(output.join(name))}} for name in OUTPUTS]
    hosts = [f"algo-{number + 1}" for number in range(instances)]
    (base / "config").mkdir()
    for name, config in {
        "processingjobconfig": {
            "ProcessingJobName": job,
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {"Outputs": outputs},
        },
        "resourceconfig": {"current_host": hosts[instance], "hosts": hosts},
    }.items():
        (base / "config" / f"{name}.json").write_text(json.dumps(config))


def written(base: Path) -> tuple[int, int]:
    """The photos and the bytes of the shards that the instance in `base` wrote."""
    config = json.loads((base / "config" / "processingjobconfig.json").read_text())
    outputs = {out["OutputName"]: out["S3Output"]["S3Uri"] for out in config["ProcessingOutputConfig"]["Outputs"]}
    hosts = json.loads((base / "config" / "resourceconfig.json").read_text())
    number = hosts["hosts"].index(hosts["current_host"])
    run = S3Uri.parse(outputs["summary"].rpartition("/")[0])
    place = run.join("jobs", config["ProcessingJobName"], f"part-{number:03d}.json")
    part = Part.model_validate_json(_read(place))
    shards = [new.shard for shards in part.work.written.values() for new in shards]
    return part.work.photos_written, sum(shard.bytes for shard in shards)


def index(base: Path) -> Path:
    """A folder with the index of the job in `base`, as in a training's channel."""
    handed_on = base / "processing" / "output" / "summary" / hand_over.NAME
    place = S3Uri.parse(HandOver.model_validate_json(handed_on.read_bytes()).uri)
    folder = base / "index"
    folder.mkdir(exist_ok=True)
    (folder / dataset.NAME).write_bytes(_read(place.join(dataset.NAME)))
    return folder


def _read(uri: S3Uri) -> bytes:
    return bytes(open_store(uri.bucket).get(uri.key).bytes())
