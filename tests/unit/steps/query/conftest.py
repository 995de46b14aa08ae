from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.contracts import hand_over
from steps.contracts.hand_over import HandOver
from steps.contracts.query_summary import Summary
from steps.query.run import run
from steps.query.settings import Settings
from tests.unit.pipeline.local.athena.front import Front, aws, front

__all__ = ["aws", "front"]

PHOTO = b"\xff\xd8\xff"


@dataclass
class Job:
    """A processing job's surroundings: raw data in a bucket, outputs declared, a container's folder."""

    s3: Any
    bucket: str
    database: str
    base: Path

    @property
    def location(self) -> str:
        return f"s3://{self.bucket}/raw"

    def add(self, image_id: str, metadata: Any = None, *, photo: bool = True) -> None:
        """A bin: its metadata (bytes as they are, anything else as pretty-printed JSON) and its photo."""
        if metadata is not None:
            body = metadata if isinstance(metadata, bytes) else json.dumps(metadata, indent=4).encode()
            self.s3.put_object(Bucket=self.bucket, Key=f"raw/metadata/{image_id}.json", Body=body)
        if photo:
            self.s3.put_object(Bucket=self.bucket, Key=f"raw/bin-images/{image_id}.jpg", Body=PHOTO)

    def declare(self, name: str = "", **outputs: str) -> None:
        """Write the job's configuration, as SageMaker does."""
        uris = {output: f"s3://{self.bucket}/run/{output}" for output in ("metadata", "labels", "summary")} | outputs
        config = {
            "ProcessingJobName": name or f"query-{uuid.uuid4()}",
            "ProcessingOutputConfig": {
                "Outputs": [{"OutputName": output, "S3Output": {"S3Uri": uri}} for output, uri in uris.items()]
            },
        }
        path = self.base / "config" / "processingjobconfig.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config))

    def run(self, **arguments: Any) -> Summary:
        """The step, with the usual arguments."""
        usual = {
            "image_location": self.location,
            "maximum_quantity": 5,
            "data_version": "1",
            "database": self.database,
            "workgroup": "primary",
            "timeout_minutes": 10,
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SAGEMAKER_BASE_DIR", str(self.base))
            return run(Settings(**{**usual, **arguments}))

    @property
    def handed_on(self) -> str:
        """Where the labels of the latest run are."""
        path = self.base / "processing" / "output" / "summary" / hand_over.NAME
        return HandOver.model_validate_json(path.read_bytes()).uri

    def written(self, output: str) -> pa.Table:
        """The Parquet files of an output, as one table sorted by id."""
        place = f"run/{output}/"
        if output == "labels":
            place = self.handed_on.removeprefix(f"s3://{self.bucket}/") + "/"
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=place)["Contents"]
        bodies = [self.s3.get_object(Bucket=self.bucket, Key=entry["Key"])["Body"].read() for entry in listed]
        return pa.concat_tables([pq.read_table(io.BytesIO(body)) for body in bodies]).sort_by("image_id")


def bin_metadata(quantity: Any, *asins: str) -> dict[str, Any]:
    """A metadata document with the items `asins`, one of each."""
    items = {
        asin: {"asin": asin, "name": f"{asin}, boxed", "quantity": 1, "weight": {"unit": "pounds", "value": 0.4}}
        for asin in asins
    }
    return {"BIN_FCSKU_DATA": items, "EXPECTED_QUANTITY": quantity}


def refused(summary: Any) -> dict[str, int]:
    return {reason: refusal.photos for reason, refusal in summary.refused.items()}


def add_bins_that_athena_reads(job: Job) -> None:
    job.add("1", bin_metadata(1, "B2"))
    job.add("00001", bin_metadata(2, "B2", "B1"))
    job.add("NaN", bin_metadata(0))
    job.add("whole", bin_metadata(2.0, "B3"))
    job.add("six", bin_metadata(6, "B1"))
    job.add("negative", bin_metadata(-1, "B1"))
    job.add("half", bin_metadata(2.5, "B1"))
    job.add("null", bin_metadata(None, "B1"))
    job.add("missing", {"BIN_FCSKU_DATA": {}})
    job.add("lonely", bin_metadata(1, "B1"), photo=False)
    job.add("unknown")
    job.add("a.b", bin_metadata(1, "B1"))
    job.add("empty", b"")
    job.add("two", b'{"EXPECTED_QUANTITY": 1}\n{"EXPECTED_QUANTITY": 2}')


EXPECTED_REFUSALS = {
    "above-maximum": 1,
    "fractional-quantity": 1,
    "image-without-metadata": 1,
    "malformed-metadata": 2,
    "metadata-without-image": 1,
    "missing-quantity": 1,
    "negative-quantity": 1,
    "null-quantity": 1,
    "unusable-id": 1,
}


@pytest.fixture
def job(aws: Front, s3: Any, bucket: str, tmp_path: Path) -> Job:
    """A job over an empty bucket, with its outputs declared."""
    made = Job(s3, bucket, f"bins_{uuid.uuid4().hex[:12]}", tmp_path)
    made.declare()
    return made


@pytest.fixture
def tables(aws: Front) -> Callable[[str], list[str]]:
    """The names of a database's tables."""
    return lambda database: [
        table["Name"] for table in aws.client("glue").get_tables(DatabaseName=database)["TableList"]
    ]
