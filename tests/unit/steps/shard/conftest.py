"""A shard job without SageMaker: the container's folder, labels and photos in a bucket, N instances in a row."""

import io
import json
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from steps.contracts.dataset import SPLITS, DatasetIndex, parse_index
from steps.contracts.hand_over import HandOver
from steps.contracts.labels import SCHEMA
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_summary import ShardSummary, read_summary
from steps.planning.local import LocalEngine
from steps.planning.run import Places, StoredPlan, make_plan
from steps.runtime.arguments import parse
from steps.shard.run import run
from steps.shard.settings import Settings
from steps.shards.reading import iterate
from tests.unit.steps.arguments import SHARD, flags_of


def jpeg(seed: int, width: int = 120, height: int = 90) -> bytes:
    """A small photo, another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class Job:
    """Labels and photos, and the step run over them."""

    def __init__(self, folder: Path, s3, bucket: str, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.s3, self.bucket, self._patch = folder, s3, bucket, patch
        self.rows: list[dict] = []
        self.runs = 0

    def add(
        self, image_id: str, quantity: int, asins: list[str], photo: bytes | None, group: str | None = None
    ) -> None:
        """A labelled photo; None is one that S3 does not have."""
        key, etag, size = f"{image_id}.jpg", "none", 0
        if photo is not None:
            etag = self.s3.put_object(Bucket=self.bucket, Key=f"raw/{key}", Body=photo)["ETag"].strip('"')
            size = len(photo)
        values = (image_id, quantity, asins, key, etag, size, group)
        self.rows.append(dict(zip(SCHEMA.names, values, strict=True)))

    def add_bins(self, count: int, *, other: bool = False) -> None:
        """Photos of quantities 0 to 2, two of each bin, up to `count` in all; with `other` all are taken anew."""
        self.rows = [] if other else self.rows
        with ThreadPoolExecutor(8) as threads:
            for number in range(len(self.rows), count):
                quantity = number // 2 % 3
                items = [f"B{number // 2}"] if quantity else []
                photo = jpeg(number + 1_000 * other)
                threads.submit(self.add, f"{number:05d}", quantity, items, photo).add_done_callback(Future.result)
        # Threads end in any order; what a test takes by its place must be the same each time.
        self.rows.sort(key=lambda row: row["image_id"])

    def items(self, image_id: str) -> list[str]:
        """What the photo's bin holds."""
        return next(row["asins"] for row in self.rows if row["image_id"] == image_id)

    def run(self, *flags: str, instances: int = 1, output: str = "out", plan: StoredPlan | None = None) -> DatasetIndex:
        """Run every instance and read the index that they wrote together.

        Runs with one `output` are runs of one pipeline: they have their shards and assignments in one place. With a
        `plan` that is the job's input, else labels are.
        """
        self.runs += 1
        for instance in range(instances):
            self.run_instance(instance, instances, *flags, output=output, plan=plan)
        return self.index

    def plan(self, *flags: str, output: str = "out") -> StoredPlan:
        """The plan of the labels at hand, stored as a step before this one does."""
        folder = self.folder / "labels" / f"{uuid.uuid4()}"
        self._write_labels(folder)
        places = Places(*(S3Uri(self.bucket, f"{output}/{name}") for name in ("assignments", "plans")))
        return make_plan(self.settings(*flags), folder, places, LocalEngine(threads=2))

    def settings(self, *flags: str) -> Settings:
        """The settings of the step."""
        return parse(Settings, [*flags_of({**SHARD, "image_location": f"s3://{self.bucket}/raw"}), *flags])

    def _write_labels(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(self.rows, SCHEMA), folder / "part.parquet")

    def prepare_instance(
        self, instance: int, instances: int, output: str = "out", plan: StoredPlan | None = None
    ) -> Path:
        """Create the container's folder of one of the instances of the job at hand."""
        hosts = [f"algo-{number + 1}" for number in range(instances)]
        base = self.folder / f"{self.runs}" / hosts[instance]
        config: dict[str, Any] = {"ProcessingJobName": f"job-{self.runs}"}
        lasting = ["shards", "indexes"]
        if plan is None:
            self._write_labels(base / "processing/input/labels")
            lasting += ["assignments", "plans"]
        else:
            folder = base / "processing/input/plan"
            folder.mkdir(parents=True)
            for key, content in self.objects(f"{plan.uri.key}/").items():
                (folder / key.rpartition("/")[2]).write_bytes(content)
            config["ProcessingInputs"] = [{"InputName": "plan", "S3Input": {"S3Uri": f"{plan.uri}"}}]
        uris = {name: f"s3://{self.bucket}/{output}/{name}" for name in lasting}
        uris["summary"] = f"s3://{self.bucket}/{output}/runs/{self.runs}/summary"
        outputs = [{"OutputName": name, "S3Output": {"S3Uri": uri}} for name, uri in uris.items()]
        (base / "config").mkdir()
        config["ProcessingOutputConfig"] = {"Outputs": outputs}
        (base / "config/processingjobconfig.json").write_text(json.dumps(config))
        (base / "config/resourceconfig.json").write_text(json.dumps({"current_host": hosts[instance], "hosts": hosts}))
        return base

    def run_instance(
        self, instance: int, instances: int, *flags: str, output: str = "out", plan: StoredPlan | None = None
    ) -> None:
        """Run one of the instances of the job at hand."""
        base = self.prepare_instance(instance, instances, output, plan)
        self._patch.setenv("SAGEMAKER_BASE_DIR", str(base))
        run(self.settings(*flags))

    @property
    def summary(self) -> ShardSummary:
        """What the latest run left in its summary."""
        (folder,) = {path.parent for path in (self.folder / f"{self.runs}").rglob("shard.json")}
        return read_summary(folder)

    @property
    def index(self) -> DatasetIndex:
        """The index that the latest run hands on."""
        (path,) = (self.folder / f"{self.runs}").rglob("hand_over.json")
        place = HandOver.model_validate_json(path.read_bytes()).uri
        assert place == self.summary.index
        bucket, _, key = place.removeprefix("s3://").partition("/")
        body = self.s3.get_object(Bucket=bucket, Key=f"{key}/index.json")["Body"].read()
        index = parse_index(body, place)
        assert place.endswith(f"/indexes/{index.key}")
        return index

    def assignments(self, output: str = "out") -> dict[str, str]:
        """The split of each image id that is known after the runs so far."""
        objects = self.objects(f"{output}/assignments/").values()
        rows = [row for content in objects for row in pq.read_table(io.BytesIO(content)).to_pylist()]
        assert len({row["image_id"] for row in rows}) == len(rows)
        return {row["image_id"]: row["split"] for row in rows}

    def objects(self, prefix: str) -> dict[str, bytes]:
        """What lies below the prefix."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return {o["Key"]: self.s3.get_object(Bucket=self.bucket, Key=o["Key"])["Body"].read() for o in listed}

    def versions(self, prefix: str) -> dict[str, tuple]:
        """When and as what each object below the prefix was written."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return {o["Key"]: (o["LastModified"], o["ETag"]) for o in listed}


def samples(index):
    return {name: list(iterate(index.splits[name].shards)) for name in SPLITS}


def splits_of(index):
    """The split of each photo, from the shards."""
    return {sample.image_id: name for name, split in samples(index).items() for sample in split}


def tars(job: Job, output: str):
    """The shards' bytes by their place below `shards/`."""
    return {
        key.split("/", 2)[2]: content for key, content in job.objects(f"{output}/shards").items() if key.endswith("tar")
    }


@pytest.fixture
def job(tmp_path: Path, s3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    """An empty job with a bucket of its own."""
    return Job(tmp_path, s3, bucket, monkeypatch)
