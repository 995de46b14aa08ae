"""Shard jobs before and after pruning, on a real S3: what is used reads whole, and later runs come to the same."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline.operations.dataset import prune_deletion as deletion
from pipeline.operations.dataset import prune_plan as plan
from pipeline.operations.runs import executions
from pipeline.settings import Settings
from steps.contracts.dataset import DatasetIndex
from steps.contracts.names import COMPLETE_MARKER
from tests.unit.steps.shard.conftest import Job, jpeg, samples

# A shard has some ten photos.
SMALL = ("--shard-megabytes", "0.05", "--image-size", "64")
DAYS = 90


@pytest.fixture
def job(tmp_path: Path, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(tmp_path, s3, bucket, monkeypatch)


@pytest.fixture
def chosen(settings: Settings, job: Job, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of the job's bucket; the account has no run under way, and no approved version."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(executions, "running", lambda settings: [])
    monkeypatch.setattr(plan, "_approved", lambda settings: {})
    data = settings.data.model_copy(update={"bucket": job.bucket, "prefix": "out"})
    return settings.model_copy(update={"data": data})


def dates(job: Job) -> dict[str, datetime]:
    return {key: modified for key, (modified, _) in job.versions("out/").items()}


def tick() -> None:
    """S3 has dates in seconds: what is written after this is later than what was before."""
    time.sleep(1.1)


def prune(settings: Settings, since: datetime) -> set[str]:
    """Prune as it would be `DAYS` after `since`; gives the generations of which something went."""
    doomed = plan.make(settings, DAYS, since + timedelta(days=DAYS))
    assert not [item for removed in deletion.carry_out(settings, doomed) for item in removed.refused]
    return {going.place for going in doomed.generations}


def indexes(job: Job) -> dict[str, tuple[datetime, DatasetIndex]]:
    written = dates(job)
    return {
        key: (written[key], DatasetIndex.model_validate_json(content))
        for key, content in job.objects("out/indexes/").items()
        if key.endswith("/index.json")
    }


@pytest.mark.parametrize("seed", range(4))
def test_indexes_of_the_last_days_read_whole_and_the_next_run_comes_to_the_same(
    job: Job, chosen: Settings, seed: int
) -> None:
    chance = random.Random(seed)
    job.add_bins(120)
    rows = list(job.rows)
    for _ in range(4):
        tick()
        # Whole bins, as photos of one bin have one split.
        pairs = [rows[n : n + 2] for n in range(0, len(rows), 2)]
        job.rows = [row for pair in chance.sample(pairs, chance.randint(30, 60)) for row in pair]
        job.run(*SMALL, instances=chance.randint(1, 2))
    last, labelled = job.index, list(job.rows)
    since = sorted(date for date, _ in indexes(job).values())[chance.randint(1, 3)]

    prune(chosen, since)

    staying = [index for date, index in indexes(job).values() if date >= since]
    assert last in staying
    for index in staying:
        samples(index)  # compares digests and numbers of samples with the index
    used = {shard.uri for index in staying for split in index.splits.values() for shard in split.shards}
    for key, date in dates(job).items():
        if key.startswith("out/shards/") and key.endswith(".tar"):
            assert f"s3://{job.bucket}/{key}" in used or date >= since
    job.rows = labelled
    assert job.run(*SMALL) == last
    assert job.summary.photos.written == 0


def test_what_was_removed_is_written_again_in_a_generation_after_all_others(job: Job, chosen: Settings) -> None:
    job.add_bins(60)
    first = list(job.rows)
    job.run(*SMALL)
    tick()
    job.add_bins(60, other=True)
    job.run(*SMALL)
    tick()
    job.add_bins(70)
    job.run(*SMALL)
    since = max(dates(job).values())
    [gone] = prune(chosen, since)
    assert "/000001-00000/000001-" in gone
    listed = {"/".join(key.split("/")[3:5]) for key in job.objects("out/shards/") if key.endswith(COMPLETE_MARKER)}
    # The photos that were added are in a bucket of their own.
    assert sorted(name[:20] for name in listed) == ["000001-00000/000002-", "000002-00000/000001-"]

    job.rows = first
    for row in first:  # the photos are those of the first run again
        job.s3.put_object(Bucket=job.bucket, Key=f"raw/{row['image_key']}", Body=jpeg(int(row["image_id"])))
    index = job.run(*SMALL)

    new = {shard.uri.split("/")[7] for split in index.splits.values() for shard in split.shards}
    assert {name[:7] for name in new} == {"000003-"}
    assert job.summary.photos.written == 60


def test_a_job_that_was_broken_off_goes_on_from_what_it_has_written(job: Job, chosen: Settings) -> None:
    job.add_bins(90)
    job.run(*SMALL)
    index = job.index
    [marker] = [key for key in job.objects("out/shards/") if key.endswith(COMPLETE_MARKER)]
    for key in (marker, *job.objects("out/indexes/")):
        job.s3.delete_object(Bucket=job.bucket, Key=key)
    before = job.versions("out/shards")

    assert prune(chosen, min(dates(job).values())) == set()

    assert job.run(*SMALL) == index
    assert before.items() <= job.versions("out/shards").items()
