"""The shard step from its command line to what it leaves in S3 and in its output folders."""

import io
import itertools
import json
import subprocess
import sys
import tarfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import webdataset
from PIL import Image

from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.contracts.hand_over import HandOver
from steps.shard import tar
from steps.shards.reading import iterate, register_webdataset_scheme
from tests.unit.steps.arguments import SHARD, flags_of
from tests.unit.steps.shard.conftest import Job, jpeg, samples, splits_of, tars


def test_every_photo_is_in_one_split_with_its_quantity_and_its_shorter_side(job: Job):
    job.add_bins(60)

    index = job.run("--image-size", "64", "--validation-fraction", "0.2", "--test-fraction", "0.2")

    read = samples(index)
    assert {s.image_id: s.quantity for split in read.values() for s in split} == {
        row["image_id"]: row["quantity"] for row in job.rows
    }
    assert {name: Counter(s.quantity for s in split) for name, split in read.items()} == {
        name: split.class_counts for name, split in index.splits.items()
    }
    assert {Image.open(io.BytesIO(s.jpeg)).size for s in read["train"]} == {(85, 64)}
    assert splits_of(index) == job.assignments()


def test_photos_of_one_bin_stay_together(job: Job):
    job.add_bins(60)
    splits = splits_of(job.run())

    for number in range(0, 60, 2):
        if number // 2 % 3:  # bins without items are alike in nothing
            assert splits[f"{number:05d}"] == splits[f"{number + 1:05d}"]


def test_webdataset_reads_the_shards(job: Job):
    job.add_bins(30)
    shards = job.run("--image-size", "64").splits["train"].shards
    register_webdataset_scheme(shards)

    read = list(webdataset.WebDataset([shard.uri for shard in shards], shardshuffle=False))

    assert len(read) == sum(shard.samples for shard in shards)
    quantities = {row["image_id"]: row["quantity"] for row in job.rows}
    assert all(int(sample["cls"]) == quantities[sample["__key__"]] for sample in read)
    assert all(Image.open(io.BytesIO(sample["jpg"])).size == (85, 64) for sample in read)


def test_the_same_input_gives_the_same_bytes(job: Job):
    job.add_bins(40)
    job.run("--image-size", "64", "--shard-megabytes", "0.05", output="first")
    job.rows.reverse()
    job.run("--image-size", "64", "--shard-megabytes", "0.05", output="second")

    first, second = tars(job, "first"), tars(job, "second")

    assert len(first) > len(SPLITS)
    assert first == second


def test_shards_end_before_the_limit_and_are_numbered_in_their_bucket(job: Job):
    job.add_bins(40)

    index = job.run("--image-size", "64", "--shard-megabytes", "0.05")

    shards = index.splits["train"].shards
    assert len(shards) > 1
    assert [shard.uri.rsplit("/", 4)[1:] for shard in shards] == [
        ["000001-00000", shard.uri.rsplit("/", 3)[1], "train", f"train-{number:06d}.tar"]
        for number, shard in enumerate(shards)
    ]
    assert all(shard.bytes <= 50_000 for shard in shards)
    assert all(len(job.objects(shard.uri.split("/", 3)[3])) == 1 for shard in shards)


def test_neither_the_shards_nor_the_index_depend_on_the_number_of_instances(job: Job):
    job.add_bins(120)
    small = ("--image-size", "64", "--shard-megabytes", "0.05")
    one, two, six = (
        (job.run(*small, instances=count, output=f"out-{count}"), tars(job, f"out-{count}")) for count in (1, 2, 6)
    )

    assert len({key.split("/")[1] for key in one[1]}) == 4  # buckets
    assert one[1] == two[1] == six[1]
    assert one[0].model_dump_json().replace("out-1", "out-2") == two[0].model_dump_json()
    assert splits_of(six[0]) == splits_of(one[0])


def test_training_samples_are_shuffled_by_the_seed(job: Job):
    job.add_bins(60)
    orders = []
    for seed in ("1", "2"):
        index = job.run("--seed", seed, "--split", "random", output=seed)
        orders.append([sample.image_id for sample in iterate(index.splits["train"].shards)])

    assert orders[0] != sorted(orders[0])
    common = set(orders[0]) & set(orders[1])
    assert [i for i in orders[0] if i in common] != [i for i in orders[1] if i in common]


def test_size_zero_keeps_the_original_bytes(job: Job):
    job.add_bins(30)

    index = job.run("--image-size", "0")

    assert all(s.jpeg == jpeg(int(s.image_id)) for s in iterate(index.splits["test"].shards))


