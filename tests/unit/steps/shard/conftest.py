"""A shard job without SageMaker: the container's folder, labels and photos in a bucket, N instances in a row."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from steps.common.dataset import DatasetIndex, read_index
from steps.common.labels import SCHEMA
from steps.shard.__main__ import parse
from steps.shard.run import run


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

    def add(self, image_id: str, quantity: int, asins: list[str], photo: bytes | None) -> None:
        """A labelled photo; None is one that S3 does not have."""
        key = f"{image_id}.jpg"
        self.rows.append({"image_id": image_id, "quantity": quantity, "asins": asins, "image_key": key})
        if photo is not None:
            self.s3.put_object(Bucket=self.bucket, Key=f"raw/{key}", Body=photo)

    def add_bins(self, count: int) -> None:
        """`count` photos of quantities 0 to 2, two of each bin."""
        with ThreadPoolExecutor(8) as threads:
            for number in range(count):
                quantity = number // 2 % 3
                items = [f"B{number // 2}"] if quantity else []
                threads.submit(self.add, f"{number:05d}", quantity, items, jpeg(number))

    def run(self, *flags: str, instances: int = 1, output: str = "out") -> DatasetIndex:
        """Run every instance and read the index that they wrote together."""
        index = self.folder / output / "index"
        hosts = [f"algo-{number + 1}" for number in range(instances)]
        for host in hosts:
            base = self.folder / output / host
            labels = base / "processing/input/labels"
            labels.mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist(self.rows, SCHEMA), labels / "part.parquet")
            uris = {name: f"s3://{self.bucket}/{output}/{name}" for name in ("shards", "index", "assignments")}
            outputs = [{"OutputName": name, "S3Output": {"S3Uri": uri}} for name, uri in uris.items()]
            (base / "config").mkdir()
            config = {"ProcessingOutputConfig": {"Outputs": outputs}}
            (base / "config/processingjobconfig.json").write_text(json.dumps(config))
            (base / "config/resourceconfig.json").write_text(json.dumps({"current_host": host, "hosts": hosts}))
            self._patch.setenv("SAGEMAKER_BASE_DIR", str(base))
            run(parse(["--image-location", f"s3://{self.bucket}/raw", *flags]))
            index.mkdir(exist_ok=True)
            for part in (base / "processing/output/index").iterdir():
                part.rename(index / part.name)
        return read_index(index)

    def assignments(self, output: str = "out") -> dict[str, str]:
        """The split of each image id, from all instances."""
        tables = [pq.read_table(f) for f in (self.folder / output).rglob("assignments/*.parquet")]
        return {row["image_id"]: row["split"] for table in tables for row in table.to_pylist()}

    def objects(self, prefix: str) -> dict[str, bytes]:
        """What lies below the prefix."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return {o["Key"]: self.s3.get_object(Bucket=self.bucket, Key=o["Key"])["Body"].read() for o in listed}


@pytest.fixture
def job(tmp_path: Path, s3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    """An empty job with a bucket of its own."""
    return Job(tmp_path, s3, bucket, monkeypatch)
