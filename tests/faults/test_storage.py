"""S3 on a bad day, while shards are written and read."""

from __future__ import annotations

import pytest

from steps.contracts.errors import StepError
from steps.shard import writing
from steps.shards.reading import iterate
from tests.faults.proxy import spoiling
from tests.unit.steps.shard.conftest import Job, jpeg, tars


def is_photo(path: str) -> bool:
    return "/raw/" in path


@pytest.mark.parametrize("how", ["503", "reset", "cut"])
def test_photos_and_parts_that_fail_for_a_while_are_sent_again(job: Job, how: str, monkeypatch: pytest.MonkeyPatch):
    job.add_bins(60)
    flags = ("--image-size", "64", "--shard-megabytes", "0.1")
    job.run(*flags, output="good")

    def fault(method: str, path: str, n: int) -> str:
        if is_photo(path):
            return how if n == 1 and sum(path.encode()) % 3 else ""
        # A cut answer to an upload says that it went well.
        return how if method == "PUT" and n == 1 and how != "cut" else ""

    with spoiling(fault, monkeypatch) as spoiler:
        job.run(*flags, output="bad")

    assert spoiler.spoiled[how] > 20
    assert tars(job, "bad") == tars(job, "good")
    assert job.summary.rejects == {}


def test_a_photo_that_cannot_be_read_ends_the_step_and_is_named(job: Job, monkeypatch: pytest.MonkeyPatch, impatient):
    job.add_bins(60)
    victim = "/raw/00017.jpg"

    def fault(method: str, path: str, n: int) -> str:
        return "503" if path.endswith(victim) else ""

    with (
        spoiling(fault, monkeypatch) as spoiler,
        pytest.raises(StepError, match=rf"^s3://{job.bucket}{victim}: reading it failed, with all retries"),
    ):
        job.run()
    assert spoiler.spoiled["503"] > 1
    assert not job.objects("out/index")


def test_a_shard_that_cannot_be_written_ends_the_step_and_is_named(
    job: Job, monkeypatch: pytest.MonkeyPatch, impatient
):
    job.add_bins(60)

    def fault(method: str, path: str, n: int) -> str:
        return "503" if method in {"PUT", "POST"} and path.endswith("validation-000000.tar") else ""

    with (
        spoiling(fault, monkeypatch),
        pytest.raises(StepError, match=r"validation/validation-000000\.tar: writing it failed, with all retries"),
    ):
        job.run()
    again = job.run()
    assert again.splits["validation"].samples


def test_a_shard_that_cannot_be_closed_takes_no_other_with_it_half_written(
    job: Job, monkeypatch: pytest.MonkeyPatch, impatient
):
    # One photo per shard, each of two parts.
    for number in range(12):
        large = jpeg(1)[:-2] + bytes(6_000_000) + bytes([number]) + jpeg(1)[-2:]
        job.add(f"{number}", number % 2, [f"B{number}"], large)

    def fault(method: str, path: str, n: int) -> str:
        # The first POST begins the upload, the second ends it.
        return "503" if method == "POST" and path.endswith("train-000001.tar") and n > 1 else ""

    monkeypatch.setattr(writing, "PART_BYTES", 5 * 1024 * 1024)
    flags = ("--image-size", "0", "--shard-megabytes", "7")
    with spoiling(fault, monkeypatch), pytest.raises(StepError, match=r"train-000001\.tar: writing it failed"):
        job.run(*flags)
    assert "Uploads" not in job.s3.list_multipart_uploads(Bucket=job.bucket)
    assert [key.split("/", 3)[3] for key in tars(job, "out")] == ["train/train-000000.tar"]
    assert job.run(*flags).splits["train"].samples


@pytest.mark.parametrize("damage", ["gone", "shorter", "one other bit"])
def test_a_shard_that_is_not_what_was_written_is_named_to_its_reader(job: Job, damage: str):
    job.add_bins(60)
    shard = job.run().splits["train"].shards[0]
    key = shard.uri.split("/", 3)[3]
    content = bytearray(job.objects(key)[key])
    if damage == "gone":
        job.s3.delete_object(Bucket=job.bucket, Key=key)
    else:
        content[len(content) // 2] ^= 1
        job.s3.put_object(Bucket=job.bucket, Key=key, Body=bytes(content[:-512] if damage == "shorter" else content))

    with pytest.raises(StepError, match=rf"^{shard.uri}: "):
        list(iterate([shard]))