def test_a_given_split_is_taken_as_it_is(job: Job):
    job.add_bins(30)
    lines = [f"{n:05d},{('train', 'validation', 'test')[n % 5 if n % 5 < 3 else 0]}" for n in range(29)]
    job.s3.put_object(Bucket=job.bucket, Key="lists/split.csv", Body="\n".join(["image_id,split", *lines]).encode())

    index = job.run("--split", "file", "--split-file-location", f"s3://{job.bucket}/lists/split.csv")

    assert splits_of(index) == dict(line.split(",") for line in lines)
    assert job.assignments() == splits_of(index)
    assert job.summary.rejects == {"not-in-split-file": ["00029"]}
    assert index.sharding.fractions == {"train": 0.586207, "validation": 0.206897, "test": 0.206897}


def test_the_assignments_of_one_data_set_are_a_split_file_for_another(job: Job):
    job.add_bins(40)
    first = job.run("--seed", "7", output="first")

    given = ("--split", "file", "--split-file-location", f"s3://{job.bucket}/first/assignments")
    second = job.run("--seed", "8", *given, output="second")

    assert splits_of(second) == splits_of(first)


def test_known_bins_keep_their_split_when_bins_and_instances_are_added(job: Job):
    job.add_bins(40)
    first = job.run()
    kept = job.summary.kept
    job.add_bins(90)

    second = job.run(instances=3)

    before, after = splits_of(first), splits_of(second)
    assert len(before) == 40
    assert before.items() <= after.items()
    assert len(after) == 90
    assert (kept, job.summary.kept) == (0, 40)
    assert job.assignments() == after


def test_a_later_run_writes_an_index_over_the_shards_that_are_there(job: Job):
    job.add_bins(60)
    job.add("truncated", 1, ["X1"], jpeg(1)[:-300])
    small = ("--shard-megabytes", "0.05")
    first = job.run(*small, instances=2)
    rejects, written = job.summary.rejects, job.versions("out/shards")
    for row in job.rows:  # nothing is read again
        job.s3.delete_object(Bucket=job.bucket, Key=f"raw/{row['image_key']}")

    second = job.run(*small, instances=2)

    assert job.versions("out/shards") == written
    assert (second, job.summary.rejects) == (first, rejects)
    assert rejects == {"truncated": ["truncated"]}


def test_a_photo_that_was_replaced_makes_other_shards(job: Job):
    job.add_bins(30)
    first = job.run()
    job.add_bins(30, other=True)

    second = job.run()

    assert first.sha256 != second.sha256
    assert {s.image_id: s.jpeg for s in samples(first)["test"]}.keys() == {s.image_id for s in samples(second)["test"]}
    assert samples(first)["test"] != samples(second)["test"]


def test_a_rerun_after_a_crash_writes_the_missing_shards_only(job: Job, monkeypatch: pytest.MonkeyPatch):
    job.add_bins(90)
    job.add("truncated", 1, ["X1"], jpeg(1)[:-300])
    small = ("--shard-megabytes", "0.05", "--maximum-rejects", "0.05")
    whole = job.run(*small, output="whole")
    rejects = job.summary.rejects
    sample_bytes, calls = tar.sample_bytes, itertools.count()

    def crash(*sample):
        if next(calls) == 60:
            raise RuntimeError("the machine stops here")
        return sample_bytes(*sample)

    with monkeypatch.context() as patch:
        patch.setattr(tar, "sample_bytes", crash)
        with pytest.raises(RuntimeError, match="the machine stops here"):
            job.run(*small)
    before = job.versions("out/shards")
    # A shard is whole once its record is there; the crash may come between the two.
    whole_before = {key: version for key, version in before.items() if key.replace(".tar", ".parquet") in before}

    again = job.run(*small)

    assert 4 < len(whole_before) < len(job.versions("out/shards"))
    assert whole_before.items() <= job.versions("out/shards").items()
    assert tars(job, "out") == tars(job, "whole")
    assert (job.summary.rejects, splits_of(again)) == (rejects, splits_of(whole))
    assert {k: v.class_counts for k, v in again.splits.items()} == {k: v.class_counts for k, v in whole.splits.items()}


