"""An evaluate job without SageMaker: shards in a bucket, the container's folder, and the step run in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel
from torch import nn

from steps.contracts import dataset, shard_summary
from steps.contracts.dataset import DatasetIndex, Sharding
from steps.contracts.evaluation import FILE, PREDICTIONS, REPORT
from steps.contracts.shard_summary import Leakage, Overlap, Photos, ShardSummary
from steps.evaluate.run import run
from steps.evaluate.settings import Settings
from steps.model import network
from tests.unit.steps.arguments import EVALUATE
from tests.unit.steps.evaluate.networks import Brightness, pack, write_artifact
from tests.unit.steps.train.photos import CLASSES, SIDE, Photo, photo, photos, store_split


def mislabelled(image_id: str, shown: int, labelled: int) -> Photo:
    """A photo of `shown` squares that the labels say has `labelled`: the network miscounts it."""
    return dataclasses.replace(photo(image_id, shown), quantity=labelled)


class Job:
    """The folder of one processing job."""

    def __init__(self, base: Path, s3: Any, bucket: str) -> None:
        self.base, self.s3, self.bucket = base, s3, bucket
        self.model = base / "processing/input/model"
        self.output = base / "processing/output/evaluation"

    def store(
        self,
        test: list[Photo],
        rejects: dict[str, list[str]] | None = None,
        shards: int = 2,
        leakage: Leakage | None = None,
        calibration: Sequence[str] = (),
    ) -> None:
        """Put the test split into the bucket, its index and what it leaves out into the job's inputs."""
        index = DatasetIndex(
            sharding=Sharding(
                split="grouped",
                seed=1,
                fractions={"train": 0.8, "validation": 0.1, "test": 0.1},
                image_size=SIDE,
                quality=90,
            ),
            splits={
                "train": store_split(self.s3, self.bucket, "train", photos(9), 1),
                "validation": store_split(self.s3, self.bucket, "validation", photos(3, 9), 1),
                "test": store_split(self.s3, self.bucket, "test", test, shards),
            },
            calibration=list(calibration),
        )
        self.put("index", dataset.NAME, index)
        if rejects is not None:
            overlap = Overlap(photos=3 + len(test), same_bin=0, same_item=0)
            summary = ShardSummary(
                index=f"s3://{self.bucket}/indexes/{index.key}",
                dataset_sha256=index.sha256,
                photos=Photos(reused=0, written=12 + len(test), excluded=0),
                rejects=rejects,
                leakage=leakage or Leakage(split=overlap, random=overlap),
                kept=0,
                assignments=f"s3://{self.bucket}/assignments",
            )
            self.put("sharding", shard_summary.NAME, summary)

    def put(self, name: str, file: str, content: BaseModel) -> None:
        """A file of a processing input."""
        folder = self.base / "processing/input" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content.model_dump_json())

    @property
    def dataset_sha256(self) -> str:
        """The stored index's."""
        content = (self.base / "processing/input/index" / dataset.NAME).read_bytes()
        return DatasetIndex.model_validate_json(content).sha256

    def put_model(self, classes: Sequence[int] = CLASSES, **facts: Any) -> None:
        """Pack a model that counts by brightness, trained on the stored index."""
        facts = {"dataset_sha256": self.dataset_sha256, **facts}
        self.put_archive(pack(write_artifact(self.base / "artifact", classes, **facts)))

    def put_archive(self, content: bytes) -> None:
        """`model.tar.gz` as SageMaker brings it."""
        self.model.mkdir(parents=True, exist_ok=True)
        (self.model / "model.tar.gz").write_bytes(content)

    def run(self, decision: Any = "argmax", batch_size: int = 4, **settings: Any) -> dict[str, Any]:
        """Run the step and read `evaluation.json`."""
        run(Settings(**{**EVALUATE, "decision": decision, "batch_size": batch_size, **settings}))
        evaluation: dict[str, Any] = json.loads((self.output / FILE).read_text(), parse_constant=pytest.fail)
        return evaluation

    def predictions(self) -> Any:
        """`predictions.parquet`."""
        return pq.read_table(self.output / PREDICTIONS)

    def report(self) -> str:
        """`report.html`."""
        return (self.output / REPORT).read_text()


@pytest.fixture
def job(tmp_path: Path, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    """An empty job with a bucket of its own."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))

    def build(architecture: str, classes: int, image_size: int, seed: int, *, mirrored: bool) -> nn.Module:
        if architecture == "brightness":
            return Brightness(classes)
        return built(architecture, classes, image_size, seed, mirrored=mirrored)

    built = network.build_network
    monkeypatch.setattr(network, "build_network", build)
    return Job(tmp_path, s3, bucket)
