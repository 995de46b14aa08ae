"""What is paid for again when a pipeline runs again: nothing but what has changed, on synthetic and on real photos."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import ROOT
from pipeline.operations.account import local as account
from pipeline.operations.dataset import description as dataset
from pipeline.operations.dataset.description import DataSet
from pipeline.operations.models import registry
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.progress import StepRun
from pipeline.operations.upsert import upsert
from pipeline.samples.layout import Bin, image_key, metadata_key
from pipeline.samples.sources import open_source
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from tests.conftest import real_photos
from tests.integration.conftest import LocalCloud

PHOTOS = 150
MORE = 10
EXPENSIVE = ("ShardImages", "TuneModel")


@dataclass
class Team:
    """A pipeline of its own, its photos, and its runs."""

    settings: Settings
    cloud: LocalCloud

    @property
    def raw(self) -> str:
        return self.settings.data.image_location.removeprefix("s3://")

    def put(self, bins: list[Bin]) -> None:
        s3 = self.cloud.client("s3")
        for photo in bins:
            s3.put_object(Bucket=self.raw, Key=image_key(photo.image_id), Body=photo.jpeg)
            s3.put_object(Bucket=self.raw, Key=metadata_key(photo.image_id), Body=photo.metadata)

    def remove(self, bins: list[Bin]) -> None:
        s3 = self.cloud.client("s3")
        for photo in bins:
            for key in (image_key(photo.image_id), metadata_key(photo.image_id)):
                s3.delete_object(Bucket=self.raw, Key=key)

    def run(self, version: str) -> tuple[str, dict[str, StepRun]]:
        """A run to its end, which succeeds; returns its id and its steps."""
        execution = executions.start(self.settings, {"DataVersion": version})
        *_, last = progress.follow(self.settings, execution.arn, interval=0.3)
        assert last.execution.status == "Succeeded", last.execution.failure
        return execution.id, {step.name: step for step in last.steps}

    def run_until_it_trains(self, version: str) -> tuple[StepRun, DataSet]:
        """A run until its training begins, or is not needed; then it is stopped. Returns TuneModel and the data set."""
        execution = executions.start(self.settings, {"DataVersion": version})
        for last in progress.follow(self.settings, execution.arn, interval=0.2):
            steps = {step.name: step for step in last.steps}
            assert last.execution.status == "Executing", last.execution.failure
            # A job of its own, or with that of an earlier run the word that it is from the cache.
            if steps["TuneModel"].arn("TuningJob"):
                break
        executions.stop(self.settings, execution.id)
        data = dataset.find(self.settings, execution.id)
        *_, last = progress.follow(self.settings, execution.arn, interval=0.3)
        return next(step for step in last.steps if step.name == "TuneModel"), data

    def shards(self) -> dict[str, str]:
        """Keys of all shards that were ever written, with their ETags."""
        pages = self.cloud.client("s3").get_paginator("list_objects_v2")
        listed = pages.paginate(Bucket=self.settings.data.bucket, Prefix=f"{self.settings.data.prefix}/shards/")
        entries = [entry for page in listed for entry in page.get("Contents", [])]
        return {entry["Key"]: entry["ETag"] for entry in entries if entry["Key"].endswith(".tar")}

    def training_jobs(self, execution: str) -> list[str]:
        """Names of the training jobs that a run has created."""
        jobs = self.cloud.client("sagemaker").list_training_jobs(NameContains=execution)["TrainingJobSummaries"]
        return [job["TrainingJobName"] for job in jobs]


def photos_of(abid: Path | None) -> list[Bin]:
    """Bins that show up to 5 objects, some of them photos of the same bin."""
    source = open_source(str(abid / "originals.tar") if abid else None, count=2 * PHOTOS, seed=4, limit=2 * PHOTOS)
    usable = [photo for photo in source if json.loads(photo.metadata)["EXPECTED_QUANTITY"] <= 5]
    return usable[: PHOTOS + MORE]


@pytest.fixture
def team(local_cloud: LocalCloud) -> Team:
    name = f"team-{uuid.uuid4().hex[:8]}"
    values = load_settings(ROOT / "pipeline.yaml", "demo").model_dump()
    values["name"] = name
    values["data"].update(bucket=f"{name}-own", image_location=f"s3://{name}-raw")
    # These have the pipeline's name unless they are set.
    for group, key in (("data", "database"), ("data", "workgroup"), ("registry", "group"), ("endpoint", "name")):
        del values[group][key]
    # Ten removed photos are never enough for a shard to be written again.
    values["shard"]["maximum_removed"] = 1.0
    values["training"].update(epochs=1, progressive_resizing=0, image_size=32, batch_size=8, instance_count=1)
    values["tuning"].update(trials=1)
    values["gate"].update(minimum_accuracy=0.0, maximum_rmse=10.0)
    settings = Settings.model_validate(values)
    account.prepare(settings)
    upsert(settings)
    return Team(settings, local_cloud)


def upsert_with_another_chart(team: Team, folder: Path) -> None:
    """Upsert from a copy of the project in which a page's look has changed."""
    for part in ("pipeline", "steps", "containers"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    document = {**team.settings.model_dump(mode="json", exclude_none=True), "profiles": {"local": {}}}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document))
    with (folder / "steps/reports/page.css").open("a") as file:
        file.write("\nfigure { margin: 1px }\n")
    command = [sys.executable, "-m", "pipeline", "upsert"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def images_of(team: Team) -> Mapping[str, Any]:
    """The image of each step of the definition in the account, and the serving image."""
    definition = executions.definition(team.cloud.client("sagemaker"), team.settings)
    steps = {step["Name"]: step["Arguments"] for step in definition["Steps"]}
    return {
        "QueryMetadata": steps["QueryMetadata"]["AppSpecification"]["ImageUri"],
        "ShardImages": steps["ShardImages"]["AppSpecification"]["ImageUri"],
        "TuneModel": steps["TuneModel"]["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"],
        "EvaluateModel": steps["EvaluateModel"]["AppSpecification"]["ImageUri"],
    }


def run_again_and_again(team: Team, photos: list[Bin], folder: Path) -> None:
    """The same photos; another chart; ten photos more; ten fewer; another split. See what runs, and what is written."""
    first, more = photos[:PHOTOS], photos[PHOTOS:]
    assert len(more) == MORE
    team.put(first)
    execution, steps = team.run("1")
    assert not any(step.cached for step in steps.values())
    assert len(team.training_jobs(steps["TuneModel"].arn("TuningJob").rsplit("/", 1)[1])) == 1
    whole = dataset.find(team.settings, execution)
    before = team.shards()

    # (a) The same photos: the query looks at them, and that is all.
    again, steps = team.run("2")
    assert not steps["QueryMetadata"].cached
    assert all(steps[name].cached for name in EXPENSIVE)
    assert team.training_jobs(again[:12]) == []
    assert team.shards() == before

    # (e) Another look of the pages: what draws them runs in another image, and nothing else does.
    images = images_of(team)
    upsert_with_another_chart(team, folder)
    changed = {name for name, image in images_of(team).items() if image != images[name]}
    assert changed == {"QueryMetadata", "EvaluateModel"}
    _, steps = team.run("2")
    assert not steps["QueryMetadata"].cached
    assert all(steps[name].cached for name in EXPENSIVE)

    # (b) Ten photos more: they are in new shards, the others are untouched, and training begins.
    team.put(more)
    tune, grown = team.run_until_it_trains("3")
    assert not tune.cached
    assert grown.summary is not None
    assert (grown.summary.photos.reused, grown.summary.photos.written) == (whole_size(whole), MORE)
    assert before.items() <= team.shards().items()
    new = team.shards().keys() - before.keys()
    named = {
        shard.uri.split("/", 3)[3]: shard.samples for split in grown.index.splits.values() for shard in split.shards
    }
    assert named.keys() == team.shards().keys()
    assert sum(named[key] for key in new) == MORE

    # (c) Ten photos fewer: nothing is written, the index leaves them out.
    team.remove(first[:MORE])
    after_addition = team.shards()
    tune, shrunk = team.run_until_it_trains("4")
    assert not tune.cached
    assert whole_size(shrunk) == len(photos) - MORE
    excluded = {i for split in shrunk.index.splits.values() for shard in split.shards for i in shard.excluded}
    assert excluded == {photo.image_id for photo in first[:MORE]}
    assert team.shards() == after_addition

    # (d) Another seed of the split: all is sharded again.
    seed = team.settings.shard.model_copy(update={"seed": 2})
    team.settings = team.settings.model_copy(update={"shard": seed})
    upsert(team.settings)
    tune, other = team.run_until_it_trains("4")
    assert not tune.cached
    assert other.summary is not None
    assert other.summary.photos.reused == 0
    assert registry.versions(team.settings, 10)


def whole_size(data: DataSet) -> int:
    return sum(split.samples for split in data.index.splits.values())


# The same test, on the photos of this machine: it takes minutes.


class TestSyntheticPhotos:
    @pytest.mark.skipif((real_photos() / "originals.tar").exists(), reason="the same test runs with the real photos")
    def test_only_what_has_changed_is_sharded_and_trained_on_again(self, team: Team, tmp_path: Path) -> None:
        run_again_and_again(team, photos_of(None), tmp_path)


@pytest.mark.abid
class TestRealPhotos:
    def test_only_what_has_changed_is_sharded_and_trained_on_again(
        self, team: Team, abid: Path, tmp_path: Path
    ) -> None:
        run_again_and_again(team, photos_of(abid), tmp_path)
