"""A plan job without SageMaker: labels in a bucket, and the container's folder of one of its instances."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.contracts.labels import SCHEMA


class Job:
    """Labels in several objects, and the folders of the job's instances."""

    def __init__(self, folder: Path, s3: Any, bucket: str, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.s3, self.bucket, self._patch = folder, s3, bucket, patch
        self.keys: list[str] = []

    @property
    def labels(self) -> str:
        """The URI of the labels."""
        return f"s3://{self.bucket}/labels/KEY"

    def put(self, name: str, content: bytes) -> None:
        """An object below the labels' prefix."""
        self.keys.append(f"labels/KEY/{name}")
        self.s3.put_object(Bucket=self.bucket, Key=self.keys[-1], Body=content)

    def add(self, file: str, ids: list[str]) -> None:
        """A file of labels with these image ids, of one and two objects by turns."""
        rows = [
            dict(zip(SCHEMA.names, (name, 1 + number % 2, [f"B{name}"], f"{name}.jpg", "etag", 10, None), strict=True))
            for number, name in enumerate(ids)
        ]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), buffer)
        self.put(file, buffer.getvalue())

    def start(self, instance: int = 0, instances: int = 1) -> Path:
        """Become an instance of the job, which has a copy of every n-th object; returns its base folder."""
        hosts = [f"algo-{number + 1}" for number in range(instances)]
        base = self.folder / hosts[instance]
        folder = base / "processing/input/labels"
        folder.mkdir(parents=True)
        for key in sorted(self.keys)[instance::instances]:
            body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            (folder / key.rpartition("/")[2]).write_bytes(body)
        outputs = [
            {"OutputName": name, "S3Output": {"S3Uri": f"s3://{self.bucket}/out/{name}"}}
            for name in ("summary", "assignments", "plans")
        ]
        inputs = [{"InputName": "labels", "S3Input": {"S3Uri": self.labels}}]
        config = {
            "ProcessingJobName": "job",
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {"Outputs": outputs},
        }
        (base / "config").mkdir()
        (base / "config/processingjobconfig.json").write_text(json.dumps(config))
        (base / "config/resourceconfig.json").write_text(json.dumps({"current_host": hosts[instance], "hosts": hosts}))
        self._patch.setenv("SAGEMAKER_BASE_DIR", str(base))
        return base


@pytest.fixture
def job(tmp_path: Path, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job without labels."""
    return Job(tmp_path / "job", s3, bucket, monkeypatch)