def test_a_shard_that_is_not_what_its_record_says_is_named(job: Job):
    job.add_bins(30)
    shard = job.run().splits["test"].shards[0]
    key = shard.uri.split("/", 3)[3]
    job.s3.put_object(Bucket=job.bucket, Key=key, Body=b"short")

    with pytest.raises(StepError, match=rf"^{shard.uri} has another size than in its record"):
        job.run()
    job.s3.put_object(Bucket=job.bucket, Key=key.replace(".tar", ".parquet"), Body=b"{}")
    with pytest.raises(StepError, match=r"test-000000\.parquet: not the record of a shard; remove it"):
        job.run()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image_id,split\n1,training\n", "image '1' has split 'training'; use train, validation, test"),
        ("image_id,split\n1,train\n1,test\n", "image '1' has two splits"),
        ("id,split\n1,train\n", "the columns, separated by commas, are id, split; it needs"),
    ],
)
def test_a_wrong_split_file_is_named(job: Job, content: str, message: str):
    job.add_bins(10)
    job.s3.put_object(Bucket=job.bucket, Key="split.csv", Body=content.encode())

    with pytest.raises(StepError, match=rf"^s3://{job.bucket}/split.csv: {message}"):
        job.run("--split", "file", "--split-file-location", f"s3://{job.bucket}/split.csv")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--quality", "0"], "--quality is '0'"),
        (["--validation-fraction", "0.6", "--test-fraction", "0.4"], "sum must be less than 1"),
        (["--split", "file"], "--split-file-location"),
        (["--image-size", "big"], "--image-size"),
        (["--image-location", "/tmp/photos"], "--image-location: '/tmp/photos' is not an S3 URI"),
    ],
)
def test_wrong_arguments_are_refused(job: Job, flags: list[str], message: str):
    with pytest.raises(StepError, match=message):
        job.run(*flags)


def test_the_process_leaves_its_failure_reason_where_sagemaker_reads_it(tmp_path: Path):
    command = [sys.executable, "-m", "steps.shard", *flags_of({**SHARD, "image_location": "s3://a-bucket/raw"})]

    done = subprocess.run(
        command, check=False, env={"SAGEMAKER_BASE_DIR": str(tmp_path)}, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "no labels" in (tmp_path / "output/message").read_text()
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.abid
def test_hundreds_of_real_photos_reach_every_split_with_every_quantity(job: Job, abid: Path):
    photos, labels = {}, {}
    with tarfile.open(abid / "originals.tar") as tar:
        for member in tar:
            folder, name = member.name.split("/")[-2:]
            content = tar.extractfile(member).read()
            if folder == "metadata":
                labels[name.removesuffix(".json")] = json.loads(content)
            else:
                photos[name.removesuffix(".jpg")] = content
    labels = {i: label for i, label in labels.items() if label["EXPECTED_QUANTITY"] <= 5}
    with ThreadPoolExecutor(8) as threads:
        for image_id, label in labels.items():
            items = sorted(label["BIN_FCSKU_DATA"])
            threads.submit(job.add, image_id, label["EXPECTED_QUANTITY"], items, photos[image_id])

    index = job.run("--shard-megabytes", "2")

    assert job.summary.rejects == {}
    counted = Counter(label["EXPECTED_QUANTITY"] for label in labels.values())
    assert sum((Counter(split.class_counts) for split in index.splits.values()), Counter()) == counted
    assert counted.total() > 250
    assert job.summary.leakage.split.same_bin == 0
    assert len(index.splits["train"].shards) > 1
    for split in index.splits.values():
        assert set(split.class_counts) == {0, 1, 2, 3, 4, 5}
    share = index.splits["test"].samples / len(labels)
    assert share == pytest.approx(0.1, abs=0.02)
    assert all(min(Image.open(io.BytesIO(s.jpeg)).size) == 256 for s in iterate(index.splits["test"].shards))


def test_the_manifest_lists_the_shards_of_this_data_set_that_trials_read(job: Job):
    """With `training.input: file` a trial copies these, and not the shards of all data sets below the prefix."""
    job.add_bins(60)
    before = job.run()
    job.add_bins(60, other=True)
    index = job.run()
    (path,) = (job.folder / f"{job.runs}").rglob("hand_over.json")
    handed_on = HandOver.model_validate_json(path.read_bytes())
    bucket, _, key = handed_on.manifest.removeprefix("s3://").partition("/")
    assert handed_on.manifest == f"{handed_on.uri}/manifest.json"
    first, *names = json.loads(job.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert first == {"prefix": f"s3://{job.bucket}/out/shards/"}
    uris = {first["prefix"] + name for name in names}
    assert uris == {shard.uri for name in ("train", "validation") for shard in index.splits[name].shards}
    assert not uris & {shard.uri for split in before.splits.values() for shard in split.shards}
